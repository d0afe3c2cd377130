/**
 * The last publication of each cache channel, as the broker keeps them: every edge reads the same ones in the same order, so they
 * survive the death of any edge, and of all of them.
 */
import { BrokerError } from '../../broker/errors.ts';
import type {
  CachedPublication,
  CacheFollower,
  CacheReceiver,
  PublicationCache,
} from '../../broker/port.ts';
import type { AppId, ChannelKey, ChannelName } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Revocation } from './revocations.ts';

export interface LastEvent {
  /** Text of the frame. */
  readonly body: Buffer;
  readonly id: string;
  readonly publishedAtMs: number;
  /** Ids of this publication and of those right before it on the channel. */
  readonly covers: ReadonlySet<string>;
}

export interface LastEventsLimits {
  /** Channels that are remembered; beyond it those that were quiet for longest are forgotten. */
  readonly channels: number;
  /** Bytes of the frames that are remembered. */
  readonly bytes: number;
  /** How long a subscription may wait for this edge to have read what was published before it. */
  readonly waitMs: number;
}

const defaultLimits: LastEventsLimits = {
  channels: 100_000,
  bytes: 128 * 1024 * 1024,
  waitMs: 3_000,
};

/** More than this many publications of one channel are hardly under way to one edge at the same time. */
const maxCovered = 16;

export interface LastEventsOptions {
  readonly cache: PublicationCache;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<LastEventsLimits>;
  /** What is no event, in the same order. */
  readonly revoked: (revocation: Revocation) => void;
}

export class LastEvents implements CacheReceiver {
  readonly #options: LastEventsOptions;
  readonly #limits: LastEventsLimits;
  /** In the order of publication: the first is the one that was quiet for longest. */
  readonly #entries = new Map<string, LastEvent>();
  readonly #abort = new AbortController();
  readonly #following: Promise<CacheFollower | undefined>;
  #bytes = 0;

  /** Follows from here on, until `close`. */
  constructor(options: LastEventsOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#following = options.cache.follow(this, this.#abort.signal).catch((error: unknown) => {
      if (!this.#abort.signal.aborted) {
        options.log.error({ err: error }, 'cache channels: nothing can be replayed');
      }
      return undefined;
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  published({ key, channel, id, body, revokes, publishedAtMs }: CachedPublication): void {
    if (revokes !== undefined) {
      this.#options.revoked({ key, channel, user: revokes });
      return;
    }
    const name = entryName(key, channel);
    const former = this.#entries.get(name);
    const covers = new Set(former === undefined ? [] : [...former.covers].slice(1 - maxCovered));
    covers.add(id);
    if (former !== undefined) this.#forget(name, former);
    this.#entries.set(name, { body, id, publishedAtMs, covers });
    this.#bytes += body.length;
    for (const [oldest, entry] of this.#entries) {
      if (this.#entries.size <= this.#limits.channels && this.#bytes <= this.#limits.bytes) break;
      this.#forget(oldest, entry);
    }
  }

  /**
   * Resolves when `get` knows what was published before the call. Rejects with a retryable `BrokerError` while the broker is away;
   * where the broker is there and does not answer, gives up waiting after a while: an old event is better than no subscription.
   */
  async caughtUp(): Promise<void> {
    const over = new AbortController();
    try {
      await Promise.race([
        this.#following.then((follower) => follower?.caughtUp()),
        delay(this.#options.clock, this.#limits.waitMs, over.signal),
      ]);
    } catch (error) {
      if (error instanceof BrokerError && error.code === 'broker_timeout') return;
      throw error;
    } finally {
      over.abort();
    }
  }

  /** The last event of a channel that is not older than `seconds`. */
  get(appId: AppId, channel: ChannelName, seconds: number): LastEvent | undefined {
    const name = entryName(channelKey(appId, channel), channel);
    const entry = this.#entries.get(name);
    if (entry === undefined) return undefined;
    return this.#options.clock.now() - entry.publishedAtMs < seconds * 1_000 ? entry : undefined;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    const follower = await this.#following;
    await follower?.close();
  }

  #forget(name: string, entry: LastEvent): void {
    this.#entries.delete(name);
    this.#bytes -= entry.body.length;
  }
}

/** A key may be hashed, and then two channels could share it. */
function entryName(key: ChannelKey, channel: string): string {
  return `${key} ${channel}`;
}
