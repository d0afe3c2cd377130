/** One queue per connection: opens them, and holds the plain ones, which end with their owner. */
import type { ChannelKey } from '../../contracts/ids.ts';
import type { Publication } from '../../contracts/publication.ts';
import { plainHasNone } from '../limits.ts';
import type {
  Delivery,
  SessionQueue,
  SessionQueues,
  SessionReceiver,
  SessionSpec,
} from '../port.ts';
import type { Connection } from './connection.ts';
import { ContinuitySession } from './continuity-session.ts';
import { deliveryOf } from './delivery.ts';
import { OwnQueue } from './own-queue.ts';

export function createSessionQueues(connection: Connection): SessionQueues {
  return {
    async open(spec, receiver, signal) {
      switch (spec.kind) {
        case 'plain': {
          const session = new PlainSession(connection, spec, receiver);
          await session.open(signal);
          return session;
        }
        case 'continuity': {
          const session = new ContinuitySession(connection, spec, receiver);
          await session.open(signal);
          return session;
        }
      }
    },
  };
}

class PlainSession implements SessionQueue {
  readonly resumed = false;
  readonly #queue: OwnQueue<Publication>;
  #epoch: number;

  constructor(
    connection: Connection,
    spec: Extract<SessionSpec, { kind: 'plain' }>,
    receiver: SessionReceiver,
  ) {
    this.#epoch = connection.host.nextEpoch();
    this.#queue = new OwnQueue(connection, {
      exchange: connection.host.channels,
      maxLength: spec.maxLength,
      consumer: {
        prefetch: spec.prefetch,
        deliver: (publication, tag, redelivered) =>
          receiver.delivered(deliveryOf(publication, tag, this.#epoch, redelivered)),
      },
      interrupted: () => receiver.interrupted(),
      restored: () => {
        this.#epoch = connection.host.nextEpoch();
        receiver.restored();
      },
    });
  }

  open(signal?: AbortSignal): Promise<void> {
    return this.#queue.open(signal);
  }

  bind(key: ChannelKey): Promise<void> {
    return this.#queue.bind(key);
  }

  async unbind(key: ChannelKey): Promise<void> {
    this.#queue.unbind(key);
  }

  ack(delivery: Pick<Delivery, 'tag' | 'epoch'>): void {
    if (delivery.epoch === this.#epoch) this.#queue.ack(delivery.tag);
  }

  async note(): Promise<void> {
    throw plainHasNone();
  }

  async reset(): Promise<void> {
    throw plainHasNone();
  }

  async park(): Promise<void> {
    this.#queue.close();
  }

  async close(): Promise<void> {
    this.#queue.close();
  }
}
