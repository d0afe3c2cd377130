/** A way from the broker to a socket. A subscription takes exactly one, so order holds and nothing comes twice. */
import type { Subscription } from './subscription.ts';

export interface Road {
  /**
   * Resolves when the broker sends the channel's events here; waits for the broker as long as that takes. What arrives before
   * `start` is held. Also resolves when the subscription was left meanwhile; rejects with `BrokerError`, `closed` among them.
   */
  join(subscription: Subscription): Promise<void>;
  /** The client has been told that it is subscribed: what was held goes out, then everything as it comes. */
  start(subscription: Subscription): void;
  /** Nothing of the channel reaches the socket any more. */
  leave(subscription: Subscription): void;
}
