/** The stream of cached publications: declared by whoever publishes or follows, read from its beginning by every edge. */
import type { ChannelModel } from 'amqplib';
import { cacheStream, type TopologyNames } from '../../contracts/topology.ts';
import { BrokerError } from '../errors.ts';
import type { CacheFollower, CacheReceiver, PublicationCache } from '../port.ts';
import { CacheStreamFollower, type CacheStreamFollowerHost } from './cache-stream-follower.ts';
import { ensureBinding, ensureQueue } from './declare.ts';

export async function ensureCacheStream(model: ChannelModel, names: TopologyNames): Promise<void> {
  const { queue, binding } = cacheStream(names);
  await ensureQueue(model, queue);
  await ensureBinding(model, binding);
}

export type PublicationCacheOptions = Omit<CacheStreamFollowerHost, 'ensureStream'>;

export class AmqpPublicationCache implements PublicationCache {
  readonly #host: CacheStreamFollowerHost;
  readonly #followers = new Set<CacheStreamFollower>();

  constructor(options: PublicationCacheOptions) {
    this.#host = {
      ...options,
      ensureStream: (model) => ensureCacheStream(model, options.names),
    };
  }

  async follow(receiver: CacheReceiver, signal?: AbortSignal): Promise<CacheFollower> {
    if (signal?.aborted === true || this.#host.link.stopped.aborted) {
      throw new BrokerError('closed', 'following was given up');
    }
    const follower = new CacheStreamFollower(this.#host, receiver);
    this.#followers.add(follower);
    const close = () => {
      this.#followers.delete(follower);
      return follower.close();
    };
    const abort = () => void close();
    signal?.addEventListener('abort', abort, { once: true });
    try {
      await follower.started;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
    return { caughtUp: () => follower.caughtUp(), close };
  }

  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#followers].map((follower) => follower.close()));
  }
}
