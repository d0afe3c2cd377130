/** Asks clients for signs of what they have taken: soon after something was written, and a few times a second at most. */
import type { Clock } from '../../runtime/clock.ts';

export interface Pingable {
  /** When it was asked last; the pacer keeps it. */
  pingedAtMs: number;
  ping(): void;
}

const tickMs = 100;
const shortestPauseMs = 250;

export class PingPacer {
  readonly #clock: Clock;
  readonly #waiting = new Set<Pingable>();
  readonly #stop: () => void;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#stop = clock.every(tickMs, () => this.#tick());
  }

  /** It has something to ask for. */
  add(target: Pingable): void {
    this.#waiting.add(target);
  }

  delete(target: Pingable): void {
    this.#waiting.delete(target);
  }

  /** Asks at once. */
  now(target: Pingable): void {
    this.#waiting.delete(target);
    target.pingedAtMs = this.#clock.monotonicMs();
    target.ping();
  }

  stop(): void {
    this.#stop();
  }

  #tick(): void {
    const dueMs = this.#clock.monotonicMs() - shortestPauseMs;
    for (const target of this.#waiting) if (target.pingedAtMs <= dueMs) this.now(target);
  }
}
