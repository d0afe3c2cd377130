/** `GET /apps/<id>/channels`, `/channels/<name>` and `/channels/<name>/users`: what all edges together hold, or 503. */
import { type Request, type RequestHandler, type Response, Router } from 'express';
import { type Channel, maxChannelNameLength, parseChannel } from '../../contracts/channel.ts';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import {
  type ChannelAttribute,
  channelAttributes,
  countAttributes,
  parseInfo,
} from '../../contracts/pusher/http.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import type { Cluster, Occupancy } from '../cluster/port.ts';
import { type CachedEvent, cacheAnswer } from './cache-answer.ts';
import { HttpError, refuseOtherMethods } from './http-error.ts';
import type { ApiReads } from './rate-limit.ts';
import {
  callOf,
  requireSignedCall,
  type SignedCall,
  type SignedCallContext,
} from './signed-call.ts';

export interface QueryContext extends SignedCallContext {
  readonly cluster: Pick<Cluster, 'channels'>;
  readonly cache: {
    /** The last event of a cache channel that is not older than `seconds`, as far as this edge knows it. */
    get(appId: AppId, channel: ChannelName, seconds: number): CachedEvent | undefined;
  };
}

type Attributes = ReadonlySet<ChannelAttribute>;

export function queryRoutes(context: QueryContext, reads: ApiReads): Router {
  const router = Router();
  const signed = requireSignedCall(context);
  for (const [path, answer] of [
    ['/apps/:id/channels', listChannels],
    ['/apps/:id/channels/:name', describeChannel],
    ['/apps/:id/channels/:name/users', listUsers],
  ] as const) {
    const handler: RequestHandler = async (request, response) => {
      const call = callOf(response);
      reads.admit(response, call.config);
      await answer(context, call, request, response);
    };
    router.get(path, ...signed, handler);
    router.all(path, refuseOtherMethods('GET, HEAD'));
  }
  return router;
}

async function listChannels(
  { cluster }: QueryContext,
  { config, query }: SignedCall,
  _request: Request,
  response: Response,
): Promise<void> {
  const prefix = query.get('filter_by_prefix') ?? '';
  if (prefix.length > maxChannelNameLength) {
    throw new HttpError(
      'bad_request',
      `"filter_by_prefix" is longer than a channel name: at most ${maxChannelNameLength} characters`,
    );
  }
  const info = attributesOf(query.get('info'), countAttributes);
  const users = info.has('user_count');
  if (users && !prefix.startsWith('presence-')) {
    throw new HttpError(
      'bad_request',
      'Only presence channels have a user_count: "filter_by_prefix" must start with presence-',
    );
  }
  const occupied = await cluster.channels({ app: config.id, prefix, users });
  const channels: [ChannelName, object][] = [];
  for (const [name, occupancy] of occupied) {
    // Nobody subscribed to these by name: the client does so for whoever signs in. They are shown to those who ask for them.
    if (name.startsWith('#') && !prefix.startsWith('#')) continue;
    channels.push([name, countsOf(occupancy, info)]);
  }
  // A channel may be named __proto__: fromEntries takes it for a name like any other.
  response.json({ channels: Object.fromEntries(channels) });
}

async function describeChannel(
  context: QueryContext,
  { config, query }: SignedCall,
  request: Request,
  response: Response,
): Promise<void> {
  const channel = channelOf(request, config);
  const info = attributesOf(query.get('info'), channelAttributes);
  if (info.has('user_count') && channel.kind !== 'presence') {
    throw new HttpError('bad_request', 'Only a presence channel has a user_count.');
  }
  if (info.has('cache') && !channel.cache) {
    throw new HttpError('bad_request', 'Only a cache channel has a cache.');
  }
  const occupancy = await occupancyOf(context, config, channel, info.has('user_count'));
  const { cacheSeconds } = config.limits;
  response.json({
    occupied: occupancy.subscriptions > 0,
    ...countsOf(occupancy, info),
    ...(info.has('cache')
      ? {
          cache: cacheAnswer(
            context.cache.get(config.id, channel.name, cacheSeconds),
            context.clock.now(),
            cacheSeconds,
          ),
        }
      : {}),
  });
}

/** Soketi's `with_user_info` is not known here and does no harm. */
async function listUsers(
  context: QueryContext,
  { config }: SignedCall,
  request: Request,
  response: Response,
): Promise<void> {
  const channel = channelOf(request, config);
  if (channel.kind !== 'presence') {
    throw new HttpError('bad_request', 'Only a presence channel has users.');
  }
  const { users } = await occupancyOf(context, config, channel, true);
  response.json({ users: [...(users ?? [])].map((id) => ({ id })) });
}

async function occupancyOf(
  { cluster }: QueryContext,
  { id }: AppConfig,
  { name }: Channel,
  users: boolean,
): Promise<Occupancy> {
  const occupied = await cluster.channels({ app: id, prefix: '', names: [name], users });
  return occupied.get(name) ?? { subscriptions: 0 };
}

function countsOf(occupancy: Occupancy, info: Attributes): object {
  return {
    ...(info.has('user_count') ? { user_count: occupancy.users?.size ?? 0 } : {}),
    ...(info.has('subscription_count') ? { subscription_count: occupancy.subscriptions } : {}),
  };
}

function attributesOf(text: string | undefined, known: readonly ChannelAttribute[]): Attributes {
  const info = parseInfo(text, known);
  if (!info.ok) throw new HttpError('bad_request', info.error);
  return info.value;
}

function channelOf(request: Request, { limits }: AppConfig): Channel {
  const channel = parseChannel(request.params['name'], limits.channelNameLength);
  if (!channel.ok) throw new HttpError('bad_request', channel.error.text);
  return channel.value;
}
