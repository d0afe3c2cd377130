/** The one port of the edge: HTTP requests go to the API, upgrades become connections or are refused with a close code. */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { CloseCode } from '../contracts/pusher/close-codes.ts';
import type { Result } from '../contracts/result.ts';
import type { Log } from '../runtime/log.ts';
import type { Handshake } from './socket/handshake.ts';
import type { EdgeTally } from './tally.ts';

export interface ServerLimits {
  /** For the complete head of a request: what drips slower holds a socket for nothing. */
  readonly headersTimeoutMs: number;
  /** For the complete request. */
  readonly requestTimeoutMs: number;
  /** How often the two are checked. */
  readonly checkIntervalMs: number;
  /** Connections that have not become WebSockets, idle HTTP clients included; beyond it new ones are dropped. */
  readonly maxPendingConnections: number;
  /** How long a closing handshake may take before the socket is destroyed. */
  readonly closeTimeoutMs: number;
}

export const defaultServerLimits: ServerLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  checkIntervalMs: 1_000,
  maxPendingConnections: 4_096,
  closeTimeoutMs: 5_000,
};

export interface ServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly api: RequestListener;
  /** Decides on an upgrade. @param url path and query */
  admit(url: string, origin: string | undefined): Result<Handshake, CloseCode>;
  /** Takes over an accepted socket. */
  accept(webSocket: WebSocket, socket: Duplex, handshake: Handshake): void;
  readonly limits: ServerLimits;
  readonly log: Log;
  readonly tally: EdgeTally;
}

export interface EdgeServer {
  readonly port: number;
  /** Takes no new connection; resolves when every request that has begun is answered. */
  stopListening(): Promise<void>;
  /** Destroys what is left except accepted WebSockets. */
  destroy(): void;
}

/** Of one WebSocket message. Protocol frames come in one piece; thousands of empty pieces are an attack. */
const maxFragments = 64;
/** Pieces of one message as TCP brought them: a message that drips in byte by byte costs a buffer for each. */
const maxBufferedChunks = 4_096;

/** Resolves when the port is bound; rejects where it cannot be. */
export async function startServer(options: ServerOptions): Promise<EdgeServer> {
  const { limits, log, tally } = options;
  const known = new WeakSet<Duplex>();
  const pending = new Set<Duplex>();
  const refused = new Set<WebSocket>();
  const servers = new Map<number, WebSocketServer>();
  let stopping = false;
  let requests = 0;
  let onQuiet: (() => void) | undefined;
  const http = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: limits.checkIntervalMs,
    },
    options.api,
  );

  http.on('connection', (socket: Socket) => {
    // One that is served again after an offer to upgrade has its listeners already.
    if (!known.has(socket)) {
      known.add(socket);
      socket.on('error', ignore);
      socket.on('close', forget);
    }
    if (pending.size >= limits.maxPendingConnections) {
      tally.closes.add('pending_limit');
      socket.destroy();
      return;
    }
    pending.add(socket);
  });
  http.on('request', (_request, response) => {
    requests += 1;
    if (stopping) response.setHeader('Connection', 'close');
    response.on('close', answered);
  });
  http.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    answerBrokenRequest(error, socket);
  });
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    pending.delete(socket);
    try {
      if (isForWebSocket(request)) upgrade(request, socket, head);
      else serveWithoutUpgrade(http, request, socket, head);
    } catch (error) {
      log.error({ err: error }, 'an upgrade failed');
      socket.destroy();
    }
  });

  function forget(this: Socket): void {
    pending.delete(this);
  }

  function answered(): void {
    requests -= 1;
    if (requests === 0) onQuiet?.();
  }

  function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // A refusal is a close code too: a stock client reads nothing else, so the socket is accepted first.
    const admission = options.admit(request.url ?? '', originOf(request));
    const limit = admission.ok ? admission.value.app.config.limits.clientFrameBytes : 1_024;
    webSocketServer(limit).handleUpgrade(request, socket, head, (webSocket) => {
      if (admission.ok) options.accept(webSocket, socket, admission.value);
      else refuse(webSocket, admission.error);
    });
  }

  function refuse(webSocket: WebSocket, reason: CloseCode): void {
    tally.closes.add(String(reason.code));
    refused.add(webSocket);
    webSocket.on('error', ignore);
    webSocket.on('close', () => refused.delete(webSocket));
    webSocket.close(reason.code, reason.reason);
  }

  /** ws applies the size limit per server, apps have their own: one server for each limit in use. */
  function webSocketServer(maxPayload: number): WebSocketServer {
    let server = servers.get(maxPayload);
    if (server === undefined) {
      const settings = {
        noServer: true,
        perMessageDeflate: false,
        clientTracking: false,
        // Pongs go through the outbox like everything else, so that what a client may demand of us is bounded in one place.
        autoPong: false,
        maxPayload,
        maxFragments,
        maxBufferedChunks,
        closeTimeout: limits.closeTimeoutMs,
      };
      server = new WebSocketServer(settings);
      server.on('error', (error) => log.error({ err: error }, 'the WebSocket server failed'));
      servers.set(maxPayload, server);
    }
    return server;
  }

  await listen(http, options.host, options.port);
  // Running out of file descriptors, for one: it passes.
  http.on('error', (error) => log.error({ err: error }, 'the listener failed'));

  return {
    port: (http.address() as AddressInfo).port,
    stopListening() {
      stopping = true;
      http.close();
      if (requests === 0) return Promise.resolve();
      return new Promise((resolve) => {
        onQuiet = resolve;
      });
    },
    destroy() {
      http.closeAllConnections();
      for (const webSocket of refused) webSocket.terminate();
      for (const socket of pending) socket.destroy();
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function originOf(request: IncomingMessage): string | undefined {
  const old = request.headers['sec-websocket-origin'];
  return request.headers.origin ?? (typeof old === 'string' ? old : undefined);
}

function isForWebSocket(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * A server may ignore an offer to upgrade (RFC 9110 §7.8), but Node hands over every one. Java's HttpClient makes one (`h2c`) on each
 * first request, so it is put back as the request that it is, without the offer.
 */
function serveWithoutUpgrade(
  server: Server,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const lines = [`${request.method} ${request.url} HTTP/1.1`];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] ?? '';
    if (hopByHop.has(name.toLowerCase())) continue;
    lines.push(`${name}: ${request.rawHeaders[at + 1]}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}

const hopByHop = new Set(['connection', 'upgrade', 'http2-settings']);

function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () =>
    socket.destroy(),
  );
}

/** The connection ends by itself; without a listener the error would end the process. */
function ignore(): void {
  return;
}
