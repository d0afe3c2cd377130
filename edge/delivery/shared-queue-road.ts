/** One connection’s end of the road that all connections of an edge share. */
import type { SocketId } from '../../contracts/ids.ts';
import type { Road } from './road.ts';
import type { SharedListener, SharedQueue } from './shared-queue.ts';
import type { Subscription } from './subscription.ts';

export class SharedRoad implements Road, SharedListener {
  readonly socketId: SocketId;
  readonly outbox: SharedListener['outbox'];
  readonly overflow: () => void;
  readonly #queue: SharedQueue;

  constructor(
    queue: SharedQueue,
    socketId: SocketId,
    outbox: SharedListener['outbox'],
    overflow: () => void,
  ) {
    this.#queue = queue;
    this.socketId = socketId;
    this.outbox = outbox;
    this.overflow = overflow;
  }

  join(subscription: Subscription): Promise<void> {
    return this.#queue.join(subscription, this);
  }

  start(subscription: Subscription): void {
    this.#queue.start(subscription);
  }

  leave(subscription: Subscription): void {
    this.#queue.leave(subscription);
  }
}
