/** What the calls of Pusher's HTTP API have in common: an app that is enabled, the bytes of the body, a signature that covers all. */
import express, { type Request, type RequestHandler, type Response } from 'express';
import type { AppLimits } from '../../contracts/pusher/limits.ts';
import type { QueryParameters } from '../../contracts/pusher/signature.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { App, Apps } from '../apps.ts';
import { HttpError } from './http-error.ts';
import { requireSignature } from './signed-request.ts';

export interface SignedCallContext {
  readonly apps: Apps;
  readonly clock: Clock;
}

export interface SignedCall {
  /** As it was when the signature was checked: a call is judged by one configuration from there to its end. */
  readonly config: AppConfig;
  /** Under their names in lower case. */
  readonly query: QueryParameters;
  readonly body: Buffer;
}

/** Of calls that carry nothing. */
const maxEmptyBodyBytes = 4 * 1024;

/**
 * Handlers that let only signed calls through; `callOf` gives what they found. The route has the parameter `id`.
 *
 * @param maxBytes of a body under these limits; a longer one is refused unread
 */
export function requireSignedCall(
  { apps, clock }: SignedCallContext,
  maxBytes: (limits: AppLimits) => number = () => maxEmptyBodyBytes,
): RequestHandler[] {
  return [
    requireApp(apps),
    rawBody(maxBytes),
    (request, response, next) => {
      const { config } = appOf(response);
      const body = bodyOf(request);
      const query = requireSignature(
        [config],
        { method: request.method, url: request.url, body },
        Math.floor(clock.now() / 1_000),
      );
      response.locals['call'] = { config, query, body } satisfies SignedCall;
      next();
    },
  ];
}

export function callOf(response: Response): SignedCall {
  return response.locals['call'] as SignedCall;
}

function requireApp(apps: Apps): RequestHandler {
  return (request, response, next) => {
    const app = apps.byId(String(request.params['id']));
    if (app === undefined) throw new HttpError('unknown_app');
    if (!app.config.enabled) throw new HttpError('app_disabled');
    response.locals['app'] = app;
    next();
  };
}

function appOf(response: Response): App {
  return response.locals['app'] as App;
}

/** Limits come from the configuration, which may be replaced many times in the life of a process. */
const maxReaders = 64;

/** Whatever the content type says: the signature covers the bytes. A compressed body would not be what was signed. */
function rawBody(maxBytes: (limits: AppLimits) => number): RequestHandler {
  const byLimit = new Map<number, RequestHandler>();
  return (request, response, next) => {
    const limit = maxBytes(appOf(response).config.limits);
    let reader = byLimit.get(limit);
    if (reader === undefined) {
      if (byLimit.size >= maxReaders) byLimit.clear();
      reader = express.raw({ type: () => true, limit, inflate: false });
      byLimit.set(limit, reader);
    }
    reader(request, response, next);
  };
}

/** express leaves the body undefined where there was none. */
function bodyOf(request: Request): Buffer {
  const body: unknown = request.body;
  return Buffer.isBuffer(body) ? body : Buffer.alloc(0);
}
