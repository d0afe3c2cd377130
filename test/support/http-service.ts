/** An HTTP server of the test's own: keeps what it was asked and answers as the test wants. */
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ServiceRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export type ServiceAnswer = (response: ServerResponse, request: ServiceRequest) => void;

export interface HttpService {
  readonly url: string;
  readonly requests: readonly ServiceRequest[];
  /** Requests that are not answered yet. */
  readonly open: number;
  /** From now on. */
  answer(answer: ServiceAnswer): void;
  /** Refuses connections until `resume`, on the same port then. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  close(): Promise<void>;
}

export const json =
  (value: unknown, status = 200): ServiceAnswer =>
  (response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };

/** Never answers. */
export const silence: ServiceAnswer = () => undefined;

export async function startHttpService(first: ServiceAnswer): Promise<HttpService> {
  const requests: ServiceRequest[] = [];
  let answer = first;
  let open = 0;
  const serve = (incoming: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    open += 1;
    response.on('close', () => {
      open -= 1;
    });
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const request = {
        method: incoming.method ?? '',
        path: incoming.url ?? '',
        headers: incoming.headers,
        body: Buffer.concat(chunks).toString('utf8'),
      };
      requests.push(request);
      answer(response, request);
    });
  };
  let server = createServer(serve);
  const listen = (port: number) =>
    new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const shut = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/`,
    requests,
    get open() {
      return open;
    },
    answer(next) {
      answer = next;
    },
    pause: shut,
    async resume() {
      server = createServer(serve);
      await listen(port);
    },
    close: shut,
  };
}

/** Asks an edge for a channel as a page does. */
export async function askForChannel(
  origin: string,
  channel: string,
  bearer: string,
  socketId = '1234.1234',
): Promise<{
  readonly status: number;
  readonly body: Readonly<Record<string, string>>;
  readonly retryAfter: string | null;
}> {
  const response = await fetch(`${origin}/broadcasting/auth`, {
    method: 'POST',
    headers: {
      connection: 'close',
      authorization: `Bearer ${bearer}`,
      'content-type': 'application/x-www-form-urlencoded',
    },
    body: new URLSearchParams({ socket_id: socketId, channel_name: channel }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  return {
    status: response.status,
    body: isJson ? (JSON.parse(text) as Record<string, string>) : {},
    retryAfter: response.headers.get('retry-after'),
  };
}
