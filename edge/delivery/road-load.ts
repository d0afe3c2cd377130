/** What the connections of an edge have at the broker, or are about to: the facts by which roads are chosen. */
import type { ChannelKey } from '../../contracts/ids.ts';

export class RoadLoad {
  /** Own queues, with those that are being opened or closed. */
  ownQueues = 0;
  /** Of these, the ones that the broker is still to declare: new ones, and after an outage all of them. */
  attaching = 0;
  /** Subscriptions on a road or waiting for one; sessions with continuity are among them. */
  readonly #subscribers = new Map<ChannelKey, number>();

  /** A waiting subscription counts, or a crowd that comes at once would pass for nobody. */
  subscribers(key: ChannelKey): number {
    return this.#subscribers.get(key) ?? 0;
  }

  subscribed(key: ChannelKey): void {
    this.#subscribers.set(key, this.subscribers(key) + 1);
  }

  left(key: ChannelKey): void {
    const others = this.subscribers(key) - 1;
    if (others > 0) this.#subscribers.set(key, others);
    else this.#subscribers.delete(key);
  }
}
