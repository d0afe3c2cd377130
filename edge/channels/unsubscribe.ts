/** Use cases: a client unsubscribes from one channel, or leaves with all of them. */
import type { ChannelName } from '../../contracts/ids.ts';
import type { Subscription } from '../delivery/subscription.ts';
import type { Figures } from './figures.ts';
import type { Presence } from './presence.ts';
import type { ChannelRegistry } from './registry.ts';
import type { Session } from './session.ts';
import type { Users } from './users.ts';

export interface UnsubscribeContext {
  readonly registry: ChannelRegistry;
  readonly presence: Presence;
  readonly figures: Figures;
  readonly users: Pick<Users, 'joinedAs' | 'leftAs'>;
}

/** The protocol has no answer to it; a channel that is not subscribed is ignored. */
export function unsubscribe(context: UnsubscribeContext, session: Session, channel: string): void {
  // The map is keyed by parsed names; text that is none finds nothing.
  const subscription = session.subscriptions.get(channel as ChannelName);
  if (subscription === undefined) return;
  leave(context, session, subscription);
  session.roads.leave(subscription);
}

/** The socket has ended. Resolves when the broker holds nothing for it any more. */
export function unsubscribeAll(context: UnsubscribeContext, session: Session): Promise<void> {
  for (const subscription of session.subscriptions.values()) {
    leave(context, session, subscription);
  }
  return session.roads.close();
}

/** Takes the subscription out of everything but its road. */
export function leave(
  { registry, presence, figures, users }: UnsubscribeContext,
  session: Session,
  subscription: Subscription,
): void {
  const { channel } = subscription;
  const wasLive = subscription.state === 'live';
  session.subscriptions.delete(channel.name);
  subscription.state = 'left';
  if (wasLive) registry.remove(session.app.config.id, channel.name, session);
  if (channel.kind === 'presence') presence.leave(subscription);
  if (subscription.userId !== undefined) users.leftAs(session, subscription.userId);
  if (wasLive) figures.subscribersChanged(session.app, channel);
}
