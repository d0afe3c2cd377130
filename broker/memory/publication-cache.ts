/** Follows the cached publications over one connection. */
import { BrokerError } from '../errors.ts';
import type { CacheFollower, CacheReceiver, PublicationCache } from '../port.ts';
import type { CacheLog } from './cache-log.ts';
import type { Attached, Connection } from './connection.ts';
import { closedError } from './waiters.ts';

/** Publications that are handed over in one turn of the event loop; the rest follows in the next. */
const publicationsPerTurn = 1_000;

export function createPublicationCache(connection: Connection): PublicationCache {
  return {
    async follow(receiver, signal) {
      await connection.whenUp(signal);
      if (signal?.aborted === true) throw closedError();
      const follower = new Follower(connection, receiver);
      const abort = () => void follower.close();
      signal?.addEventListener('abort', abort, { once: true });
      try {
        await follower.started(signal);
      } catch (error) {
        await follower.close();
        throw error;
      } finally {
        signal?.removeEventListener('abort', abort);
      }
      return follower;
    },
  };
}

interface Waiting {
  /** Resolves once everything before it was handed over. */
  readonly offset: number;
  resolve(): void;
  reject(error: BrokerError): void;
}

class Follower implements CacheFollower, Attached {
  readonly #connection: Connection;
  readonly #receiver: CacheReceiver;
  readonly #log: CacheLog;
  readonly #stopReading: () => void;
  #waiting: Waiting[] = [];
  #next: number;
  #draining = false;
  #ended = false;

  /** The connection must be up. */
  constructor(connection: Connection, receiver: CacheReceiver) {
    this.#connection = connection;
    this.#receiver = receiver;
    this.#log = connection.host.cache;
    this.#next = this.#log.first;
    this.#stopReading = this.#log.onAppend(() => this.#drainLater());
    connection.attach(this);
    this.#drainLater();
  }

  /** Everything that is there now was handed over, however often the connection is lost on the way. */
  async started(signal?: AbortSignal): Promise<void> {
    const { end } = this.#log;
    for (;;) {
      await this.#connection.whenUp(signal);
      try {
        await this.#reach(end);
        return;
      } catch (error) {
        if (!(error instanceof BrokerError) || !error.retryable) throw error;
      }
    }
  }

  async caughtUp(): Promise<void> {
    if (this.#ended) throw closedError();
    await this.#reach(await this.#connection.publish(() => this.#log.end));
  }

  async close(): Promise<void> {
    this.closed();
  }

  interrupted(): void {
    const error = new BrokerError('broker_unavailable', 'the connection was lost');
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
  }

  restored(): void {
    this.#drainLater();
  }

  closed(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopReading();
    this.#connection.detach(this);
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closedError());
  }

  #reach(offset: number): Promise<void> {
    if (this.#ended) return Promise.reject(closedError());
    if (this.#next >= offset) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ offset, resolve, reject });
    });
  }

  #drainLater(): void {
    if (this.#draining || this.#ended || this.#next >= this.#log.end) return;
    this.#draining = true;
    this.#connection.host.turns.later(() => this.#drain());
  }

  #drain(): void {
    this.#draining = false;
    this.#next = Math.max(this.#next, this.#log.first);
    try {
      for (let count = 0; count < publicationsPerTurn; count += 1) {
        // Asked anew each time: the receiver may close within the call.
        const publication = this.#log.at(this.#next);
        if (this.#ended || !this.#connection.up || publication === undefined) break;
        this.#next += 1;
        this.#receiver.published(publication);
      }
    } finally {
      this.#settle();
      if (this.#connection.up) this.#drainLater();
    }
  }

  #settle(): void {
    if (this.#waiting.length === 0) return;
    const [reached, rest] = [[] as Waiting[], [] as Waiting[]];
    for (const waiting of this.#waiting) {
      (this.#next >= waiting.offset ? reached : rest).push(waiting);
    }
    this.#waiting = rest;
    for (const waiting of reached) waiting.resolve();
  }
}
