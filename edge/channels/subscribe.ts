/**
 * Use case: a client subscribes. Parse the name, check the signature, check the limit, bind at the broker, say that it succeeded,
 * then let the events through.
 *
 * A stock client never asks again once it was refused. So a failure that may pass is never answered: the subscription waits until
 * the broker is back, or until it is unsubscribed or its socket ends.
 */
import { BrokerError } from '../../broker/errors.ts';
import { parseChannel } from '../../contracts/channel.ts';
import {
  type SubscriptionError,
  session as sessionFrame,
  subscriptionError,
  subscriptionSucceeded,
} from '../../contracts/pusher/frames.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { Subscription } from '../delivery/subscription.ts';
import type { EdgeTally } from '../tally.ts';
import { authorize, type SubscriptionClaim } from './authorize.ts';
import type { ChannelRegistry } from './registry.ts';
import type { Session } from './session.ts';

export interface SubscribeContext {
  readonly registry: ChannelRegistry;
  readonly clock: Clock;
  readonly log: Log;
  readonly tally: EdgeTally;
}

export interface SubscribeRequest extends SubscriptionClaim {
  /** As the client wrote it. */
  readonly channel: string;
}

/** A longer name is no channel of ours: the refusal does not echo it. */
const maxEchoedName = 512;
/** Repeated subscribes to one channel that a single success answers one by one. */
const maxPendingAnswers = 16;
const retryMs = 1_000;

export function subscribe(
  context: SubscribeContext,
  session: Session,
  request: SubscribeRequest,
): void {
  const { connection, subscriptions, app } = session;
  const parsed = parseChannel(request.channel, app.config.limits.channelNameLength);
  if (!parsed.ok) {
    refuseName(context, session, request.channel, parsed.error.text);
    return;
  }
  const channel = parsed.value;
  const refusal = authorize(channel, request, connection.socketId, [app.config]);
  if (refusal !== undefined) {
    refuse(context, session, channel.name, refusal);
    return;
  }
  const existing = subscriptions.get(channel.name);
  if (existing?.state === 'live') {
    connection.send(subscriptionSucceeded(channel.name));
    return;
  }
  if (existing !== undefined) {
    existing.pendingAnswers = Math.min(existing.pendingAnswers + 1, maxPendingAnswers);
    return;
  }
  const { channelsPerConnection } = app.config.limits;
  if (subscriptions.size >= channelsPerConnection) {
    refuse(context, session, channel.name, {
      type: 'LimitReached',
      error: `A connection may be subscribed to ${channelsPerConnection} channels at most.`,
      status: 4100,
    });
    return;
  }
  const subscription = new Subscription(channel, channelKey(app.config.id, channel.name));
  subscriptions.set(channel.name, subscription);
  void join(context, session, subscription);
}

/** Never rejects. */
async function join(
  context: SubscribeContext,
  session: Session,
  subscription: Subscription,
): Promise<void> {
  const { name } = subscription.channel;
  const { registry } = context;
  const appId = session.app.config.id;
  // `left` is set from outside while this waits.
  const isWaiting = () => subscription.state === 'joining';
  while (isWaiting()) {
    try {
      await session.roads.join(subscription, {
        continuity: session.asksForContinuity,
        localSubscribers: registry.count(appId, name),
      });
      if (isWaiting()) succeed(context, session, subscription);
      return;
    } catch (error) {
      if (!isWaiting()) return;
      if (!(error instanceof BrokerError && error.retryable)) {
        giveUp(context, session, subscription, error);
        return;
      }
      await delay(context.clock, retryMs);
    }
  }
}

function succeed(context: SubscribeContext, session: Session, subscription: Subscription): void {
  const { connection } = session;
  const { name } = subscription.channel;
  if (session.asksForContinuity && !session.announced) {
    session.announced = true;
    connection.send(sessionFrame({ resumed: false, windowSeconds: 0 }));
  }
  const success = subscriptionSucceeded(name);
  for (let answers = 0; answers < subscription.pendingAnswers; answers += 1) {
    connection.send(success);
  }
  subscription.state = 'live';
  context.registry.add(session.app.config.id, name, session);
  session.roads.start(subscription);
}

/** The broker says no for good (permissions, a name that is taken): waiting would be a lie. */
function giveUp(
  context: SubscribeContext,
  session: Session,
  subscription: Subscription,
  error: unknown,
): void {
  const { name } = subscription.channel;
  subscription.state = 'left';
  session.subscriptions.delete(name);
  session.roads.leave(subscription);
  context.log.error({ err: error }, 'a subscription failed at the broker');
  refuse(context, session, name, {
    type: 'AuthError',
    error: 'The broker refuses this channel.',
    status: 500,
  });
}

function refuse(
  context: SubscribeContext,
  session: Session,
  channel: string,
  error: SubscriptionError,
): void {
  context.tally.errors.add(error.type);
  session.connection.send(subscriptionError(channel, error));
}

function refuseName(
  context: SubscribeContext,
  session: Session,
  channel: string,
  text: string,
): void {
  if (channel.length > maxEchoedName) session.connection.complain('invalid_channel_name', text);
  else refuse(context, session, channel, { type: 'InvalidChannel', error: text, status: 400 });
}
