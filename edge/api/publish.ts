/** `POST /apps/<id>/events` and `/batch_events`: answered 200 only when the broker has confirmed every publication. */
import express, { type Request, type RequestHandler, type Response, Router } from 'express';
import type { ChannelPublisher } from '../../broker/port.ts';
import { createPublication, type Publication } from '../../contracts/publication.ts';
import {
  maxRequestBytes,
  parseBatch,
  parseTrigger,
  type Trigger,
} from '../../contracts/pusher/http.ts';
import type { Result } from '../../contracts/result.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { App, Apps } from '../apps.ts';
import { HttpError } from './http-error.ts';
import { requireSignature } from './signed-request.ts';

export interface PublishContext {
  readonly apps: Apps;
  readonly publisher: ChannelPublisher;
  readonly clock: Clock;
}

type Read = (
  body: Buffer,
  app: App,
) => Result<readonly Trigger[], { code: 'bad_request' | 'too_large'; text: string }>;

export function publishRoutes(context: PublishContext): Router {
  const router = Router();
  const readBody = rawBody();
  const route = (read: Read): RequestHandler[] => [
    requireApp(context.apps),
    readBody,
    async (request, response) => {
      const app = appOf(response);
      const body = bodyOf(request);
      requireSignature(
        [app.config],
        { method: request.method, url: request.originalUrl, body },
        Math.floor(context.clock.now() / 1_000),
      );
      const triggers = read(body, app);
      if (!triggers.ok) throw new HttpError(triggers.error.code, triggers.error.text);
      await publishAll(context.publisher, publicationsOf(app, triggers.value));
      response.json({});
    },
  ];
  router.post(
    '/apps/:id/events',
    ...route((body, app) => {
      const trigger = parseTrigger(body, app.config.limits);
      return trigger.ok ? { ok: true, value: [trigger.value] } : trigger;
    }),
  );
  router.post(
    '/apps/:id/batch_events',
    ...route((body, app) => parseBatch(body, app.config.limits)),
  );
  return router;
}

function publicationsOf(app: App, triggers: readonly Trigger[]): Publication[] {
  return triggers.flatMap((trigger) =>
    trigger.channels.map((channel) =>
      createPublication({
        appId: app.config.id,
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

function requireApp(apps: Apps): RequestHandler {
  return (request, response, next) => {
    const app = apps.byId(String(request.params['id']));
    if (app === undefined) throw new HttpError('unknown_app');
    response.locals['app'] = app;
    next();
  };
}

function appOf(response: Response): App {
  return response.locals['app'] as App;
}

/** Whatever the content type says: the signature covers the bytes. A compressed body would not be what was signed. */
function rawBody(): RequestHandler {
  const byLimit = new Map<number, RequestHandler>();
  return (request, response, next) => {
    const limit = maxRequestBytes(appOf(response).config.limits);
    let reader = byLimit.get(limit);
    if (reader === undefined) {
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
