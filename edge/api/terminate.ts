/** `POST /apps/<id>/users/<user>/terminate_connections`: answered 200 when every edge has closed the sockets of the user. */
import { Router } from 'express';
import { serverToUserChannel } from '../../contracts/channel.ts';
import type { Cluster } from '../cluster/port.ts';
import { HttpError, refuseOtherMethods } from './http-error.ts';
import type { ApiReads } from './rate-limit.ts';
import { decodePath, pathOf } from './request-path.ts';
import { callOf, requireSignedCall, type SignedCallContext } from './signed-call.ts';

export interface TerminateContext extends SignedCallContext {
  readonly cluster: Pick<Cluster, 'terminate'>;
}

/** SDKs put the id in as it is, so it may hold a `/` or a lone `%`: everything between the two words is the id. */
const route = /^\/apps\/(?<id>[^/]+)\/users\/.+\/terminate_connections\/?$/;
const userOf = /^\/apps\/[^/]+\/users\/(.+)\/terminate_connections\/?$/;

/** @param reads counts these calls with the queries: each is a question to all edges */
export function terminateRoutes(context: TerminateContext, reads: ApiReads): Router {
  const router = Router();
  router.post(route, ...requireSignedCall(context), async (request, response) => {
    const { config } = callOf(response);
    reads.admit(response, config);
    const user = decodePath(userOf.exec(pathOf(request.url))?.[1] ?? '');
    const channel = serverToUserChannel(user);
    if (!channel.ok) throw new HttpError('bad_request', channel.error.text);
    await context.cluster.terminate(config.id, user);
    response.json({});
  });
  router.all(route, refuseOtherMethods('POST'));
  return router;
}
