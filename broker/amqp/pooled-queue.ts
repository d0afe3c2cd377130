/** A queue that serves one owner after the other: who is told what comes in, and how to be sure that nothing old is left in it. */
import { randomUUID } from 'node:crypto';
import type { ConsumeMessage } from 'amqplib';
import { type Clock, delay } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import { BoundQueue, type BoundQueueReceiver, type BoundQueueSpec } from './bound-queue.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import type { Lane } from './lane.ts';
import { isOwnMessage, messageType } from './own-messages.ts';

/** How long the barrier may take before the queue is given up. */
const barrierTimeoutMs = 5_000;

export class PooledQueue {
  readonly lane: Lane;
  readonly queue: BoundQueue;
  #owner: BoundQueueReceiver | undefined;
  /** Keys of the former owner that this one has not bound. */
  #foreign: ReadonlySet<string> = new Set();
  #barrier: { readonly id: string; arrived(): void } | undefined;
  readonly #whenLost: (queue: PooledQueue) => void;

  /** @param whenLost it is lost while nobody owns it */
  constructor(lane: Lane, spec: BoundQueueSpec, whenLost: (queue: PooledQueue) => void) {
    this.lane = lane;
    this.#whenLost = whenLost;
    this.queue = new BoundQueue(spec, {
      message: (message, epoch) => this.#message(message, epoch),
      interrupted: () => {
        // The next one is empty.
        this.#foreign = new Set();
        if (this.#owner === undefined) this.#whenLost(this);
        else this.#owner.interrupted();
      },
      restored: () => this.#owner?.restored(),
    });
  }

  adopt(owner: BoundQueueReceiver): void {
    this.queue.renew();
    this.#owner = owner;
  }

  bind(key: string): Promise<void> {
    if (this.#foreign.has(key)) {
      this.#foreign = new Set([...this.#foreign].filter((other) => other !== key));
    }
    return this.queue.bind(key);
  }

  /** From now on nobody is told of what comes in. Resolves when nothing is routed here any more. */
  async leave(): Promise<void> {
    this.#owner = undefined;
    this.#foreign = new Set(this.queue.bindings.keys);
    await this.queue.bindings.unbindAll(new BrokerError('closed', 'the queue is closed'));
  }

  /** Resolves when everything that was ever published for the former owner is out; rejects where that cannot be known. */
  async empty(publisher: ConfirmPublisher, clock: Clock): Promise<void> {
    await this.queue.empty();
    const { name } = this.queue;
    if (name === undefined) throw new BrokerError('broker_unavailable', 'the queue is gone');
    const over = new AbortController();
    const id = randomUUID();
    const arrived = new Promise<void>((resolve) => {
      this.#barrier = { id, arrived: resolve };
    });
    try {
      await publisher.publish('', name, Buffer.alloc(0), {
        type: messageType.barrier,
        messageId: id,
        persistent: false,
      });
      const late = delay(clock, barrierTimeoutMs, over.signal).then(() => {
        if (!over.signal.aborted)
          throw new BrokerError('broker_timeout', 'no barrier came through');
      });
      await Promise.race([arrived, late]);
    } finally {
      over.abort();
      this.#barrier = undefined;
    }
  }

  #message(message: ConsumeMessage, epoch: number): void {
    const owner = this.#owner;
    const { fields, properties } = message;
    if (owner === undefined || this.#foreign.has(fields.routingKey) || isOwnMessage(message)) {
      this.queue.ack(fields.deliveryTag, epoch);
      if (isOwnMessage(message) && properties.messageId === this.#barrier?.id) {
        this.#barrier?.arrived();
      }
      return;
    }
    owner.message(message, epoch);
  }
}
