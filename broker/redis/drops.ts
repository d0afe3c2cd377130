/** Messages that were dropped, told to the log at a bounded rate: the first at once, what follows as a sum. */
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';

const periodMs = 10_000;

export class Drops {
  readonly #clock: Clock;
  readonly #log: Log;
  #counts = new Map<string, number>();
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** @param reason from a fixed list */
  add(reason: string): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
    if (this.#cancel === undefined) this.#tell();
  }

  /** Tells what is left. */
  stop(): void {
    this.#cancel?.();
    this.#tell();
    this.#cancel?.();
    this.#cancel = () => undefined;
  }

  #tell(): void {
    if (this.#counts.size === 0) {
      this.#cancel = undefined;
      return;
    }
    const dropped = Object.fromEntries(this.#counts);
    this.#counts = new Map();
    this.#log.warn({ dropped }, 'messages from Redis were dropped');
    this.#cancel = this.#clock.after(periodMs, () => this.#tell());
  }
}
