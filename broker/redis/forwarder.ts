/** From Redis to the domain exchange: in order, bounded, at most once. */
import { randomUUID } from 'node:crypto';
import type { RedisEvent } from '../../contracts/redis-event.ts';
import type { Broker } from '../port.ts';

export interface ForwarderOptions {
  readonly broker: Pick<Broker, 'domainEvents' | 'status' | 'onStatus'>;
  /** Of events that wait for the broker or for its confirm. */
  readonly maxUnconfirmed: number;
  readonly maxUnconfirmedBytes: number;
  readonly forwarded: () => void;
  readonly dropped: (reason: 'overflow' | 'unconfirmed') => void;
}

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #stopWatching: () => void;
  /** Not handed to the broker yet, which is away. */
  #waiting: RedisEvent[] = [];
  #unconfirmed = 0;
  #unconfirmedBytes = 0;
  readonly #onIdle: (() => void)[] = [];

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#stopWatching = options.broker.onStatus(() => this.#drain());
  }

  /** Waiting ones included. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  /** Takes an event that fits the bounds; drops it otherwise, so that those before it keep their place. */
  push(event: RedisEvent): void {
    const { maxUnconfirmed, maxUnconfirmedBytes } = this.#options;
    const bytes = this.#unconfirmedBytes + event.body.length;
    if (this.#unconfirmed >= maxUnconfirmed || bytes > maxUnconfirmedBytes) {
      this.#options.dropped('overflow');
      return;
    }
    this.#unconfirmed += 1;
    this.#unconfirmedBytes = bytes;
    this.#waiting.push(event);
    this.#drain();
  }

  /** Resolves when nothing waits and nothing is unconfirmed. */
  idle(): Promise<void> {
    if (this.#unconfirmed === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  close(): void {
    this.#stopWatching();
    for (const event of this.#waiting.splice(0)) this.#settle(event, false);
  }

  #drain(): void {
    if (this.#waiting.length === 0 || !this.#options.broker.status().ready) return;
    const events = this.#waiting;
    this.#waiting = [];
    for (const event of events) this.#publish(event);
  }

  /** Not tried again: it may have arrived, and then it would come twice. */
  #publish(event: RedisEvent): void {
    this.#options.broker.domainEvents
      .publish({ ...event, contentType: 'application/json', messageId: randomUUID() })
      .then(
        () => this.#settle(event, true),
        () => this.#settle(event, false),
      );
  }

  #settle(event: RedisEvent, confirmed: boolean): void {
    this.#unconfirmed -= 1;
    this.#unconfirmedBytes -= event.body.length;
    if (confirmed) this.#options.forwarded();
    else this.#options.dropped('unconfirmed');
    if (this.#unconfirmed === 0) for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}
