/**
 * The road that all connections of an edge share: one queue at the broker, bound once per channel however many listen, and fanned out
 * in process. One frame is built per message; what each subscriber costs is the push into its outbox.
 *
 * Nothing is acknowledged, so a slow client cannot hold anything back here: the bytes that wait for it are bounded, and beyond the
 * bound its connection is closed. It comes back with a code that clients retry, and misses no event without having been away.
 */
import { BrokerError } from '../../broker/errors.ts';
import type { Delivery, EdgeQueue, EdgeQueueReceiver, EdgeQueues } from '../../broker/port.ts';
import type { ChannelKey, EdgeId, SocketId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Outbox } from '../socket/outbox.ts';
import { textFrame } from '../socket/websocket-frame.ts';
import type { EdgeTally } from '../tally.ts';
import { LingeringKeys } from './shared-queue-lingering.ts';
import type { Subscription } from './subscription.ts';

/** The end of the road: one socket. */
export interface SharedListener {
  readonly socketId: SocketId;
  readonly outbox: Pick<Outbox, 'push' | 'flush' | 'bufferedBytes'>;
  /** More waits for this socket than may wait: its connection is to be closed, now, with a code that clients retry. */
  overflow(): void;
}

export interface SharedQueueOptions {
  readonly queues: EdgeQueues;
  readonly edgeId: EdgeId;
  /** Messages that one connection's queue holds. This one holds as many, and at least 50,000: it carries the channels of many. */
  readonly queueMaxLength: number;
  /** Bytes from which on a socket counts as full. Four times as many may wait for one at a time. */
  readonly socketBufferBytes: number;
  readonly clock: Clock;
  readonly tally: EdgeTally;
}

/** Times `socketBufferBytes`: room for a burst that leaves again within a turn or a few. */
const burst = 4;
/** Messages that the queue holds at the broker while this edge is behind; beyond it the oldest are dropped. */
const minLength = 50_000;
/** Messages that may wait for one subscription to succeed. It takes the broker milliseconds. */
const maxHeld = 1_000;

/** One binding at the broker, and who listens to it. */
interface Binding {
  readonly key: ChannelKey;
  /** By exact channel name: keys of long names are hashes. Without any, the binding lingers. */
  readonly channels: Map<string, Map<Subscription, SharedListener>>;
  isBound: boolean;
  /** Resolves when it is bound; set while that is under way and from then on. */
  binding: Promise<void> | undefined;
}

export class SharedQueue implements EdgeQueueReceiver {
  readonly #options: SharedQueueOptions;
  readonly #maxBytes: number;
  readonly #bindings = new Map<ChannelKey, Binding>();
  readonly #lingering: LingeringKeys;
  #opening: Promise<EdgeQueue> | undefined;
  #queue: EdgeQueue | undefined;
  #closed = false;
  #interruptions = 0;

  constructor(options: SharedQueueOptions) {
    this.#options = options;
    this.#maxBytes = burst * options.socketBufferBytes;
    this.#lingering = new LingeringKeys(options.clock, (key) => this.#unbind(key));
  }

  /** Keys that are bound, or being bound, with those that linger. */
  get bindings(): number {
    return this.#bindings.size;
  }

  /** Keys that stay bound for a while although nobody listens. */
  get lingering(): number {
    return this.#lingering.size;
  }

  /** Times that the broker was away, each a gap for all who listened. */
  get interruptions(): number {
    return this.#interruptions;
  }

