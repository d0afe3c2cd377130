/**
 * A queue of this process with its bindings: declares it, binds what is wanted, consumes, and does all that again whenever the
 * connection, its channel or the queue itself was lost. Wanted bindings are state, not calls, so nothing is forgotten on the way.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { BrokerError } from '../errors.ts';
import { type LinkSession, messageOf, replyCode, replyCodeOf, toBrokerError } from './link.ts';

export interface BoundQueueSpec {
  /** The same name within one connection; another one for the next, where a dead connection may still own the former. */
  name(linkEpoch: number): string;
  declare(channels: LaneChannels, name: string): Promise<unknown>;
  readonly exchange: string;
  readonly noAck: boolean;
  /** The queue and its bindings outlive the connection. */
  readonly survives: boolean;
  readonly keys?: readonly string[];
}

export interface BoundQueueReceiver {
  /** `epoch` changes with every new consumer. */
  message(message: ConsumeMessage, epoch: number): void;
  interrupted(): void;
  restored(): void;
}

/** The two channels that a lane lends to its queues. Each may be replaced while the other lives on. */
export interface LaneChannels {
  readonly session: LinkSession;
  /** Declares and binds; an error here costs no consumer. */
  readonly control: Channel;
  readonly consumer: Channel;
}

interface Binding {
  wanted: boolean;
  state: 'absent' | 'binding' | 'bound' | 'unbinding';
  /** Wait until it is bound. */
  waiters: { resolve(): void; reject(error: BrokerError): void }[];
  /** Wait until it is unbound, or until nobody wants that any more. */
  leavers: (() => void)[];
}

/** Counts over all queues: an acknowledgement must not fit a later owner of the same queue by chance. */
let lastEpoch = 0;

function nextEpoch(): number {
  lastEpoch += 1;
  return lastEpoch;
}

