/**
 * One event-loop turn: what is written to sockets during it leaves at its end. An immediate runs right after the reads that
 * brought the messages, so gathering costs no waiting when the edge is idle and grows by itself under load.
 */

export interface Flushable {
  /** Must not throw. */
  flush(): void;
}

export class Turn {
  #waiting: Flushable[] = [];

  /** Flushes `target` at the end of this turn. The caller asks once per turn. */
  add(target: Flushable): void {
    if (this.#waiting.length === 0) setImmediate(this.#end);
    this.#waiting.push(target);
  }

  readonly #end = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const target of waiting) target.flush();
  };
}
