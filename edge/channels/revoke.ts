/** Use case: a domain event takes a user off a channel. */
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import {
  continuityLost,
  type SubscriptionError,
  subscriptionError,
} from '../../contracts/pusher/frames.ts';
import type { Subscription } from '../delivery/subscription.ts';
import type { EdgeTally } from '../tally.ts';
import { isOf, type Revocations } from './revocations.ts';
import type { Session } from './session.ts';
import { leave, type UnsubscribeContext } from './unsubscribe.ts';

export interface RevokeContext extends UnsubscribeContext {
  readonly tally: EdgeTally;
}

/** Channels that a socket remembers to have been taken off. */
const maxRemembered = 64;

const revokedError: SubscriptionError = {
  type: 'AuthError',
  error: 'Your access to this channel was revoked.',
  status: 403,
};

/** Nothing happens where the socket is not known to be that user's. */
export function revoke(
  context: RevokeContext,
  session: Session,
  subscription: Subscription,
  user: string,
): void {
  if (isOf(session, subscription, user)) expel(context, session, subscription);
}

/** Takes the socket off the channel, whatever state the subscription is in, and tells the client. */
export function expel(context: RevokeContext, session: Session, subscription: Subscription): void {
  const { connection } = session;
  const { channel, road, state } = subscription;
  leave(context, session, subscription);
  session.roads.leave(subscription);
  context.tally.revocations += 1;
  if (state === 'live' && road === 'continuity') {
    connection.send(continuityLost(channel.name, 'unauthorized'));
  }
  connection.send(subscriptionError(channel.name, revokedError));
  remember(session, subscription);
}

/** A subscription that is about to succeed has met its revocation already: it came when the client was authorized, or later. */
export function isRevoked(
  revocations: Pick<Revocations, 'outdates'>,
  session: Session,
  subscription: Subscription,
): boolean {
  const isHeld = subscription.held.some(
    ({ revokes }) => revokes !== undefined && isOf(session, subscription, revokes),
  );
  return isHeld || isOutdated(revocations, session, subscription);
}

/** What the socket was authorized for was revoked since, whether it was subscribed then or not. */
export function isOutdated(
  revocations: Pick<Revocations, 'outdates'>,
  session: Session,
  { channel, key, userId }: Subscription,
): boolean {
  if (!channel.requiresAuthorization) return false;
  const outdates = (user: string | undefined) =>
    user !== undefined && revocations.outdates(session, key, channel.name, user);
  return outdates(userId) || outdates(session.user?.userId);
}

/** A signature is good as long as its socket. */
function remember({ connection, revokedFrom }: Session, { channel }: Subscription): void {
  if (!channel.requiresAuthorization) return;
  if (revokedFrom.size < maxRemembered) revokedFrom.add(channel.name);
  else connection.close(closeCodes.reconnect);
}
