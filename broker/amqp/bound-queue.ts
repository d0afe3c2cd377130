/**
 * A queue of this process with its bindings: declares it, binds what is wanted, consumes, and does all that again whenever the
 * connection, its channel or the queue itself was lost. It ends with its connection.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { BrokerError } from '../errors.ts';
import { Bindings, isReplyTo } from './bindings.ts';
import type { LaneChannels, LaneQueue } from './lane.ts';
import { toBrokerError } from './link.ts';

export interface BoundQueueSpec {
  /** The same name within one connection; another one for the next, where a dead connection may still own the former. */
  name(linkEpoch: number): string;
  declare(channels: LaneChannels, name: string): Promise<unknown>;
  readonly exchange: string;
  readonly noAck: boolean;
  readonly keys?: readonly string[];
}

export interface BoundQueueReceiver {
  /** `epoch` changes with every new consumer, and with every `renew`. */
  message(message: ConsumeMessage, epoch: number): void;
  interrupted(): void;
  restored(): void;
}

/** Counts over all queues: an acknowledgement must not fit a later owner of the same queue by chance. */
let lastEpoch = 0;

export function nextEpoch(): number {
  lastEpoch += 1;
  return lastEpoch;
}

export class BoundQueue implements LaneQueue {
  readonly #spec: BoundQueueSpec;
  readonly #receiver: BoundQueueReceiver;
  readonly bindings: Bindings;
  #channels: LaneChannels | undefined;
  /** Set while the queue exists at the broker, as far as we know. */
  #name: string | undefined;
  #consuming: { readonly channel: Channel; readonly done: Promise<unknown> } | undefined;
  /** Tags in hand. */
  readonly #unacknowledged = new Set<number>();
  #attaching: Promise<void> = Promise.resolve();
  #epoch = nextEpoch();
  #live = false;
  #everLive = false;
  #closed: BrokerError | undefined;
  #opened: (() => void) | undefined;
  #refused: ((error: BrokerError) => void) | undefined;
  /** Resolves when it is consumed for the first time; rejects with what made that impossible for good, or `closed`. */
  readonly opened: Promise<void>;

  constructor(spec: BoundQueueSpec, receiver: BoundQueueReceiver) {
    this.#spec = spec;
    this.#receiver = receiver;
    const { exchange, keys = [] } = spec;
    this.bindings = new Bindings({ exchange, keys, survives: false });
    this.opened = new Promise((resolve, reject) => {
      this.#opened = resolve;
      this.#refused = reject;
    });
    // Whoever opens it awaits this too; a close before that must not count as unhandled.
    this.opened.catch(() => undefined);
  }

  get live(): boolean {
    return this.#live;
  }

  /** At the broker, while it is live. */
  get name(): string | undefined {
    return this.#name;
  }

  /** Declares (where it is gone), consumes and binds on these channels. Rejects where a channel broke meanwhile. */
  attach(channels: LaneChannels): Promise<void> {
    this.#attaching = this.#attach(channels);
    return this.#attaching;
  }

  async #attach(channels: LaneChannels): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#channels = channels;
    const name = this.#spec.name(channels.session.epoch);
    if (this.#name !== name) await this.#declare(channels, name);
    if (this.#name === undefined || this.#channels !== channels) return;
    const { session, control } = channels;
    await Promise.all([
      this.#consume(channels, name),
      this.bindings.settle({ queue: name, session, control }),
    ]);
    if (this.#closed !== undefined || this.#channels !== channels || this.#live) return;
    this.#live = true;
    const again = this.#everLive;
    this.#everLive = true;
    this.#opened?.();
    if (again) this.#receiver.restored();
  }

  async #declare(channels: LaneChannels, name: string): Promise<void> {
    try {
      await this.#spec.declare(channels, name);
    } catch (error) {
      // The broker's own answer to this declaration stays the same however often it is asked.
      if (isReplyTo(error) || error instanceof BrokerError) {
        this.#fail(toBrokerError(error, `declaring queue ${name}`));
      }
      throw error;
    }
    this.#name = name;
  }

  /** The connection is gone, and with it the queue, its bindings and its consumer. */
  connectionLost(): void {
    this.#channels = undefined;
    this.#queueGone();
  }

  #queueGone(): void {
    this.#name = undefined;
    this.bindings.deleted();
    this.consumerLost();
  }

