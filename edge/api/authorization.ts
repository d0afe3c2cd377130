/**
 * The endpoints that pusher-js and Echo ask for signatures: a bearer token, then for a channel its rule, then Pusher's signed answer.
 * A refusal does not say which of the rules it was.
 */
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import { maxUserIdLength, parseChannel } from '../../contracts/channel.ts';
import { parseSocketId, type SocketId } from '../../contracts/ids.ts';
import { isJsonObject, own } from '../../contracts/json-guard.ts';
import { signChannel, signUser } from '../../contracts/pusher/signature.ts';
import type { AppConfig, AuthorizerConfig } from '../../contracts/warren-config.ts';
import type { Log } from '../../runtime/log.ts';
import type { App, Apps } from '../apps.ts';
import type { Authorizers } from '../authorizer/authorizers.ts';
import type { ChannelRules, Requester, RuleVerdict } from '../channels/rules.ts';
import type { TokenKeys } from '../tokens/token-keys.ts';
import { requesterFrom, requireBearerToken } from './bearer-token.ts';
import { allowOrigins } from './cors.ts';
import { HttpError, refuseOtherMethods } from './http-error.ts';

export interface AuthorizationContext {
  readonly apps: Apps;
  readonly rules: ChannelRules;
  readonly authorizers: Authorizers;
  /** Absent where no token can be checked. */
  readonly tokenKeys: TokenKeys | undefined;
  readonly log: Log;
}

const maxBodyBytes = 16 * 1024;
const channelPaths = pathsFor('auth');
const userPaths = pathsFor('user-auth');

function pathsFor(endpoint: string): string[] {
  return [
    `/broadcasting/${endpoint}`,
    `/pusher/${endpoint}`,
    `/app/:key/broadcasting/${endpoint}`,
    `/app/:key/pusher/${endpoint}`,
  ];
}

export function authorizationRoutes(context: AuthorizationContext): Router {
  const router = Router();
  const app = findApp(context.apps);
  const origins = allowOrigins(appOf);
  const handlers: RequestHandler[] = [
    app,
    origins,
    refuseDisabled,
    context.tokenKeys === undefined ? refuseUnconfigured : requireBearerToken(context.tokenKeys),
    express.urlencoded({ extended: false, limit: maxBodyBytes, inflate: false }),
    express.json({ limit: maxBodyBytes, inflate: false }),
  ];
  router.post(channelPaths, ...handlers, authorizeChannel(context));
  router.post(userPaths, ...handlers, authenticateUser);
  const paths = [...channelPaths, ...userPaths];
  router.options(paths, app, origins);
  router.all(paths, refuseOtherMethods('POST, OPTIONS'));
  return router;
}

function authorizeChannel(context: AuthorizationContext): RequestHandler {
  return async (request, response) => {
    const { config } = appOf(response);
    const fields = fieldsOf(request);
    const socketId = socketIdOf(fields);
    const channel = parseChannel(own(fields, 'channel_name'), config.limits.channelNameLength);
    if (!channel.ok) throw new HttpError('bad_request', channel.error.text);
    const { name, kind, encrypted } = channel.value;
    if (kind === 'public') throw new HttpError('forbidden', publicChannel);
    if (kind === 'server-to-user') throw new HttpError('forbidden', userChannel);
    if (encrypted) throw new HttpError('forbidden', encryptedChannel);
    const requester = requesterFrom(response);
    const info = await decide(context, config, { name, socketId, requester });
    if (kind === 'private') {
      response.json({ auth: signChannel(config, socketId, name) });
      return;
    }
    const channelData = JSON.stringify({
      user_id: userIdOf(requester),
      ...userInfoOf(info, config.limits.presenceUserInfoBytes),
    });
    response.json({
      auth: signChannel(config, socketId, name, channelData),
      channel_data: channelData,
    });
  };
}

interface ChannelQuestion {
  readonly name: string;
  readonly socketId: SocketId;
  readonly requester: Requester;
}

type UserInfo = Readonly<Record<string, unknown>>;