export class BoundQueue {
  readonly #spec: BoundQueueSpec;
  readonly #receiver: BoundQueueReceiver;
  readonly #bindings = new Map<string, Binding>();
  #channels: LaneChannels | undefined;
  /** Set while the queue exists at the broker, as far as we know. */
  #name: string | undefined;
  #consuming: { readonly channel: Channel; readonly done: Promise<unknown> } | undefined;
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
    for (const key of spec.keys ?? []) this.#bindings.set(key, newBinding(true));
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
    await Promise.all([this.#consume(channels, name), this.#bindAll(channels, name)]);
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

  /** The connection is gone, and with it an exclusive queue, its bindings and its consumer. */
  connectionLost(): void {
    this.#channels = undefined;
    this.#queueGone();
  }

  #queueGone(): void {
    this.#name = undefined;
    for (const [key, binding] of [...this.#bindings]) {
      // A binding that outlives the connection and is no longer wanted has to be taken down later.
      binding.state = this.#spec.survives && !binding.wanted ? 'bound' : 'absent';
      for (const resolve of binding.leavers.splice(0)) resolve();
      this.#forget(key, binding);
    }
    this.consumerLost();
  }

  /** The consuming channel is gone; the queue stays with what it holds. */
  consumerLost(): void {
    this.#consuming = undefined;
    this.#epoch = nextEpoch();
    if (!this.#live) return;
    this.#live = false;
    this.#receiver.interrupted();
  }

  /** A new control channel: what the former one did not answer is asked again. */
  controlReplaced(channels: LaneChannels): Promise<void> {
    for (const binding of this.#bindings.values()) {
      if (binding.state === 'binding') binding.state = 'absent';
      if (binding.state === 'unbinding') binding.state = 'bound';
    }
    if (!this.#live) return this.attach(channels);
    this.#channels = channels;
    for (const [key, binding] of [...this.#bindings]) void this.#reconcile(key, binding);
    return Promise.resolve();
  }

  bind(key: string): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    let binding = this.#bindings.get(key);
    if (binding === undefined) {
      binding = newBinding(false);
      this.#bindings.set(key, binding);
    }
    const entry = binding;
    entry.wanted = true;
    for (const resolve of entry.leavers.splice(0)) resolve();
    if (entry.state === 'bound') return Promise.resolve();
    const waiting = new Promise<void>((resolve, reject) => {
      entry.waiters.push({ resolve, reject });
    });
    void this.#reconcile(key, entry);
    return waiting;
  }

  /** Resolves when the broker routes the key here no longer, or at once while it is away. */
  unbind(key: string): Promise<void> {
    if (this.#closed !== undefined) return Promise.resolve();
    let binding = this.#bindings.get(key);
    if (binding === undefined) {
      if (!this.#spec.survives) return Promise.resolve();
      // A former owner may have bound it.
      binding = { ...newBinding(false), state: 'bound' };
      this.#bindings.set(key, binding);
    }
    const entry = binding;
    entry.wanted = false;
    for (const waiter of entry.waiters.splice(0)) waiter.resolve();
    // Away from the broker, what outlives the connection may still be bound there.
    if (this.#spec.survives && this.#channels === undefined) entry.state = 'bound';
    const left = new Promise<void>((resolve) => {
      if (this.#channels === undefined || entry.state === 'absent') resolve();
      else entry.leavers.push(resolve);
    });
    void this.#reconcile(key, entry);
    return left;
  }

  ack(tag: number, epoch: number): void {
    if (epoch !== this.#epoch || this.#channels === undefined) return;
    try {
      // Only the tag is looked at.
      this.#channels.consumer.ack({ fields: { deliveryTag: tag } } as ConsumeMessage);
    } catch {
      // The channel is closing: the broker hands the message out again, under a new epoch.
      return;
    }
  }

  /** Deletes the queue, unless it is to be left for its next owner. Idempotent. */
  async close(leave = false): Promise<void> {
    if (this.#closed !== undefined) return;
    this.#fail(new BrokerError('closed', 'the queue is closed'));
    // A queue deleted between its declaration and its consume would take the lane's consuming channel down (404).
    await this.#attaching.catch(() => undefined);
    const channels = this.#channels;
    const name = this.#name;
    this.#channels = undefined;
    this.#name = undefined;
    if (leave || channels === undefined || name === undefined) return;
    await channels.control.deleteQueue(name).catch(() => {
      // The channel or connection is gone; an exclusive queue goes with it.
    });
  }

  #fail(error: BrokerError): void {
    this.#closed = error;
    this.#live = false;
    for (const binding of this.#bindings.values()) {
      for (const waiter of binding.waiters.splice(0)) waiter.reject(error);
      for (const resolve of binding.leavers.splice(0)) resolve();
    }
    this.#refused?.(error);
  }

  #consume(channels: LaneChannels, name: string): Promise<unknown> {
    if (this.#consuming?.channel === channels.consumer) return this.#consuming.done;
    const epoch = this.#epoch;
    const done = channels.consumer.consume(
      name,
      (message) => {
        if (this.#closed !== undefined || epoch !== this.#epoch) return;
        // null: the broker cancelled the consumer because somebody deleted the queue.
        if (message === null) this.#deletedByOthers();
        else this.#receiver.message(message, epoch);
      },
      { noAck: this.#spec.noAck },
    );
    this.#consuming = { channel: channels.consumer, done };
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

  async #bindAll(channels: LaneChannels, name: string): Promise<void> {
    if (this.#bindings.size === 0) return;
    for (const [key, binding] of [...this.#bindings]) void this.#reconcile(key, binding);
    // Requests on a channel are answered in order: when this one is, those before it were.
    await channels.control.checkQueue(name);
  }

  /** Moves one binding towards what is wanted; one request per key is under way at a time. */
  #reconcile(key: string, binding: Binding): Promise<void> {
    const name = this.#name;
    const channels = this.#channels;
    if (binding.wanted && binding.state === 'bound') {
      for (const waiter of binding.waiters.splice(0)) waiter.resolve();
    } else if (name !== undefined && channels !== undefined) {
      const { exchange } = this.#spec;
      if (binding.wanted && binding.state === 'absent') {
        binding.state = 'binding';
        return this.#request(channels, name, key, binding, 'bound', () =>
          channels.control.bindQueue(name, exchange, key),
        );
      }
      if (!binding.wanted && binding.state === 'bound') {
        binding.state = 'unbinding';
        return this.#request(channels, name, key, binding, 'absent', () =>
          channels.control.unbindQueue(name, exchange, key),
        );
      }
    }
    this.#forget(key, binding);
    return Promise.resolve();
  }

  /** An answer that a channel took with it to the grave is left to the next channel. */
  async #request(
    channels: LaneChannels,
    name: string,
    key: string,
    binding: Binding,
    reached: 'bound' | 'absent',
    send: () => Promise<unknown>,
  ): Promise<void> {
    let refused: unknown;
    try {
      await send();
    } catch (error) {
      if (!isReplyTo(error)) return;
      if (replyCodeOf(error) !== replyCode.accessRefused) {
        // The exchange or queue is missing: only a new connection replays the whole topology.
        channels.session.abandon(messageOf(error));
        return;
      }
      refused = error;
    }
    if (this.#channels?.session !== channels.session || this.#name !== name) return;
    if (refused !== undefined && reached === 'bound') {
      this.#bindRefused(key, binding, refused);
      return;
    }
    binding.state = reached;
    if (reached === 'absent') for (const resolve of binding.leavers.splice(0)) resolve();
    await this.#reconcile(key, binding);
  }

  /** Asking again would close the control channel again, for everybody on the lane. */
  #bindRefused(key: string, binding: Binding, cause: unknown): void {
    binding.state = 'absent';
    binding.wanted = false;
    this.#forget(key, binding);
    const error = toBrokerError(cause, `binding ${key} to ${this.#spec.exchange}`);
    for (const waiter of binding.waiters.splice(0)) waiter.reject(error);
  }

  #forget(key: string, binding: Binding): void {
    if (!binding.wanted && binding.state === 'absent' && this.#bindings.get(key) === binding) {
      this.#bindings.delete(key);
    }
  }
}

/** amqplib names the operation only in the error of the request that caused the closure. */
function isReplyTo(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Operation failed');
}

function newBinding(wanted: boolean): Binding {
  return { wanted, state: 'absent', waiters: [], leavers: [] };
}
