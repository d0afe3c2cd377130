/** `POST /apps/<id>/domain-events`: domain events from services without AMQP, answered 202 only when the broker has confirmed. */
import { randomUUID } from 'node:crypto';
import { type RequestHandler, Router } from 'express';
import type { DomainEvents } from '../../broker/port.ts';
import { defaultEnvelopeLimits } from '../../contracts/domain-event.ts';
import { parseHttpEvent } from '../../contracts/http-event.ts';
import type { Cluster } from '../cluster/port.ts';
import { HttpError, refuseOtherMethods } from './http-error.ts';
import type { ApiEvents } from './rate-limit.ts';
import { callOf, requireSignedCall, type SignedCallContext } from './signed-call.ts';

export interface DomainEventsContext extends SignedCallContext {
  /** Absent: the path says that it is turned off. */
  readonly domainEvents: Pick<DomainEvents, 'publish'> | undefined;
  readonly cluster: Pick<Cluster, 'edges' | 'othersLoad'>;
  readonly apiEvents: ApiEvents;
}

const path = '/apps/:id/domain-events';

export function domainEventRoutes(context: DomainEventsContext): Router {
  const router = Router();
  const { domainEvents } = context;
  if (domainEvents === undefined) {
    router.all(path, () => {
      throw new HttpError(
        'not_found',
        'Domain events over HTTP are turned off: ingress.http in warren.yaml turns them on.',
      );
    });
    return router;
  }
  const signed = requireSignedCall(context, () => defaultEnvelopeLimits.maxBytes);
  router.post(path, ...signed, publish(context, domainEvents));
  router.all(path, refuseOtherMethods('POST'));
  return router;
}

function publish(
  context: DomainEventsContext,
  domainEvents: Pick<DomainEvents, 'publish'>,
): RequestHandler {
  return async (request, response) => {
    const { config, query, body } = callOf(response);
    const event = parseHttpEvent(
      {
        appId: config.id,
        key: query.get('key'),
        id: query.get('id'),
        headers: request.headers,
        body,
      },
      randomUUID,
    );
    if (!event.ok) throw new HttpError(event.error.code, event.error.text);
    context.apiEvents.admit(response, context.cluster, config, 1);
    await domainEvents.publish(event.value.message);
    response.status(202).json({ id: event.value.id });
  };
}