/** What others may see of the user, where anything is. @throws HttpError unless rule and authorizer say yes */
async function decide(
  context: AuthorizationContext,
  app: AppConfig,
  { name, socketId, requester }: ChannelQuestion,
): Promise<UserInfo | undefined> {
  const refuse = (why: string) => {
    context.log.debug({ app: app.id, why }, 'a channel was refused');
    return new HttpError('forbidden', 'This channel is not open to you.');
  };
  const verdict = context.rules.verdict(app.id, name, requester);
  const { claims, userId } = requester;
  if (verdict.allowed) return verdict.member?.render(claims);
  if (verdict.ask === undefined) throw refuse(verdict.why);
  const question = { app, channel: name, socketId, userId, claims };
  const decision = await context.authorizers.ask(verdict.ask, question);
  switch (decision.kind) {
    case 'allowed':
      // The rules may have changed while the service was thinking.
      if (!stillAsks(context.rules.verdict(app.id, name, requester), verdict.ask)) {
        throw refuse('rule_changed');
      }
      return decision.userInfo ?? verdict.member?.render(claims);
    case 'refused':
      throw refuse('authorizer_says_no');
    case 'unavailable':
      throw new HttpError('authorizer_unavailable', undefined, decision.retryAfterSeconds);
  }
}

function stillAsks(verdict: RuleVerdict, asked: AuthorizerConfig): boolean {
  return verdict.allowed || verdict.ask?.url === asked.url;
}

/** A socket would be refused with a signature for more. */
function userInfoOf(info: UserInfo | undefined, maxBytes: number): { user_info?: UserInfo } {
  if (info === undefined) return {};
  const bytes = Buffer.byteLength(JSON.stringify(info), 'utf8');
  if (bytes <= maxBytes) return { user_info: info };
  throw new HttpError(
    'forbidden',
    `The user_info would have ${bytes} bytes, at most ${maxBytes} are allowed.`,
  );
}

const publicChannel = 'A public channel needs no authorization.';
const userChannel =
  'The channel of a user is open to whoever signs in as that user: ask user-auth for that.';
const encryptedChannel =
  'Warren has no part in the key of an encrypted channel: the application must authorize it, and hand out shared_secret.';

const authenticateUser: RequestHandler = (request, response) => {
  const { config } = appOf(response);
  const socketId = socketIdOf(fieldsOf(request));
  const userData = JSON.stringify({ id: userIdOf(requesterFrom(response)) });
  response.json({ auth: signUser(config, socketId, userData), user_data: userData });
};

/** A socket would be refused with a signature for any other id. */
function userIdOf({ userId }: Requester): string {
  if (userId === undefined) throw new HttpError('forbidden', 'The token names no user.');
  if (userId.length > maxUserIdLength || !userId.isWellFormed()) {
    throw new HttpError(
      'forbidden',
      `The user of the token is not well-formed text of at most ${maxUserIdLength} characters.`,
    );
  }
  return userId;
}

/** Form or JSON; express leaves the body undefined where it is neither. */
function fieldsOf(request: Request): Record<string, unknown> {
  const body: unknown = request.body;
  return isJsonObject(body) ? body : {};
}

function socketIdOf(fields: Record<string, unknown>): SocketId {
  const socketId = parseSocketId(own(fields, 'socket_id'));
  if (socketId === undefined) {
    throw new HttpError('bad_request', '"socket_id" must be of the form 123.456');
  }
  return socketId;
}

function findApp(apps: Apps): RequestHandler {
  return (request, response, next) => {
    const key = request.params['key'];
    const app = key === undefined ? apps.only : apps.byKey(String(key));
    if (app === undefined) {
      throw new HttpError(
        'unknown_app',
        key === undefined
          ? `There are several apps: use /app/<key>${request.path}.`
          : 'No app with this key.',
      );
    }
    response.locals['app'] = app;
    next();
  };
}

const refuseDisabled: RequestHandler = (_request, response, next) => {
  if (!appOf(response).config.enabled) throw new HttpError('app_disabled');
  next();
};

const refuseUnconfigured: RequestHandler = () => {
  throw new HttpError(
    'forbidden',
    'auth.jwt is not configured in warren.yaml, so Warren authorizes nobody. Configure it, or let your application sign.',
  );
};

function appOf(response: Response): App {
  return response.locals['app'] as App;
}
