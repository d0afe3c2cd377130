/**
 * What a client has taken, learned from stock clients: pusher-js answers `pusher:ping` only after it has dispatched what came before.
 * So the n-th pong acknowledges what was written before the n-th ping. Pure bookkeeping: who sends pings and when is the caller's.
 */
export class PongAcknowledgements<T> {
  /** Written since the last ping. */
  #open: T[] = [];
  /** One list for each ping that is not answered yet, oldest first; empty where a ping stood for nothing. */
  readonly #pinged: T[][] = [];

  /** Written and not covered by a ping yet. */
  get unpinged(): number {
    return this.#open.length;
  }

  written(item: T): void {
    this.#open.push(item);
  }

  /** A ping goes out behind everything that was written so far. */
  pinged(): void {
    this.#pinged.push(this.#open);
    this.#open = [];
  }

  /** What the oldest unanswered ping stands for; nothing where there is none. */
  ponged(): readonly T[] {
    return this.#pinged.shift() ?? [];
  }

  /** All that is not acknowledged, in the order in which it was written. */
  all(): readonly T[] {
    return [...this.#pinged.flat(), ...this.#open];
  }
}
