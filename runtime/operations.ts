/** The port for operators that every role has: figures and health, apart from what clients reach. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Readiness } from './lifecycle.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

export interface OperationsOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly metrics: Pick<Metrics, 'scrape'>;
  readonly readiness: () => Readiness;
  readonly log: Log;
}

export interface Operations {
  /** The port that it listens on. */
  readonly port: number;
  /** Closes the listener and every connection to it. Idempotent. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const exposition = 'text/plain; version=0.0.4; charset=utf-8';
/** A scraper and a few probes; anything beyond is a mistake or an attack. */
const maxConnections = 100;
/** A request here is one line and a few headers. */
const requestTimeoutMs = 10_000;

/**
 * Serves `/metrics` (Prometheus text), `/healthz` and `/up` (200 while the process lives, draining or not) and `/readyz` (200, maybe with a note, or
 * 503 with the reason). Resolves when it listens; rejects where the address cannot be had.
 */
export async function startOperations(options: OperationsOptions): Promise<Operations> {
  const server = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    void answer(options, request).then((found) => respond(response, found));
  });
  server.maxConnections = maxConnections;
  await listen(server, options);
  server.on('error', (error) => options.log.error({ err: error }, 'operations port failed'));
  let closed: Promise<void> | undefined;
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      closed ??= new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      return closed;
    },
  };
}

function listen(server: Server, { host, port }: OperationsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (cause: Error) =>
      reject(
        new Error(`metrics and health cannot listen on ${host}:${port}: ${cause.message}`, {
          cause,
        }),
      );
    server.once('error', refused);
    server.listen(port, host, () => {
      server.off('error', refused);
      resolve();
    });
  });
}

/** Never rejects: what fails here is answered with 500 and logged. */
async function answer(options: OperationsOptions, request: IncomingMessage): Promise<Answer> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return json(405, { error: 'GET or HEAD only' });
  }
  try {
    switch (request.url?.split('?', 1)[0]) {
      case '/healthz':
      case '/up':
        return json(200, { status: 'ok' });
      case '/readyz': {
        const state = options.readiness();
        return state.ready
          ? json(200, { status: 'ready', note: state.note })
          : json(503, { status: 'not ready', reason: state.reason });
      }
      case '/metrics':
        return { status: 200, type: exposition, body: await options.metrics.scrape() };
      default:
        return json(404, { error: 'here are /metrics, /healthz, /readyz and /up' });
    }
  } catch (error) {
    options.log.error({ err: error }, 'operations request failed');
    return json(500, { error: 'failed; see the log' });
  }
}

function json(status: number, content: object): Answer {
  return { status, type: 'application/json; charset=utf-8', body: JSON.stringify(content) };
}

function respond(response: ServerResponse, found: Answer): void {
  response.writeHead(found.status, {
    'content-type': found.type,
    'content-length': Buffer.byteLength(found.body),
    'cache-control': 'no-store',
    ...(found.status === 405 ? { allow: 'GET, HEAD' } : {}),
  });
  // Node sends no body to a HEAD request.
  response.end(found.body);
}
