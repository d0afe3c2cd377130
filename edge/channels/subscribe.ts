/**
 * Use case: a client subscribes. Parse the name, check the signature, check the limits, bind at the broker, say that it succeeded,
 * then let the events through.
 *
 * A stock client never asks again once it was refused. So a failure that may pass is never answered: the subscription waits until
 * the broker is back, or until it is unsubscribed or its socket ends.
 */
import { BrokerError } from '../../broker/errors.ts';
import { parseChannel } from '../../contracts/channel.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import {
  continuityLost,
  presenceSucceeded,
  type SubscriptionError,
  session as sessionFrame,
  subscriptionError,
  subscriptionSucceeded,
} from '../../contracts/pusher/frames.ts';
import type { Member } from '../../contracts/pusher/identity.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { Subscription } from '../delivery/subscription.ts';
import type { EdgeTally } from '../tally.ts';
import { authorize, type SubscriptionClaim } from './authorize.ts';
import type { Replay } from './replay.ts';
import type { Revocations } from './revocations.ts';
import { expel, isOutdated, isRevoked } from './revoke.ts';
import type { ChannelRules } from './rules.ts';
import type { Session } from './session.ts';
import { leave, type UnsubscribeContext } from './unsubscribe.ts';

export interface SubscribeContext extends UnsubscribeContext {
  readonly replay: Replay;
  readonly rules: Pick<ChannelRules, 'delivery'>;
  readonly revocations: Pick<Revocations, 'outdates'>;
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
  const { connection, subscriptions, app, user } = session;
  const { limits } = app.config;
  const parsed = parseChannel(request.channel, limits.channelNameLength);
  if (!parsed.ok) {
    refuseName(context, session, request.channel, parsed.error.text);
    return;
  }
  const channel = parsed.value;
  const authorization = authorize(
    channel,
    request,
    { socketId: connection.socketId, user },
    { keys: [app.config], maxInfoBytes: limits.presenceUserInfoBytes },
  );
  if (!authorization.ok) {
    refuse(context, session, channel.name, authorization.error);
    return;
  }
  const existing = subscriptions.get(channel.name);
  if (existing?.state === 'live') {
    connection.send(success(context, existing));
    return;
  }
  if (existing !== undefined) {
    existing.pendingAnswers = Math.min(existing.pendingAnswers + 1, maxPendingAnswers);
    return;
  }
  const { channelsPerConnection } = limits;
  if (subscriptions.size >= channelsPerConnection) {
    refuse(context, session, channel.name, {
      type: 'LimitReached',
      error: `A connection may be subscribed to ${channelsPerConnection} channels at most.`,
      status: 4100,
    });
    return;
  }
  const { member } = authorization.value;
  const subscription = new Subscription(channel, channelKey(app.config.id, channel.name), session);
  subscription.userId = member?.userId;
  if (
    session.revokedFrom.has(channel.name) ||
    isOutdated(context.revocations, session, subscription)
  ) {
    // The signature may be an old one. One for a new socket cannot be, and stock clients get it by themselves.
    connection.close(closeCodes.reconnect);
    return;
  }
  subscriptions.set(channel.name, subscription);
  if (member !== undefined) context.users.joinedAs(session, member.userId);
  void join(context, session, subscription, member);
}

/** Never rejects. */
async function join(
  context: SubscribeContext,
  session: Session,
  subscription: Subscription,
  member: Member | undefined,
): Promise<void> {
  // `left` is set from outside while this waits.
  const isWaiting = () => subscription.state === 'joining';
  while (isWaiting()) {
    try {
      await prepare(context, session, subscription, member);
      if (isWaiting()) complete(context, session, subscription, member);
      return;
    } catch (error) {
      if (!isWaiting()) return;
      if (!(error instanceof BrokerError && error.retryable)) {
        context.log.error({ err: error }, 'a subscription failed at the broker');
        giveUp(context, session, subscription, brokerRefuses);
        return;
      }
      await delay(context.clock, retryMs);
    }
  }
}

/** All that the success must wait for: the road, who else is there, and what was published last. */
async function prepare(
  { rules, presence, replay }: SubscribeContext,
  session: Session,
  subscription: Subscription,
  member: Member | undefined,
): Promise<void> {
  const { name, cache } = subscription.channel;
  // Whatever road the channel takes, the client hears of its session first.
  await session.continuity?.queue.opened();
  if (subscription.state !== 'joining') return;
  await session.roads.join(subscription, {
    continuity: session.continuity !== undefined,
    delivery: rules.delivery(session.app.config.id, name),
  });
  if (subscription.state !== 'joining') return;
  if (member !== undefined) await presence.open(session.app, subscription);
  if (cache) await replay.ready();
}

/** In one go: what the client is told, what the others are told, and what it receives from here on fit together. */
function complete(
  context: SubscribeContext,
  session: Session,
  subscription: Subscription,
  member: Member | undefined,
): void {
  const { connection, app } = session;
  const { channel } = subscription;
  const { presence, registry, figures, replay } = context;
  if (isRevoked(context.revocations, session, subscription)) {
    expel(context, session, subscription);
    return;
  }
  if (member !== undefined) {
    if (!presence.hasRoomFor(app, subscription, member)) {
      giveUp(context, session, subscription, channelFull(app.config.limits.presenceMembers));
      return;
    }
    presence.enter(subscription, member);
  }
  const { continuity } = session;
  if (session.asksForContinuity && continuity === undefined && !session.announced) {
    session.announced = true;
    connection.send(sessionFrame({ resumed: false, windowSeconds: 0 }));
  }
  const answer = success(context, subscription);
  for (let answers = 0; answers < subscription.pendingAnswers; answers += 1) {
    connection.send(answer);
  }
  if (channel.requiresAuthorization) session.isAuthorized = true;
  subscription.state = 'live';
  registry.add(app.config.id, channel.name, session);
  if (channel.cache && continuity?.queue.continues(subscription) !== true) {
    replay.send(session, subscription);
  }
  if (continuity?.queue.resumed === true && subscription.road === 'edge-queue') {
    connection.send(continuityLost(channel.name, 'unknown'));
  }
  session.roads.start(subscription);
  figures.subscribersChanged(app, channel);
}

function success({ presence }: SubscribeContext, subscription: Subscription): string {
  const { name, kind } = subscription.channel;
  return kind === 'presence'
    ? presenceSucceeded(name, presence.members(subscription))
    : subscriptionSucceeded(name);
}

const brokerRefuses: SubscriptionError = {
  type: 'AuthError',
  error: 'The broker refuses this channel.',
  status: 500,
};

const channelFull = (members: number): SubscriptionError => ({
  type: 'LimitReached',
  error: `The channel has ${members} members, which is as many as it may have.`,
  status: 4100,
});

/** It will not come about: waiting for it would be a lie. */
function giveUp(
  context: SubscribeContext,
  session: Session,
  subscription: Subscription,
  error: SubscriptionError,
): void {
  leave(context, session, subscription);
  session.roads.leave(subscription);
  refuse(context, session, subscription.channel.name, error);
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
