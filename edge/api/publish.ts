/** `POST /apps/<id>/events` and `/batch_events`: answered 200 only when the broker has confirmed every publication. */
import { type RequestHandler, Router } from 'express';
import type { ChannelPublisher } from '../../broker/port.ts';
import type { ChannelName } from '../../contracts/ids.ts';
import { createPublication, type Publication } from '../../contracts/publication.ts';
import {
  type BodyError,
  maxRequestBytes,
  parseBatch,
  parseTrigger,
  type Trigger,
} from '../../contracts/pusher/http.ts';
import type { AppLimits } from '../../contracts/pusher/limits.ts';
import { ok, type Result } from '../../contracts/result.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import type { Cluster, Occupancy } from '../cluster/port.ts';
import { HttpError, refuseOtherMethods } from './http-error.ts';
import type { ApiEvents } from './rate-limit.ts';
import { callOf, requireSignedCall, type SignedCallContext } from './signed-call.ts';

export interface PublishContext extends SignedCallContext {
  readonly publisher: ChannelPublisher;
  readonly cluster: Pick<Cluster, 'channels' | 'edges' | 'othersLoad'>;
  /** Counts what is published here, for the limit of the cluster. */
  readonly apiEvents: ApiEvents;
}

type Occupied = ReadonlyMap<ChannelName, Occupancy>;

interface PublishCall {
  read(body: Buffer, limits: AppLimits): Result<readonly Trigger[], BodyError>;
  /** The body of the answer where an event asked for `info`. */
  answer(triggers: readonly Trigger[], occupied: Occupied): object;
}

const single: PublishCall = {
  read(body, limits) {
    const trigger = parseTrigger(body, limits);
    return trigger.ok ? ok([trigger.value]) : trigger;
  },
  answer: (triggers, occupied) => ({
    // A channel may be named __proto__: fromEntries takes it for a name like any other.
    channels: Object.fromEntries(
      triggers.flatMap(({ channels, info }) =>
        channels.map((channel) => [channel.name, countsOf(channel, info, occupied)]),
      ),
    ),
  }),
};

const batch: PublishCall = {
  read: parseBatch,
  answer: (triggers, occupied) => ({
    batch: triggers.map(({ channels: [channel], info }) =>
      channel === undefined ? {} : countsOf(channel, info, occupied),
    ),
  }),
};

export function publishRoutes(context: PublishContext): Router {
  const router = Router();
  const signed = requireSignedCall(context, maxRequestBytes);
  for (const [path, call] of [
    ['/apps/:id/events', single],
    ['/apps/:id/batch_events', batch],
  ] as const) {
    router.post(path, ...signed, publish(context, call));
    router.all(path, refuseOtherMethods('POST'));
  }
  return router;
}

function publish(context: PublishContext, call: PublishCall): RequestHandler {
  return async (_request, response) => {
    const { config, body } = callOf(response);
    const triggers = call.read(body, config.limits);
    if (!triggers.ok) throw new HttpError(triggers.error.code, triggers.error.text);
    context.apiEvents.admit(response, context.cluster, config, triggers.value.length);
    const asked = triggers.value.some(({ info }) => info.size > 0);
    // Counted before anything is published: a cluster that cannot answer then means 503 with nothing sent, and trying again is safe.
    const occupied = asked ? await count(context.cluster, config, triggers.value) : undefined;
    await publishAll(context.publisher, publicationsOf(config, triggers.value));
    response.json(occupied === undefined ? {} : call.answer(triggers.value, occupied));
  };
}

/** One question for all events of a call; none where nothing applies to their channels. */
async function count(
  cluster: Pick<Cluster, 'channels'>,
  { id }: AppConfig,
  triggers: readonly Trigger[],
): Promise<Occupied> {
  const names = new Set<ChannelName>();
  let users = false;
  for (const { channels, info } of triggers) {
    for (const { name, kind } of channels) {
      if (!info.has(kind === 'presence' ? 'user_count' : 'subscription_count')) continue;
      names.add(name);
      users ||= kind === 'presence';
    }
  }
  if (names.size === 0) return new Map();
  return cluster.channels({ app: id, prefix: '', names: [...names], users });
}

/** Presence channels have a `user_count`, all others a `subscription_count`; what does not apply is left out. */
function countsOf(
  { name, kind }: Trigger['channels'][number],
  info: Trigger['info'],
  occupied: Occupied,
): { user_count?: number; subscription_count?: number } {
  const occupancy = occupied.get(name);
  if (kind === 'presence') {
    return info.has('user_count') ? { user_count: occupancy?.users?.size ?? 0 } : {};
  }
  return info.has('subscription_count')
    ? { subscription_count: occupancy?.subscriptions ?? 0 }
    : {};
}

function publicationsOf({ id }: AppConfig, triggers: readonly Trigger[]): Publication[] {
  return triggers.flatMap((trigger) =>
    trigger.channels.map((channel) =>
      createPublication({
        appId: id,
        channel: channel.name,
        cached: channel.cache,
        event: trigger.event,
        data: trigger.data,
        ...(trigger.except === undefined ? {} : { except: trigger.except }),
      }),
    ),
  );
}

/** All are handed to the broker in order before the first confirm is awaited. */
async function publishAll(
  publisher: ChannelPublisher,
  publications: readonly Publication[],
): Promise<void> {
  await Promise.all(publications.map((publication) => publisher.publish(publication)));
}
