/** One queue per connection: exclusive ones that share lanes, and continuity queues that outlive their owner. */
import { edgeQueueNames, sessionQueueName, type TopologyNames } from '../../contracts/topology.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';
import type { SessionQueue, SessionQueues, SessionReceiver, SessionSpec } from '../port.ts';
import { BoundQueue, type BoundQueueReceiver, type BoundQueueSpec } from './bound-queue.ts';
import { queueExists } from './declare.ts';
import { Lane } from './lane.ts';
import type { Link } from './link.ts';
import { toDelivery } from './message.ts';

type PlainSpec = Extract<SessionSpec, { kind: 'plain' }>;
type ContinuitySpec = Extract<SessionSpec, { kind: 'continuity' }>;

/** Requests on one channel wait for each other; more lanes than this gained nothing (reference measurements, 2 cores). */
const lanesPerPrefetch = 8;
const sessionKeyPattern = /^[A-Za-z0-9_-]{22,64}$/;

export class AmqpSessionQueues implements SessionQueues {
  readonly #link: Link;
  readonly #names: TopologyNames;
  readonly #node: string;
  readonly #log: Log;
  readonly #lanes = new Map<number, Lane[]>();
  readonly #open = new Set<SessionQueue>();
  /** How to end what is still being opened. */
  readonly #opening = new Set<() => Promise<void>>();
  #count = 0;

  constructor(link: Link, names: TopologyNames, node: string, log: Log) {
    this.#link = link;
    this.#names = names;
    this.#node = node;
    this.#log = log;
  }

  async open(
    spec: SessionSpec,
    receiver: SessionReceiver,
    signal?: AbortSignal,
  ): Promise<SessionQueue> {
    if (signal?.aborted === true) throw new BrokerError('closed', 'opening was aborted');
    return spec.kind === 'plain'
      ? this.#openPlain(spec, receiver, signal)
      : this.#openContinuity(spec, receiver, signal);
  }

  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#opening].map((end) => end()));
    await Promise.allSettled([...this.#open].map((queue) => queue.park()));
    await Promise.allSettled([...this.#lanes.values()].flat().map((lane) => lane.close()));
  }

  async #openPlain(
    spec: PlainSpec,
    receiver: SessionReceiver,
    signal: AbortSignal | undefined,
  ): Promise<SessionQueue> {
    this.#count += 1;
    const count = this.#count;
    const lane = this.#lane(spec.prefetch, count);
    const queueSpec: BoundQueueSpec = {
      name: (linkEpoch) =>
        edgeQueueNames(this.#names, `${this.#node}.${linkEpoch}`).connection(count),
      declare: ({ control }, name) =>
        control.assertQueue(name, {
          exclusive: true,
          durable: false,
          autoDelete: false,
          arguments: { 'x-max-length': spec.maxLength, 'x-overflow': 'drop-head' },
        }),
      exchange: this.#names.channels,
      noAck: false,
      survives: false,
    };
    const queue = new BoundQueue(queueSpec, sessionReceiver(receiver));
    const close = async () => {
      lane.remove(queue);
      await queue.close();
    };
    await this.#opened(lane, queue, close, signal);
    return this.#register(queue, { resumed: () => false, close, park: close });
  }

  /** Its own channel: only a channel that closes gives back what was not acknowledged, in order. */
  async #openContinuity(
    spec: ContinuitySpec,
    receiver: SessionReceiver,
    signal: AbortSignal | undefined,
  ): Promise<SessionQueue> {
    if (!sessionKeyPattern.test(spec.key)) {
      throw new RangeError('a session key is 22 to 64 characters of A-Z a-z 0-9 _ -');
    }
    let found: boolean | undefined;
    const lane = new Lane(this.#link, spec.prefetch, this.#log);
    const queueSpec: BoundQueueSpec = {
      name: () => sessionQueueName(this.#names, spec.key),
      async declare({ session, control }, name) {
        const exists = await queueExists(session.model, name);
        found ??= exists;
        if (exists) return;
        await control.assertQueue(name, {
          durable: true,
          arguments: {
            'x-expires': spec.windowMs,
            'x-max-length': spec.maxLength,
            'x-overflow': 'drop-head',
            'x-single-active-consumer': true,
          },
        });
      },
      exchange: this.#names.channels,
      noAck: false,
      survives: true,
    };
    const queue = new BoundQueue(queueSpec, sessionReceiver(receiver));
    const close = async () => {
      lane.remove(queue);
      await queue.close();
      await lane.close();
    };
    const park = async () => {
      lane.remove(queue);
      await queue.close(true);
      await lane.close();
    };
    // Until it is handed over nothing may be lost with it, not even by an abort.
    await this.#opened(lane, queue, park, signal);
    return this.#register(queue, { resumed: () => found === true, close, park });
  }

  async #opened(
    lane: Lane,
    queue: BoundQueue,
    end: () => Promise<void>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const onAbort = () => void end();
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#opening.add(end);
    lane.add(queue);
    try {
      await queue.opened;
    } catch (error) {
      await end();
      throw error;
    } finally {
      this.#opening.delete(end);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #register(
    queue: BoundQueue,
    ends: { resumed(): boolean; close(): Promise<void>; park(): Promise<void> },
  ): SessionQueue {
    const resumed = ends.resumed();
    const session: SessionQueue = {
      resumed,
      bind: (key) => queue.bind(key),
      unbind: (key) => queue.unbind(key),
      ack: (delivery) => queue.ack(delivery.tag, delivery.epoch),
      park: () => {
        this.#open.delete(session);
        return ends.park();
      },
      close: () => {
        this.#open.delete(session);
        return ends.close();
      },
    };
    this.#open.add(session);
    return session;
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
      lane = new Lane(this.#link, prefetch, this.#log);
      lanes[index] = lane;
    }
    return lane;
  }
}

function sessionReceiver(receiver: SessionReceiver): BoundQueueReceiver {
  return {
    message: (message, epoch) => receiver.delivered(toDelivery(message, epoch)),
    interrupted: () => receiver.interrupted(),
    restored: () => receiver.restored(),
  };
}
