/**
 * Plain sessions: exclusive queues that share lanes, and serve one owner after the other.
 *
 * Attaching a queue costs the broker about 3 ms, so one that its owner closes is emptied and kept for the next. It is empty when a
 * barrier, published to it after it was unbound and purged, has come through: one queue is one order, so nothing older can follow.
 */
import type { ChannelKey } from '../../contracts/ids.ts';
import { edgeQueueNames, type TopologyNames } from '../../contracts/topology.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';
import { plainHasNone } from '../limits.ts';
import type { Delivery, SessionQueue, SessionReceiver, SessionSpec } from '../port.ts';
import type { BoundQueueReceiver } from './bound-queue.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import { Lane } from './lane.ts';
import type { Link } from './link.ts';
import { toDelivery } from './message.ts';
import { PooledQueue } from './pooled-queue.ts';

export type PlainSpec = Extract<SessionSpec, { kind: 'plain' }>;

export interface PlainQueuesHost {
  readonly link: Link;
  readonly publisher: ConfirmPublisher;
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly log: Log;
  /** Names the process. */
  readonly node: string;
}

/** Requests on one channel wait for each other; more lanes than this gained nothing (reference measurements, 2 cores). */
const lanesPerPrefetch = 8;
/** Queues that are kept without an owner, those included that are still being emptied. */
const maxKept = 512;
/** Unbinding takes the broker as long as declaring does after a few; a queue with more bindings is deleted. */
const maxKeptBindings = 32;
/** Broker memory is not held for longer than a wave of reconnects lasts. */
const idleMs = 30_000;

interface Idle {
  readonly queue: PooledQueue;
  readonly stopWaiting: () => void;
}

export class PlainQueues {
  readonly #host: PlainQueuesHost;
  readonly #lanes = new Map<number, Lane[]>();
  /** By prefetch and length, the latest last. */
  readonly #idle = new Map<string, Idle[]>();
  readonly #owned = new Set<PooledQueue>();
  #count = 0;
  #kept = 0;
  #closing = false;

  constructor(host: PlainQueuesHost) {
    this.#host = host;
  }

