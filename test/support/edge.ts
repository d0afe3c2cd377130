/** An edge on an embedded broker for one test, with raw WebSocket clients; everything is closed by `close`. */
import { randomBytes } from 'node:crypto';
import WebSocket, { type ClientOptions } from 'ws';
import { createMemoryBroker, type MemoryBroker } from '../../broker/memory/broker.ts';
import type { Broker } from '../../broker/port.ts';
import type { EdgeId, SocketId } from '../../contracts/ids.ts';
import {
  bodyMd5,
  type SigningKey,
  signChannel,
  signHttp,
  signUser,
} from '../../contracts/pusher/signature.ts';
import type {
  AppConfig,
  AuthConfig,
  ChannelRule,
  EgressConfig,
} from '../../contracts/warren-config.ts';
import { type EdgeOptions, type EdgeRole, type EdgeSettings, startEdge } from '../../edge/main.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { createLog, type Log } from '../../runtime/log.ts';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';
import { testApp } from './app.ts';

export interface TestEdgeOptions {
  readonly apps?: readonly Partial<AppConfig>[];
  readonly channels?: readonly Omit<ChannelRule, 'index' | 'app'>[];
  readonly auth?: AuthConfig;
  readonly egress?: Partial<EgressConfig>;
  readonly settings?: Partial<EdgeSettings>;
  /** Of the edge alone: the broker and the clients live on the real one. */
  readonly clock?: Clock;
  readonly broker?: MemoryBroker;
  /** In place of the embedded broker; the caller closes it. */
  readonly link?: Broker;
  readonly clusterTimings?: EdgeOptions['clusterTimings'];
  readonly keySetTimings?: EdgeOptions['keySetTimings'];
  readonly authorizerBreaker?: EdgeOptions['authorizerBreaker'];
  readonly sessionQueues?: EdgeOptions['broker']['sessionQueues'];
  readonly channelPublisher?: EdgeOptions['broker']['channelPublisher'];
  readonly log?: Log;
}

export interface TestEdge {
  readonly edge: EdgeRole;
  readonly broker: MemoryBroker;
  readonly metrics: Metrics;
  readonly app: AppConfig;
  readonly origin: string;
  /**
   * What the embedded broker holds for this edge's sockets: without the queue on which edges talk and its two bindings, and the one for
   * events to single sockets with a binding per app.
   */
  held(): { readonly queues: number; readonly bindings: number };
  /** A raw client; `path` as in the URL, with query. */
  open(path?: string, options?: ClientOptions): TestClient;
  /** A raw client that has been greeted. */
  connect(path?: string, options?: ClientOptions): Promise<TestClient>;
  /** A signed call of the HTTP API. */
  post(path: string, body: unknown): Promise<Response>;
  get(path: string, query?: Readonly<Record<string, string>>): Promise<Response>;
  /** One metric, summed over its labels or for the one label given as `code="4201"`. */
  metric(name: string, label?: string): Promise<number>;
  close(): Promise<void>;
}

export const protocolPath = '/app/app-key?protocol=7&client=test&version=1';

export async function startTestEdge(options: TestEdgeOptions = {}): Promise<TestEdge> {
  const apps = (options.apps ?? [{}]).map((overrides) => testApp(overrides));
  const [app] = apps;
  if (app === undefined) throw new Error('a test edge needs an app');
  const broker = options.broker ?? createMemoryBroker({ clock: systemClock });
  const link = options.link ?? broker;
  const metrics = createMetrics();
  const clients = new Set<TestClient>();
  const edge = await startEdge({
    broker: {
      ...link,
      channelPublisher: options.channelPublisher ?? link.channelPublisher,
      sessionQueues: options.sessionQueues ?? link.sessionQueues,
    },
    config: {
      apps,
      events: [],
      channels: (options.channels ?? []).map((rule, index) => ({ ...rule, index, app: app.id })),
      ...(options.auth === undefined ? {} : { auth: options.auth }),
      egress: { clientEvents: true, presence: false, occupancy: false, ...options.egress },
    },
    settings: {
      host: '127.0.0.1',
      port: 0,
      activityTimeoutMs: 30_000,
      pongTimeoutMs: 30_000,
      slowSocketMs: 30_000,
      socketBufferBytes: 1_048_576,
      prefetch: 100,
      queueMaxLength: 100_000,
      hotAfter: 8,
      ownQueues: 2_000,
      resumeWindowMs: 60_000,
      sessionMaxLength: 1_000,
      shedPerSecond: 0,
      webhookPrivateTargets: ['127.0.0.1'],
      ...options.settings,
    },
    clock: options.clock ?? systemClock,
    log: options.log ?? createLog('silent'),
    metrics,
    ...(options.clusterTimings === undefined ? {} : { clusterTimings: options.clusterTimings }),
    ...(options.keySetTimings === undefined ? {} : { keySetTimings: options.keySetTimings }),
    ...(options.authorizerBreaker === undefined
      ? {}
      : { authorizerBreaker: options.authorizerBreaker }),
    edgeId: `test-${randomBytes(4).toString('hex')}` as EdgeId,
  });
  const origin = `127.0.0.1:${edge.port}`;
  const open = (path = protocolPath, clientOptions: ClientOptions = {}) => {
    const client = new TestClient(`ws://${origin}${path}`, clientOptions);
    clients.add(client);
    return client;
  };
  return {
    edge,
    broker,
    metrics,
    app,
    origin: `http://${origin}`,
    held() {
      const { queues, bindings } = broker.counts();
      return { queues: queues - 2, bindings: bindings - 2 - apps.length };
    },
    open,
    async connect(path, clientOptions) {
      const client = open(path, clientOptions);
      await client.greeted();
      return client;
    },
    post: (path, body) => signedPost(`http://${origin}`, app, path, JSON.stringify(body)),
    get: (path, query = {}) => signedGet(`http://${origin}`, app, path, query),
    async metric(name, label = '') {
      const lines = (await metrics.scrape()).split('\n');
      const values = lines
        .filter((line) => new RegExp(`^${name}(\\{| )`).test(line) && line.includes(label))
        .map((line) => Number(line.split(' ').at(-1)));
      return values.reduce((sum, value) => sum + value, 0);
    },
    async close() {
      for (const client of clients) client.terminate();
      await edge.stop(0);
      if (options.broker === undefined) await broker.close();
      await metrics.close();
    },
  };
}

