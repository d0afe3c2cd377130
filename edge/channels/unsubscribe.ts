/** Use cases: a client unsubscribes from one channel, or leaves with all of them. */
import type { ChannelName } from '../../contracts/ids.ts';
import type { Subscription } from '../delivery/subscription.ts';
import type { ChannelRegistry } from './registry.ts';
import type { Session } from './session.ts';

/** The protocol has no answer to it; a channel that is not subscribed is ignored. */
export function unsubscribe(registry: ChannelRegistry, session: Session, channel: string): void {
  // The map is keyed by parsed names; text that is none finds nothing.
  const subscription = session.subscriptions.get(channel as ChannelName);
  if (subscription === undefined) return;
  leave(registry, session, subscription);
  session.roads.leave(subscription);
}

/** The socket has ended. Resolves when the broker holds nothing for it any more. */
export function unsubscribeAll(registry: ChannelRegistry, session: Session): Promise<void> {
  for (const subscription of session.subscriptions.values()) {
    leave(registry, session, subscription);
  }
  return session.roads.close();
}

function leave(registry: ChannelRegistry, session: Session, subscription: Subscription): void {
  const { name } = subscription.channel;
  session.subscriptions.delete(name);
  if (subscription.state === 'live') registry.remove(session.app.config.id, name, session);
  subscription.state = 'left';
}