  /** The consuming channel is gone; the queue stays with what it holds. */
  consumerLost(): void {
    this.#consuming = undefined;
    this.renew();
    if (!this.#live) return;
    this.#live = false;
    this.#receiver.interrupted();
  }

  /** A new epoch: acknowledgements of what came before do nothing from now on. */
  renew(): void {
    this.#unacknowledged.clear();
    this.#epoch = nextEpoch();
  }

  /** A new control channel: what the former one did not answer is asked again. */
  controlReplaced(channels: LaneChannels): Promise<void> {
    if (this.#closed !== undefined) return Promise.resolve();
    const name = this.#name;
    const { session, control } = channels;
    if (name !== undefined) this.bindings.replaced({ queue: name, session, control });
    if (!this.#live) return this.attach(channels);
    this.#channels = channels;
    return Promise.resolve();
  }

  bind(key: string): Promise<void> {
    return this.#closed === undefined ? this.bindings.bind(key) : Promise.reject(this.#closed);
  }

  /** Resolves when the broker routes the key here no longer, or at once while it is away. */
  unbind(key: string): Promise<void> {
    return this.#closed === undefined ? this.bindings.unbind(key) : Promise.resolve();
  }

  ack(tag: number, epoch: number): void {
    if (epoch !== this.#epoch || this.#channels === undefined) return;
    // A tag that is not in hand would close the channel, with every consumer on it.
    if (this.#unacknowledged.delete(tag)) this.#acknowledge(this.#channels.consumer, tag);
  }

  /** Removes what waits at the broker and acknowledges what is in hand. Rejects where it is not live or a channel broke. */
  async empty(): Promise<void> {
    const channels = this.#channels;
    const name = this.#name;
    if (!this.#live || channels === undefined || name === undefined) {
      throw new BrokerError('broker_unavailable', 'the queue is being made anew');
    }
    await channels.control.purgeQueue(name);
    if (this.#channels?.consumer !== channels.consumer) return;
    for (const tag of this.#unacknowledged) this.#acknowledge(channels.consumer, tag);
    this.#unacknowledged.clear();
  }

  #acknowledge(consumer: Channel, tag: number): void {
    try {
      // Only the tag is looked at.
      consumer.ack({ fields: { deliveryTag: tag } } as ConsumeMessage);
    } catch {
      // The channel is closing: the broker hands the message out again, under a new epoch.
      return;
    }
  }

  /** Deletes the queue. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#fail(new BrokerError('closed', 'the queue is closed'));
    // A queue deleted between its declaration and its consume would take the lane's consuming channel down (404).
    await this.#attaching.catch(() => undefined);
    const channels = this.#channels;
    const name = this.#name;
    this.#channels = undefined;
    this.#name = undefined;
    if (channels === undefined || name === undefined) return;
    await channels.control.deleteQueue(name).catch(() => {
      // The channel or connection is gone; an exclusive queue goes with it.
    });
  }

  #fail(error: BrokerError): void {
    this.#closed = error;
    this.#live = false;
    this.bindings.close(error);
    this.#refused?.(error);
  }

  #consume(channels: LaneChannels, name: string): Promise<unknown> {
    if (this.#consuming?.channel === channels.consumer) return this.#consuming.done;
    const { noAck } = this.#spec;
    const { consumer } = channels;
    const done = consumer.consume(
      name,
      (message) => {
        if (this.#closed !== undefined || this.#consuming?.done !== done) return;
        // null: the broker cancelled the consumer because somebody deleted the queue.
        if (message === null) {
          this.#deletedByOthers();
          return;
        }
        if (!noAck) this.#unacknowledged.add(message.fields.deliveryTag);
        this.#receiver.message(message, this.#epoch);
      },
      { noAck },
    );
    this.#consuming = { channel: consumer, done };
    return done;
  }

  #deletedByOthers(): void {
    const channels = this.#channels;
    this.#queueGone();
    if (channels === undefined) return;
    this.attach(channels).catch(() => {
      // A channel broke too: the lane attaches this queue again on the next one.
    });
  }
}
