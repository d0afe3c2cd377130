/** Live and ready, under the names that probes of this field expect. */
import { Router } from 'express';
import type { Readiness } from '../../runtime/lifecycle.ts';

export function healthRoutes(readiness: () => Readiness): Router {
  const router = Router();
  router.get(['/healthz', '/up'], (_request, response) => {
    response.json({ status: 'ok' });
  });
  router.get(['/readyz', '/ready', '/accept-traffic'], (_request, response) => {
    const state = readiness();
    if (state.ready) response.json({ status: 'ready' });
    else response.status(503).json({ status: 'not ready', reason: state.reason });
  });
  return router;
}