export function signedPost(
  origin: string,
  app: SigningKey,
  path: string,
  body: string,
  timestamp = Math.floor(Date.now() / 1_000),
): Promise<Response> {
  const query = new Map([
    ['auth_key', app.key],
    ['auth_timestamp', String(timestamp)],
    ['auth_version', '1.0'],
    ['body_md5', bodyMd5(Buffer.from(body))],
  ]);
  query.set('auth_signature', signHttp(app.secret, 'POST', path, query));
  return fetch(`${origin}${path}?${new URLSearchParams([...query])}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection: 'close' },
    body,
  });
}

function signedGet(
  origin: string,
  app: SigningKey,
  path: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const query = new Map([
    ['auth_key', app.key],
    ['auth_timestamp', String(Math.floor(Date.now() / 1_000))],
    ['auth_version', '1.0'],
    ...Object.entries(parameters),
  ]);
  query.set('auth_signature', signHttp(app.secret, 'GET', path, query));
  return fetch(`${origin}${path}?${new URLSearchParams([...query])}`, {
    headers: { connection: 'close' },
  });
}

export interface Frame {
  readonly event: string;
  readonly channel?: string;
  readonly data?: unknown;
  readonly [key: string]: unknown;
}

interface Waiter {
  readonly matches: (frame: Frame) => boolean;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: Error) => void;
}

/** A WebSocket that keeps what it received and lets a test wait for what is still to come. */
export class TestClient {
  readonly socket: WebSocket;
  /** The text of every frame, in order. */
  readonly texts: string[] = [];
  readonly frames: Frame[] = [];
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  /** Answers `pusher:ping` as stock clients do, which is what acknowledges. */
  answersPings = false;
  readonly #waiters = new Set<Waiter>();
  /** Frames before this one have been looked at by `next`. */
  #seen = 0;
  #ended = false;

  constructor(url: string, options: ClientOptions) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...options });
    this.socket.on('error', () => {});
    this.socket.on('message', (data) => this.#received(String(data)));
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        this.#ended = true;
        for (const { reject } of this.#waiters) reject(this.#gone());
        this.#waiters.clear();
        resolve({ code, reason: String(reason) });
      });
    });
  }

  #gone(): Error {
    return new Error(`the socket ended; received: ${this.texts.slice(-5).join(' ')}`);
  }

  #received(text: string): void {
    this.texts.push(text);
    const frame = JSON.parse(text) as Frame;
    this.frames.push(frame);
    if (this.answersPings && frame.event === 'pusher:ping') this.send('pusher:pong', {});
    for (const waiter of this.#waiters) {
      if (!waiter.matches(frame)) continue;
      this.#waiters.delete(waiter);
      this.#seen = this.frames.length;
      waiter.resolve(frame);
    }
  }

  /** The first frame of this event (and channel) after the last one that `next` returned. */
  next(event: string, channel?: string): Promise<Frame> {
    const matches = (frame: Frame) =>
      frame.event === event && (channel === undefined || frame.channel === channel);
    const at = this.frames.findIndex((frame, index) => index >= this.#seen && matches(frame));
    const found = this.frames[at];
    if (found !== undefined) {
      this.#seen = at + 1;
      return Promise.resolve(found);
    }
    if (this.#ended) return Promise.reject(this.#gone());
    return new Promise((resolve, reject) => this.#waiters.add({ matches, resolve, reject }));
  }

  async greeted(): Promise<SocketId> {
    const { data } = await this.next('pusher:connection_established');
    return (JSON.parse(String(data)) as { socket_id: SocketId }).socket_id;
  }

  get socketId(): SocketId {
    const first = this.frames[0];
    return (JSON.parse(String(first?.data)) as { socket_id: SocketId }).socket_id;
  }

  send(event: string, data: unknown, more: object = {}): void {
    this.socket.send(JSON.stringify({ event, data, ...more }));
  }

  /** Subscribes and waits for the success. */
  async subscribe(channel: string, app?: SigningKey, channelData?: string): Promise<Frame> {
    const auth = app === undefined ? '' : signChannel(app, this.socketId, channel, channelData);
    this.send('pusher:subscribe', { channel, auth, channel_data: channelData });
    return await this.next('pusher_internal:subscription_succeeded', channel);
  }

  /** Signs in and waits for the success. */
  async signin(app: SigningKey, user: object): Promise<Frame> {
    const userData = JSON.stringify(user);
    this.send('pusher:signin', {
      auth: signUser(app, this.socketId, userData),
      user_data: userData,
    });
    return await this.next('pusher:signin_success');
  }

  /** Resolves when the server has answered a ping: everything sent before has been worked on. */
  async roundTrip(): Promise<void> {
    this.send('pusher:ping', {});
    await this.next('pusher:pong');
  }

  events(channel: string): Frame[] {
    return this.frames.filter((frame) => frame.channel === channel && !/^pusher/.test(frame.event));
  }

  terminate(): void {
    this.socket.terminate();
  }
}
