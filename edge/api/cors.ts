/** Cross-origin access for the authorization endpoint: the origins of the app, and the headers that Echo and pusher-js send. */
import type { RequestHandler, Response } from 'express';
import type { App } from '../apps.ts';

const preflightSeconds = 600;
const usualHeaders = 'authorization, content-type, x-csrf-token, x-requested-with, x-socket-id';
const headerList = /^[A-Za-z0-9-]+(?:\s*,\s*[A-Za-z0-9-]+){0,31}$/;

/** Answers a preflight; for other requests sets the headers and goes on. @param appOf the app that the request is about */
export function allowOrigins(appOf: (response: Response) => App): RequestHandler {
  return (request, response, next) => {
    const app = appOf(response);
    const { origin } = request.headers;
    response.setHeader('Vary', 'Origin');
    if (origin !== undefined && app.allowsOrigin(origin)) {
      response.setHeader('Access-Control-Allow-Origin', app.allowsAnyOrigin ? '*' : origin);
    }
    if (request.method !== 'OPTIONS') {
      next();
      return;
    }
    // Tokens travel in headers, never in cookies, so credentials are not allowed and custom headers are harmless.
    const asked = request.headers['access-control-request-headers'];
    const isList = asked !== undefined && asked.length <= 512 && headerList.test(asked);
    response.setHeader('Access-Control-Allow-Methods', 'POST');
    response.setHeader('Access-Control-Allow-Headers', isList ? asked : usualHeaders);
    response.setHeader('Access-Control-Max-Age', String(preflightSeconds));
    response.status(204).end();
  };
}
