/** One queue per connection: plain ones that share lanes, and continuity queues that outlive their owner. */
import { sessionQueueName } from '../../contracts/topology.ts';
import { BrokerError } from '../errors.ts';
import { checkContinuity, checkNote } from '../limits.ts';
import type { SessionQueue, SessionQueues, SessionReceiver, SessionSpec } from '../port.ts';
import { maxPrefetch, ownMessages } from './continuity-hold.ts';
import { ContinuityQueue } from './continuity-queue.ts';
import { Lane } from './lane.ts';
import { PlainQueues, type PlainQueuesHost } from './plain-queues.ts';

type ContinuitySpec = Extract<SessionSpec, { kind: 'continuity' }>;

export interface SessionQueuesHost extends PlainQueuesHost {
  /** RabbitMQ closes a channel that has held a message for 30 minutes (`consumer_timeout`); sessions hold some for as long as they live. */
  readonly renewAfterMs: number;
}

/** Declaring and binding for sessions; their consumers have channels of their own. */
const controlLanes = 8;

export class AmqpSessionQueues implements SessionQueues {
  readonly #host: SessionQueuesHost;
  readonly #plain: PlainQueues;
  readonly #lanes: Lane[] = [];
  /** Open, or being opened. */
  readonly #sessions = new Set<ContinuityQueue>();
  #count = 0;

  constructor(host: SessionQueuesHost) {
    this.#host = host;
    this.#plain = new PlainQueues(host);
  }

  async open(
    spec: SessionSpec,
    receiver: SessionReceiver,
    signal?: AbortSignal,
  ): Promise<SessionQueue> {
    if (signal?.aborted === true) throw new BrokerError('closed', 'opening was aborted');
    return spec.kind === 'plain'
      ? this.#plain.open(spec, receiver, signal)
      : this.#openContinuity(spec, receiver, signal);
  }

  async closeAll(): Promise<void> {
    await Promise.allSettled([
      this.#plain.closeAll(),
      ...[...this.#sessions].map((queue) => queue.park()),
    ]);
    await Promise.allSettled(this.#lanes.map((lane) => lane.close()));
  }

  async #openContinuity(
    spec: ContinuitySpec,
    receiver: SessionReceiver,
    signal: AbortSignal | undefined,
  ): Promise<SessionQueue> {
    checkContinuity(spec);
    const { names, link, log, publisher, clock, renewAfterMs } = this.#host;
    this.#count += 1;
    const index = this.#count % controlLanes;
    const lane = this.#lanes[index] ?? new Lane(link, undefined, log);
    this.#lanes[index] = lane;
    const queue = new ContinuityQueue(
      { publisher, clock, log, exchange: names.channels, renewAfterMs },
      {
        name: sessionQueueName(names, spec.key),
        windowMs: spec.windowMs,
        length: spec.maxLength + ownMessages,
      },
      Math.min(spec.prefetch, maxPrefetch),
      receiver,
    );
    const leave = async (letGo: Promise<void>) => {
      lane.remove(queue);
      await letGo;
      this.#sessions.delete(queue);
    };
    const onAbort = () => void leave(queue.park());
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#sessions.add(queue);
    lane.add(queue);
    try {
      await queue.opened;
    } catch (error) {
      await leave(queue.park());
      throw error;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    return {
      resumed: queue.resumed,
      bind: (key) => queue.bind(key),
      unbind: (key) => queue.unbind(key),
      ack: ({ tag, epoch }) => queue.ack(tag, epoch),
      async note(text) {
        checkNote(text);
        await queue.note(text);
      },
      reset: () => queue.reset(),
      park: () => leave(queue.park()),
      close: () => leave(queue.end()),
    };
  }
}
