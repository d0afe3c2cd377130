/** The HTTP side of the edge: Pusher's API, the authorization endpoint and health, with typed errors throughout. */
import type { RequestListener } from 'node:http';
import express, { type ErrorRequestHandler, type RequestHandler } from 'express';
import type { Readiness } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import type { Cluster } from '../cluster/port.ts';
import type { EdgeTally } from '../tally.ts';
import { type AuthorizationContext, authorizationRoutes } from './authorization.ts';
import { type DomainEventsContext, domainEventRoutes } from './domain-events.ts';
import { healthRoutes } from './health.ts';
import { HttpError, httpErrorOf } from './http-error.ts';
import { type PublishContext, publishRoutes } from './publish.ts';
import { type QueryContext, queryRoutes } from './queries.ts';
import { ApiReads } from './rate-limit.ts';
import { stripPathPrefix } from './request-path.ts';
import { type TerminateContext, terminateRoutes } from './terminate.ts';

export interface ApiContext
  extends PublishContext,
    DomainEventsContext,
    QueryContext,
    TerminateContext,
    AuthorizationContext {
  readonly cluster: Pick<Cluster, 'channels' | 'terminate' | 'edges' | 'othersLoad'>;
  readonly log: Log;
  readonly tally: EdgeTally;
  readiness(): Readiness;
}

export function createApi(context: ApiContext): RequestListener {
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // The signature covers the query as it was sent: it is read from the URL, once.
  app.set('query parser', false);
  app.use(countAnswers(context.tally));
  app.use(healthRoutes(context.readiness));
  app.use(authorizationRoutes(context));
  app.use(stripPathPrefix);
  app.use(publishRoutes(context));
  app.use(domainEventRoutes(context));
  const reads = new ApiReads(context.clock);
  app.use(queryRoutes(context, reads));
  app.use(terminateRoutes(context, reads));
  app.use((_request, _response, next) => next(new HttpError('not_found')));
  app.use(answerError(context.log));
  return app;
}

function countAnswers(tally: EdgeTally): RequestHandler {
  return (_request, response, next) => {
    response.once('finish', () => tally.http.add(String(response.statusCode)));
    next();
  };
}

function answerError(log: Log): ErrorRequestHandler {
  // express knows an error handler by its four parameters.
  return (error: unknown, request, response, _next) => {
    const answer = httpErrorOf(error);
    if (answer.code === 'internal_error') {
      log.error({ err: error, method: request.method }, 'an HTTP request failed');
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    if (answer.retryAfterSeconds !== undefined) {
      response.setHeader('Retry-After', String(answer.retryAfterSeconds));
    }
    // The rest of an oversized body is not worth reading.
    if (answer.code === 'too_large') response.setHeader('Connection', 'close');
    response.status(answer.status).json({ error: answer.message, code: answer.code });
  };
}
