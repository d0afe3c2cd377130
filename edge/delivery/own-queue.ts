/**
 * The road of one connection's own queue: opened by its first subscription, bound once per channel, closed with the connection.
 *
 * A delivery is acknowledged only when its socket has taken it and has room for more. While the socket is full nothing is
 * acknowledged, so the broker's prefetch bounds what waits here and its queue holds the rest.
 */
import { BrokerError } from '../../broker/errors.ts';
import type {
  Delivery,
  SessionQueue,
  SessionQueues,
  SessionReceiver,
  SessionSpec,
} from '../../broker/port.ts';
import type { SocketId } from '../../contracts/ids.ts';
import type { Outbox } from '../socket/outbox.ts';
import { textFrame } from '../socket/websocket-frame.ts';
import type { EdgeTally } from '../tally.ts';
import type { Road } from './road.ts';
import type { RoadLoad } from './road-load.ts';
import type { Subscription } from './subscription.ts';

/**
 * How many left channels are remembered per connection. A client that goes through more of them before it comes back to the first
 * may see an event there that was published before it came back: early, never out of order.
 */
const maxRemembered = 128;

export interface OwnQueueOptions {
  readonly queues: SessionQueues;
  readonly spec: SessionSpec;
  readonly socketId: SocketId;
  readonly outbox: Pick<Outbox, 'push'>;
  readonly load: RoadLoad;
  readonly tally: EdgeTally;
}

export class OwnQueue implements Road, SessionReceiver {
  readonly #options: OwnQueueOptions;
  /** By channel name. */
  readonly #subscriptions = new Map<string, Subscription>();
  /** Channels that were left while the queue was bound to them: stragglers may still come. */
  readonly #left = new Set<string>();
  /** Written or about to be, not yet acknowledged. */
  #unacknowledged: Delivery[] = [];
  #opening: Promise<SessionQueue> | undefined;
  #queue: SessionQueue | undefined;
  #abort: AbortController | undefined;
  /** Counted in the backlog: the broker is still to declare the queue, for the first time or again. */
  #isAttaching = false;
  #closing: Promise<void> | undefined;

  constructor(options: OwnQueueOptions) {
    this.#options = options;
  }

  async join(subscription: Subscription): Promise<void> {
    const { name } = subscription.channel;
    subscription.isRepeat = this.#left.has(name);
    this.#subscriptions.set(name, subscription);
    const queue = await this.#open();
    // Left while the queue was opening: `leave` had nothing to unbind, so nothing must be bound.
    if (subscription.state === 'left') return;
    await queue.bind(subscription.key);
    subscription.isRepeat = false;
  }

