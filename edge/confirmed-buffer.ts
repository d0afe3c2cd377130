/**
 * Messages on their way from this edge to the broker. They reach it in the order in which they came; what the broker did not confirm
 * is published again, in that order. A message may so be at the broker twice: its id tells.
 */
import type { Clock } from '../runtime/clock.ts';

export interface ConfirmedBufferLimits {
  /** Messages kept; beyond it the oldest are dropped. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Unconfirmed at the broker at a time. */
  readonly maxUnconfirmed: number;
  readonly republishMs: number;
}

export interface ConfirmedBufferListener {
  /** Publishing began to fail. Once per episode. */
  interrupted(error: unknown): void;
  /** It works again; so many messages were dropped meanwhile. Once per episode. */
  restored(dropped: number): void;
  dropped(messages: number): void;
}

interface Published<M> {
  readonly message: M;
  outcome?: 'confirmed' | 'rejected';
}

export interface ConfirmedBufferParts<M> {
  /** Resolves when the broker has confirmed. Calls reach it in call order. */
  publish(message: M): Promise<void>;
  bytes(message: M): number;
}

export class ConfirmedBuffer<M> {
  readonly #parts: ConfirmedBufferParts<M>;
  readonly #clock: Clock;
  readonly #limits: ConfirmedBufferLimits;
  readonly #listener: ConfirmedBufferListener;
  /** At the broker, oldest first. */
  #published: Published<M>[] = [];
  readonly #waiting: M[] = [];
  #bytes = 0;
  /** Messages dropped since publishing began to fail; undefined while it works. */
  #episode: { dropped: number } | undefined;
  #cancelPause: (() => void) | undefined;
  #closed = false;
  #emptied: (() => void)[] = [];

  constructor(
    parts: ConfirmedBufferParts<M>,
    clock: Clock,
    limits: ConfirmedBufferLimits,
    listener: ConfirmedBufferListener,
  ) {
    this.#parts = parts;
    this.#clock = clock;
    this.#limits = limits;
    this.#listener = listener;
  }

  /** Messages that the broker has not confirmed. */
  get size(): number {
    return this.#published.length + this.#waiting.length;
  }

  push(message: M): void {
    if (this.#closed) {
      this.#listener.dropped(1);
      return;
    }
    this.#waiting.push(message);
    this.#bytes += this.#parts.bytes(message);
    while (this.size > this.#limits.maxWaiting || this.#bytes > this.#limits.maxWaitingBytes) {
      // What is at the broker already cannot be taken back.
      const oldest = this.#waiting.shift();
      if (oldest === undefined) break;
      this.#bytes -= this.#parts.bytes(oldest);
      if (this.#episode !== undefined) this.#episode.dropped += 1;
      this.#listener.dropped(1);
    }
    this.#publish();
  }

  /** Resolves when the broker has confirmed everything. */
  emptied(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied.push(resolve);
    });
  }

  /** Drops what is left. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelPause?.();
    if (this.size > 0) this.#listener.dropped(this.size);
    this.#published = [];
    this.#waiting.length = 0;
    this.#bytes = 0;
    this.#nowEmpty();
  }

  #publish(): void {
    // After a failure nothing new goes out before all of the old has come back: it must not overtake.
    while (!this.#failing && this.#cancelPause === undefined) {
      if (this.#published.length >= this.#limits.maxUnconfirmed) return;
      const message = this.#waiting.shift();
      if (message === undefined) return;
      const entry: Published<M> = { message };
      this.#published.push(entry);
      this.#send(entry);
    }
  }

  #send(entry: Published<M>): void {
    this.#parts.publish(entry.message).then(
      () => this.#settled(entry, 'confirmed'),
      (error: unknown) => this.#settled(entry, 'rejected', error),
    );
  }

  get #failing(): boolean {
    return this.#published.some(({ outcome }) => outcome === 'rejected');
  }

  #settled(entry: Published<M>, outcome: 'confirmed' | 'rejected', error?: unknown): void {
    if (this.#closed) return;
    entry.outcome = outcome;
    if (outcome === 'confirmed') {
      this.#published.splice(this.#published.indexOf(entry), 1);
      this.#bytes -= this.#parts.bytes(entry.message);
    } else if (this.#episode === undefined) {
      this.#episode = { dropped: 0 };
      this.#listener.interrupted(error);
    }
    if (!this.#failing) {
      const episode = this.#episode;
      this.#episode = undefined;
      if (episode !== undefined) this.#listener.restored(episode.dropped);
      this.#publish();
      if (this.size === 0) this.#nowEmpty();
    } else if (this.#published.every((one) => one.outcome === 'rejected')) this.#publishLater();
  }

  #publishLater(): void {
    this.#waiting.unshift(...this.#published.map(({ message }) => message));
    this.#published = [];
    this.#cancelPause = this.#clock.after(this.#limits.republishMs, () => {
      this.#cancelPause = undefined;
      this.#publish();
    });
  }

  #nowEmpty(): void {
    const calls = this.#emptied;
    this.#emptied = [];
    for (const call of calls) call();
  }
}