  async open(
    spec: PlainSpec,
    receiver: SessionReceiver,
    signal?: AbortSignal,
  ): Promise<SessionQueue> {
    const owner = plainReceiver(receiver);
    const idle = this.#take(spec);
    const pooled = idle ?? this.#create(spec);
    pooled.adopt(owner);
    this.#owned.add(pooled);
    if (idle === undefined) await this.#opened(pooled, signal);
    return new PlainSession(pooled, () => this.#release(pooled, spec));
  }

  async closeAll(): Promise<void> {
    this.#closing = true;
    for (const idle of [...this.#idle.values()].flat()) idle.stopWaiting();
    this.#idle.clear();
    await Promise.allSettled([...this.#owned].map((pooled) => this.#delete(pooled)));
    await Promise.allSettled([...this.#lanes.values()].flat().map((lane) => lane.close()));
  }

  async #opened(pooled: PooledQueue, signal: AbortSignal | undefined): Promise<void> {
    const onAbort = () => void this.#delete(pooled);
    signal?.addEventListener('abort', onAbort, { once: true });
    pooled.lane.add(pooled.queue);
    try {
      await pooled.queue.opened;
    } catch (error) {
      await this.#delete(pooled);
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #create(spec: PlainSpec): PooledQueue {
    this.#count += 1;
    const count = this.#count;
    const { names, node } = this.#host;
    return new PooledQueue(
      this.#lane(spec.prefetch, count),
      {
        name: (linkEpoch) => edgeQueueNames(names, `${node}.${linkEpoch}`).connection(count),
        declare: ({ control }, name) =>
          control.assertQueue(name, {
            exclusive: true,
            durable: false,
            autoDelete: false,
            arguments: { 'x-max-length': spec.maxLength, 'x-overflow': 'drop-head' },
          }),
        exchange: names.channels,
        noAck: false,
      },
      (lost) => this.#lost(lost, spec),
    );
  }

  #take(spec: PlainSpec): PooledQueue | undefined {
    const idle = this.#idle.get(poolKey(spec))?.pop();
    if (idle === undefined) return undefined;
    idle.stopWaiting();
    this.#kept -= 1;
    return idle.queue;
  }

  /** Resolves when nothing is routed to the queue any more; emptying it goes on behind. */
  async #release(pooled: PooledQueue, spec: PlainSpec): Promise<void> {
    this.#owned.delete(pooled);
    const { queue } = pooled;
    const worthIt =
      !this.#closing &&
      queue.live &&
      this.#kept < maxKept &&
      queue.bindings.size <= maxKeptBindings;
    if (!worthIt) {
      await this.#delete(pooled);
      return;
    }
    this.#kept += 1;
    await pooled.leave();
    void this.#keep(pooled, spec);
  }

  async #keep(pooled: PooledQueue, spec: PlainSpec): Promise<void> {
    const { publisher, clock } = this.#host;
    try {
      await pooled.empty(publisher, clock);
      if (this.#closing || !pooled.queue.live) throw new BrokerError('closed', 'closing');
    } catch (error) {
      this.#host.log.debug({ err: error }, 'a queue is not kept for the next owner');
      this.#kept -= 1;
      await this.#delete(pooled);
      return;
    }
    const stopWaiting = clock.after(idleMs, () => this.#lost(pooled, spec));
    const key = poolKey(spec);
    const idle = this.#idle.get(key);
    if (idle === undefined) this.#idle.set(key, [{ queue: pooled, stopWaiting }]);
    else idle.push({ queue: pooled, stopWaiting });
  }

  /** Gone with its connection, or idle for too long. */
  #lost(pooled: PooledQueue, spec: PlainSpec): void {
    const key = poolKey(spec);
    const idle = this.#idle.get(key) ?? [];
    const at = idle.findIndex(({ queue }) => queue === pooled);
    // One that is still being emptied notices by itself.
    if (at < 0) return;
    idle[at]?.stopWaiting();
    idle.splice(at, 1);
    if (idle.length === 0) this.#idle.delete(key);
    this.#kept -= 1;
    void this.#delete(pooled);
  }

  async #delete(pooled: PooledQueue): Promise<void> {
    this.#owned.delete(pooled);
    pooled.lane.remove(pooled.queue);
    await pooled.queue.close();
  }

  #lane(prefetch: number, count: number): Lane {
    let lanes = this.#lanes.get(prefetch);
    if (lanes === undefined) {
      lanes = [];
      this.#lanes.set(prefetch, lanes);
    }
    const index = count % lanesPerPrefetch;
    let lane = lanes[index];
    if (lane === undefined) {
      lane = new Lane(this.#host.link, prefetch, this.#host.log);
      lanes[index] = lane;
    }
    return lane;
  }
}

/** One owner's time with a queue. */
class PlainSession implements SessionQueue {
  readonly resumed = false;
  readonly #pooled: PooledQueue;
  readonly #release: () => Promise<void>;
  #ended: Promise<void> | undefined;

  constructor(pooled: PooledQueue, release: () => Promise<void>) {
    this.#pooled = pooled;
    this.#release = release;
  }

  async bind(key: ChannelKey): Promise<void> {
    if (this.#ended !== undefined) throw new BrokerError('closed', 'the queue is closed');
    await this.#pooled.bind(key);
  }

  async unbind(key: ChannelKey): Promise<void> {
    if (this.#ended === undefined) await this.#pooled.queue.unbind(key);
  }

  ack({ tag, epoch }: Pick<Delivery, 'tag' | 'epoch'>): void {
    if (this.#ended === undefined) this.#pooled.queue.ack(tag, epoch);
  }

  async note(): Promise<void> {
    throw plainHasNone();
  }

  async reset(): Promise<void> {
    throw plainHasNone();
  }

  park(): Promise<void> {
    return this.close();
  }

  close(): Promise<void> {
    this.#ended ??= this.#release();
    return this.#ended;
  }
}

function poolKey({ prefetch, maxLength }: PlainSpec): string {
  return `${prefetch}/${maxLength}`;
}

function plainReceiver(receiver: SessionReceiver): BoundQueueReceiver {
  return {
    message: (message, epoch) => receiver.delivered(toDelivery(message, epoch)),
    interrupted: () => receiver.interrupted(),
    restored: () => receiver.restored(),
  };
}