  start(subscription: Subscription): void {
    this.#left.delete(subscription.channel.name);
    const { held } = subscription;
    subscription.held = [];
    for (const delivery of held) {
      if (delivery.revokes !== undefined) this.#revoke(subscription, delivery, delivery.revokes);
      else if (this.#subscriptions.get(subscription.channel.name) === subscription)
        this.#write(delivery);
      else this.#drop(delivery, 'late');
    }
  }

  leave(subscription: Subscription): void {
    const { name } = subscription.channel;
    if (this.#subscriptions.get(name) !== subscription) return;
    this.#subscriptions.delete(name);
    for (const delivery of subscription.held) this.#drop(delivery, 'late');
    subscription.held = [];
    if (this.#queue === undefined) return;
    this.#remember(name);
    // A queue that is closed has no bindings left to remove.
    void this.#queue.unbind(subscription.key).catch(ignoreClosed);
  }

  /** Everything written so far was taken by the socket. */
  taken(): void {
    const queue = this.#queue;
    if (queue === undefined || this.#unacknowledged.length === 0) return;
    const taken = this.#unacknowledged;
    this.#unacknowledged = [];
    for (const delivery of taken) queue.ack(delivery);
  }

  /** Closes the queue once, also where it is still being opened. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  delivered(delivery: Delivery): void {
    const subscription = this.#subscriptions.get(delivery.channel);
    if (subscription === undefined || subscription.state === 'left') this.#drop(delivery, 'late');
    else if (subscription.key !== delivery.key) this.#drop(delivery, 'foreign');
    else if (delivery.revokes !== undefined) this.#revoke(subscription, delivery, delivery.revokes);
    else if (subscription.covered?.has(delivery.id) === true) this.#drop(delivery, 'covered');
    else if (subscription.state === 'live') this.#write(delivery);
    else if (subscription.isRepeat) this.#drop(delivery, 'late');
    else subscription.held.push(delivery);
  }

  lost(): void {
    // Sessions with continuity alone are told.
  }

  noted(): void {
    // A plain queue keeps no note.
  }

  interrupted(): void {
    // Acknowledgements of what came before mean nothing to the queue that follows.
    this.#unacknowledged = [];
    if (this.#closing === undefined) this.#setAttaching(true);
  }

  restored(): void {
    // The adapter has made the queue and its bindings anew: deliveries go on by themselves.
    this.#setAttaching(false);
  }

  #setAttaching(isAttaching: boolean): void {
    if (this.#isAttaching === isAttaching) return;
    this.#isAttaching = isAttaching;
    this.#options.load.attaching += isAttaching ? 1 : -1;
  }

  #open(): Promise<SessionQueue> {
    if (this.#closing !== undefined) {
      return Promise.reject(new BrokerError('closed', 'the connection has ended'));
    }
    this.#opening ??= this.#openQueue();
    return this.#opening;
  }

  async #openQueue(): Promise<SessionQueue> {
    const { queues, spec, load } = this.#options;
    this.#abort = new AbortController();
    load.ownQueues += 1;
    this.#setAttaching(true);
    try {
      const queue = await queues.open(spec, this, this.#abort.signal);
      this.#queue = queue;
      return queue;
    } catch (error) {
      load.ownQueues -= 1;
      // Whoever joins next tries again.
      this.#opening = undefined;
      throw error;
    } finally {
      this.#setAttaching(false);
      this.#abort = undefined;
    }
  }

  async #shut(): Promise<void> {
    this.#abort?.abort();
    this.#subscriptions.clear();
    this.#left.clear();
    this.#unacknowledged = [];
    // Aborted while it was opening, it rejects; opened all the same, it is closed here. Either way nothing is left behind.
    const queue = await this.#opening?.catch(() => undefined);
    this.#setAttaching(false);
    if (queue === undefined) return;
    try {
      await queue.close();
    } finally {
      this.#options.load.ownQueues -= 1;
    }
  }

  #write(delivery: Delivery): void {
    const { socketId, outbox, tally } = this.#options;
    if (delivery.except !== undefined && delivery.except === socketId) {
      this.#drop(delivery, 'excluded');
      return;
    }
    this.#unacknowledged.push(delivery);
    tally.deliveries += 1;
    outbox.push(textFrame(delivery.body));
  }

  /** While joining it waits its turn, also where events would be too late: the client was authorized before it came. */
  #revoke(subscription: Subscription, delivery: Delivery, user: string): void {
    if (subscription.state === 'joining') {
      subscription.held.push(delivery);
      return;
    }
    this.#drop(delivery, 'late');
    if (subscription.state === 'live') subscription.subscriber.revoked(subscription, user);
  }

  #drop(delivery: Delivery, reason: 'late' | 'excluded' | 'foreign' | 'covered'): void {
    if (delivery.revokes === undefined) this.#options.tally.dropped.add(reason);
    if (this.#queue === undefined) this.#unacknowledged.push(delivery);
    else this.#queue.ack(delivery);
  }

  #remember(channel: string): void {
    this.#left.add(channel);
    if (this.#left.size <= maxRemembered) return;
    const [oldest] = this.#left;
    if (oldest !== undefined) this.#left.delete(oldest);
  }
}

function ignoreClosed(error: unknown): void {
  if (error instanceof BrokerError) return;
  throw error;
}
