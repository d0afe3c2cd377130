/**
 * The authorization endpoint that pusher-js and Echo ask: a bearer token, then the channel rule, then Pusher's signed answer.
 * A refusal does not say which of the rules it was.
 */
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import { parseChannel } from '../../contracts/channel.ts';
import { parseSocketId, type SocketId } from '../../contracts/ids.ts';
import { isJsonObject, own } from '../../contracts/json-guard.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import type { AuthConfig } from '../../contracts/warren-config.ts';
import type { Log } from '../../runtime/log.ts';
import type { App, Apps } from '../apps.ts';
import type { ChannelRules } from '../channels/rules.ts';
import { requesterFrom, requireBearerToken } from './bearer-token.ts';
import { allowOrigins } from './cors.ts';
import { HttpError } from './http-error.ts';

export interface AuthorizationContext {
  readonly apps: Apps;
  readonly rules: ChannelRules;
  readonly auth: AuthConfig | undefined;
  readonly log: Log;
}

const maxBodyBytes = 16 * 1024;
const paths = [
  '/broadcasting/auth',
  '/pusher/auth',
  '/app/:key/broadcasting/auth',
  '/app/:key/pusher/auth',
];

export function authorizationRoutes(context: AuthorizationContext): Router {
  const router = Router();
  const handlers: RequestHandler[] = [
    findApp(context.apps),
    allowOrigins(appOf),
    context.auth === undefined ? refuseUnconfigured : requireBearerToken(context.auth.jwt),
    express.urlencoded({ extended: false, limit: maxBodyBytes, inflate: false }),
    express.json({ limit: maxBodyBytes, inflate: false }),
    authorizeChannel(context),
  ];
  router.post(paths, ...handlers);
  router.options(paths, findApp(context.apps), allowOrigins(appOf));
  return router;
}

function authorizeChannel(context: AuthorizationContext): RequestHandler {
  return (request, response) => {
    const app = appOf(response);
    const { socketId, channelName } = readBody(request);
    const channel = parseChannel(channelName, app.config.limits.channelNameLength);
    if (!channel.ok) throw new HttpError('bad_request', channel.error.text);
    switch (channel.value.kind) {
      case 'public':
        throw new HttpError('forbidden', 'A public channel needs no authorization.');
      case 'presence':
      case 'server-to-user':
        throw new HttpError('forbidden', 'This kind of channel is not available yet.');
      case 'private':
        break;
    }
    const { name } = channel.value;
    const verdict = context.rules.verdict(app.config.id, name, requesterFrom(response));
    if (!verdict.allowed) {
      context.log.debug({ app: app.config.id, why: verdict.why }, 'a channel was refused');
      throw new HttpError('forbidden', 'This channel is not open to you.');
    }
    response.json({ auth: signChannel(app.config, socketId, name) });
  };
}

/** Form or JSON; express leaves the body undefined where it is neither. */
function readBody(request: Request): { socketId: SocketId; channelName: unknown } {
  const body: unknown = request.body;
  const fields = isJsonObject(body) ? body : {};
  const socketId = parseSocketId(own(fields, 'socket_id'));
  if (socketId === undefined) {
    throw new HttpError('bad_request', '"socket_id" must be of the form 123.456');
  }
  return { socketId, channelName: own(fields, 'channel_name') };
}

function findApp(apps: Apps): RequestHandler {
  return (request, response, next) => {
    const key = request.params['key'];
    const app = key === undefined ? apps.only : apps.byKey(String(key));
    if (app === undefined) {
      throw new HttpError(
        'unknown_app',
        key === undefined
          ? 'There are several apps: use /app/<key>/broadcasting/auth.'
          : 'No app with this key.',
      );
    }
    response.locals['app'] = app;
    next();
  };
}

const refuseUnconfigured: RequestHandler = () => {
  throw new HttpError(
    'forbidden',
    'auth.jwt is not configured in warren.yaml, so Warren authorizes nobody. Configure it, or let your application sign.',
  );
};

function appOf(response: Response): App {
  return response.locals['app'] as App;
}
