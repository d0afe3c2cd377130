/** Bounded concurrency with a bounded queue in front (a bulkhead): one slow service must not hold every request of an edge. */
import type { Clock } from '../../runtime/clock.ts';

interface Waiting {
  readonly enter: (entered: boolean) => void;
  readonly cancel: () => void;
}

export class Gate {
  readonly #clock: Clock;
  readonly #maxInside: number;
  readonly #maxWaiting: number;
  #inside = 0;
  /** In the order of arrival. */
  readonly #waiting = new Set<Waiting>();

  constructor(clock: Clock, maxInside: number, maxWaiting: number) {
    this.#clock = clock;
    this.#maxInside = maxInside;
    this.#maxWaiting = maxWaiting;
  }

  /** True: inside, until `leave`. False: the queue is full, or the time was over first. */
  enter(withinMs: number): Promise<boolean> {
    if (this.#inside < this.#maxInside) {
      this.#inside += 1;
      return Promise.resolve(true);
    }
    if (this.#waiting.size >= this.#maxWaiting) return Promise.resolve(false);
    return new Promise((resolve) => {
      const waiting: Waiting = {
        enter: resolve,
        cancel: this.#clock.after(withinMs, () => {
          this.#waiting.delete(waiting);
          resolve(false);
        }),
      };
      this.#waiting.add(waiting);
    });
  }

  /** The place goes to whoever has waited longest. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#inside -= 1;
      return;
    }
    this.#waiting.delete(next);
    next.cancel();
    next.enter(true);
  }
}
