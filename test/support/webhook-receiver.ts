/** An HTTP server that takes webhooks, answers as a test wants, and checks signatures with Pusher's own SDK. */
import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import Pusher from 'pusher';
import type { WebhookEvent } from '../../contracts/pusher/webhook.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';

export interface ReceivedWebhook {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawBody: string;
  readonly timeMs: number;
  readonly events: readonly WebhookEvent[];
}

export interface WebhookReceiver {
  readonly port: number;
  readonly url: string;
  readonly requests: readonly ReceivedWebhook[];
  /** Answers the next requests; 200 to those after them. A status, or what to do with the response. */
  answer(...answers: Answer[]): void;
  /** Answers all requests. */
  answerAll(answer: Answer): void;
  /** Channels of the events of all requests, in order of arrival. */
  channels(): string[];
  connections(): Promise<number>;
  /** TCP connections that were made so far. */
  readonly connected: number;
  close(): Promise<void>;
}

export type Answer = number | ((response: ServerResponse) => void);

export async function startWebhookReceiver(host = '127.0.0.1'): Promise<WebhookReceiver> {
  const requests: ReceivedWebhook[] = [];
  let next: Answer[] = [];
  let always: Answer = 200;
  let connected = 0;
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const rawBody = Buffer.concat(chunks).toString('utf8');
      const body = JSON.parse(rawBody) as { time_ms: number; events: WebhookEvent[] };
      requests.push({
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        rawBody,
        timeMs: body.time_ms,
        events: body.events,
      });
      const answer = next.shift() ?? always;
      if (typeof answer === 'number') response.writeHead(answer).end('answer');
      else answer(response);
    });
  });
  server.on('connection', () => {
    connected += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://${host}:${port}/hooks`,
    requests,
    answer(...answers) {
      next = [...next, ...answers];
    },
    answerAll(answer) {
      next = [];
      always = answer;
    },
    channels: () => requests.flatMap(({ events }) => events.map(({ channel }) => channel)),
    connections: () =>
      new Promise((resolve, reject) => {
        server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
      }),
    get connected() {
      return connected;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** What an app that uses Pusher's server SDK would say of the request. */
export function sdkAccepts(
  app: Pick<AppConfig, 'id' | 'key' | 'secret'>,
  webhook: ReceivedWebhook,
): boolean {
  const sdk = new Pusher({ appId: app.id, key: app.key, secret: app.secret, host: 'localhost' });
  return sdk.webhook({ rawBody: webhook.rawBody, headers: { ...webhook.headers } }).isValid();
}
