/** At most so many events in any second: the times of the last ones, and nothing else. */
export class RateWindow {
  /** A ring: the oldest time is the next to be replaced. */
  #times: number[] = [];
  #next = 0;

  /** @param perSecond may change from call to call; then the window starts anew */
  take(nowMs: number, perSecond: number): boolean {
    if (this.#times.length !== perSecond) {
      this.#times = new Array<number>(perSecond).fill(Number.NEGATIVE_INFINITY);
      this.#next = 0;
    }
    const oldest = this.#times[this.#next];
    // A limit of 0 has no ring: nothing is let through.
    if (oldest === undefined || nowMs - oldest < 1_000) return false;
    this.#times[this.#next] = nowMs;
    this.#next = (this.#next + 1) % perSecond;
    return true;
  }
}