  /** As `Road.join`. A channel that is bound already needs no word with the broker. */
  async join(subscription: Subscription, listener: SharedListener): Promise<void> {
    if (this.#closed) throw new BrokerError('closed', 'the edge is stopping');
    const { key, channel } = subscription;
    let binding = this.#bindings.get(key);
    if (binding === undefined) {
      binding = { key, channels: new Map(), isBound: false, binding: undefined };
      this.#bindings.set(key, binding);
    }
    this.#lingering.delete(key);
    const listeners = binding.channels.get(channel.name);
    if (listeners === undefined) {
      binding.channels.set(channel.name, new Map([[subscription, listener]]));
    } else {
      listeners.set(subscription, listener);
    }
    if (binding.isBound) return;
    binding.binding ??= this.#bind(binding);
    await binding.binding;
  }

  /** As `Road.start`. */
  start(subscription: Subscription): void {
    const listener = this.#listenersOf(subscription)?.get(subscription);
    const { held } = subscription;
    subscription.held = [];
    subscription.heldBytes = 0;
    if (listener === undefined) return;
    const { tally } = this.#options;
    for (const delivery of held) {
      // A revocation before it may have ended it.
      if (subscription.state === 'left') return;
      if (delivery.revokes !== undefined) {
        subscription.subscriber.revoked(subscription, delivery.revokes);
        continue;
      }
      tally.deliveries += 1;
      listener.outbox.push(textFrame(delivery.body));
    }
  }

  /** As `Road.leave`. Idempotent. */
  leave(subscription: Subscription): void {
    const { tally } = this.#options;
    const late = subscription.held.filter(({ revokes }) => revokes === undefined).length;
    if (late > 0) tally.dropped.add('late', late);
    subscription.held = [];
    subscription.heldBytes = 0;
    const listeners = this.#listenersOf(subscription);
    if (listeners?.delete(subscription) !== true || listeners.size > 0) return;
    const binding = this.#bindings.get(subscription.key);
    binding?.channels.delete(subscription.channel.name);
    if (binding?.channels.size === 0) this.#lingering.add(subscription.key);
  }

  /** Unbinds and deletes the queue. Resolves at once where the broker has never been there. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#lingering.clear();
    this.#bindings.clear();
    if (this.#queue !== undefined) await this.#queue.close();
  }

  delivered(delivery: Delivery): void {
    const { tally } = this.#options;
    const channels = this.#bindings.get(delivery.key)?.channels;
    const listeners = channels?.get(delivery.channel);
    if (listeners === undefined) {
      if (delivery.revokes !== undefined) return;
      // Where somebody listens to the key, only to another channel, it is the wrong message and not a late one.
      tally.dropped.add(channels === undefined || channels.size === 0 ? 'late' : 'foreign');
      return;
    }
    const { id, except, revokes } = delivery;
    if (revokes !== undefined) {
      this.#revoke(listeners, delivery, revokes);
      return;
    }
    const frame = textFrame(delivery.body);
    let pushed = 0;
    // Those who overflow leave the map while it is walked through, which is allowed.
    for (const [subscription, listener] of listeners) {
      if (except !== undefined && except === listener.socketId) {
        tally.dropped.add('excluded');
      } else if (subscription.state === 'live') {
        if (subscription.covered?.has(id) === true) {
          tally.dropped.add('covered');
          continue;
        }
        listener.outbox.push(frame);
        pushed += 1;
        if (listener.outbox.bufferedBytes > this.#maxBytes) this.#relieve(listener);
      } else if (subscription.state === 'joining') {
        this.#hold(subscription, listener, delivery);
      } else {
        tally.dropped.add('late');
      }
    }
    tally.deliveries += pushed;
  }

  interrupted(): void {
    this.#interruptions += 1;
  }

  restored(): void {
    // The adapter has made the queue and its bindings anew: deliveries go on by themselves.
  }

  #revoke(
    listeners: ReadonlyMap<Subscription, SharedListener>,
    delivery: Delivery,
    user: string,
  ): void {
    // Whoever it concerns leaves the map while it is walked through, which is allowed.
    for (const [subscription, listener] of listeners) {
      if (subscription.state === 'live') subscription.subscriber.revoked(subscription, user);
      else if (subscription.state === 'joining') this.#hold(subscription, listener, delivery);
    }
  }

  #listenersOf({ key, channel }: Subscription): Map<Subscription, SharedListener> | undefined {
    return this.#bindings.get(key)?.channels.get(channel.name);
  }

  /** A burst within one turn is no slow client: what the kernel takes at once does not count. */
  #relieve(listener: SharedListener): void {
    listener.outbox.flush();
    if (listener.outbox.bufferedBytes > this.#maxBytes) listener.overflow();
  }

  /** What was accepted is not dropped in silence: beyond the bound the connection ends, and the client knows that it was away. */
  #hold(subscription: Subscription, listener: SharedListener, delivery: Delivery): void {
    if (
      subscription.held.length >= maxHeld ||
      subscription.heldBytes + delivery.body.length > this.#maxBytes
    ) {
      listener.overflow();
      return;
    }
    subscription.held.push(delivery);
    subscription.heldBytes += delivery.body.length;
  }

  async #bind(binding: Binding): Promise<void> {
    try {
      const queue = await this.#open();
      // Given up while the queue was opening: then nothing must be bound.
      if (this.#bindings.get(binding.key) !== binding) return;
      await queue.bind(binding.key);
      binding.isBound = true;
    } catch (error) {
      // Whoever joins next, or again, makes the next attempt.
      binding.binding = undefined;
      throw error;
    }
  }

  /** Nobody came back to it. */
  #unbind(key: ChannelKey): void {
    const binding = this.#bindings.get(key);
    this.#bindings.delete(key);
    if (binding?.binding === undefined) return;
    // A queue that is closed has no bindings left to remove.
    void this.#queue?.unbind(key).catch(ignoreBrokerError);
  }

  #open(): Promise<EdgeQueue> {
    this.#opening ??= this.#openQueue();
    return this.#opening;
  }

  async #openQueue(): Promise<EdgeQueue> {
    const { queues, edgeId, queueMaxLength } = this.#options;
    const maxLength = Math.max(minLength, queueMaxLength);
    try {
      const queue = await queues.open({ edgeId, maxLength }, this);
      if (this.#closed) {
        await queue.close();
        throw new BrokerError('closed', 'the edge is stopping');
      }
      this.#queue = queue;
      return queue;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}

function ignoreBrokerError(error: unknown): void {
  if (error instanceof BrokerError) return;
  throw error;
}
