/** Remembers what was there lately. Bounded: beyond `max` entries the oldest is forgotten before its time. */
export class Recent {
  /** To the time of adding; oldest first. */
  readonly #times = new Map<string, number>();
  readonly #max: number;
  readonly #keptMs: number;

  constructor(max: number, keptMs: number) {
    this.#max = max;
    this.#keptMs = keptMs;
  }

  has(key: string, nowMs: number): boolean {
    this.#forget(nowMs);
    return this.#times.has(key);
  }

  /** Counts from now, also for a key that is known. */
  add(key: string, nowMs: number): void {
    this.#times.delete(key);
    this.#times.set(key, nowMs);
    this.#forget(nowMs);
  }

  get size(): number {
    return this.#times.size;
  }

  #forget(nowMs: number): void {
    for (const [key, addedMs] of this.#times) {
      if (this.#times.size <= this.#max && nowMs - addedMs < this.#keptMs) return;
      this.#times.delete(key);
    }
  }
}
