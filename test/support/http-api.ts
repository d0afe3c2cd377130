/** The HTTP side of an edge without the edge: a fake cluster behind it, and requests of which every byte can be chosen. */
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import PusherServer from 'pusher';
import type { ChannelPublisher, DomainEvents } from '../../broker/port.ts';
import type { AppId, ChannelName, EdgeId } from '../../contracts/ids.ts';
import type { Publication } from '../../contracts/publication.ts';
import { bodyMd5, signHttp } from '../../contracts/pusher/signature.ts';
import type { AppConfig, AuthConfig, ChannelRule } from '../../contracts/warren-config.ts';
import { createApi } from '../../edge/api/app.ts';
import type { CachedEvent } from '../../edge/api/cache-answer.ts';
import { ApiEvents } from '../../edge/api/rate-limit.ts';
import { Apps } from '../../edge/apps.ts';
import { Authorizers } from '../../edge/authorizer/authorizers.ts';
import { ChannelRules } from '../../edge/channels/rules.ts';
import {
  type ChannelsQuery,
  type Cluster,
  ClusterIncomplete,
  type ClusterLoad,
  type Occupancy,
} from '../../edge/cluster/port.ts';
import { EdgeTally } from '../../edge/tally.ts';
import { TokenKeys } from '../../edge/tokens/token-keys.ts';
import { createLog } from '../../runtime/log.ts';
import { testApp } from './app.ts';
import { createManualClock, type ManualClock } from './manual-clock.ts';

/** Answers as all edges together would; keeps what it was asked, in order with what was published. */
export class FakeCluster
  implements Pick<Cluster, 'channels' | 'terminate' | 'edges' | 'othersLoad'>
{
  readonly occupied = new Map<string, { subscriptions: number; users?: readonly string[] }>();
  readonly asked: ChannelsQuery[] = [];
  readonly terminated: (readonly [AppId, string])[] = [];
  /** Edges that do not answer; undefined: all do. */
  silent: readonly string[] | undefined;
  live = 1;
  load: ClusterLoad = { connections: 0, apiEvents: 0 };

  edges(): readonly EdgeId[] {
    return Array.from({ length: this.live }, (_, at) => `edge-${at}` as EdgeId);
  }

  othersLoad(): ClusterLoad {
    return this.load;
  }

  async channels(query: ChannelsQuery): Promise<ReadonlyMap<ChannelName, Occupancy>> {
    this.asked.push(query);
    this.#requireAll();
    const found = new Map<ChannelName, Occupancy>();
    for (const [text, { subscriptions, users }] of this.occupied) {
      const name = text as ChannelName;
      if (!name.startsWith(query.prefix)) continue;
      if (query.names !== undefined && !query.names.includes(name)) continue;
      const known = query.users && users !== undefined ? { users: new Set(users) } : {};
      found.set(name, { subscriptions, ...known });
    }
    return found;
  }

  async terminate(app: AppId, user: string): Promise<number> {
    this.#requireAll();
    this.terminated.push([app, user]);
    return 1;
  }

  #requireAll(): void {
    if (this.silent === undefined) return;
    throw new ClusterIncomplete(this.silent as EdgeId[], `${this.silent.join()} at 10.0.0.7`);
  }
}

export interface TestApiOptions {
  readonly apps?: readonly Partial<AppConfig>[];
  readonly channels?: readonly Omit<ChannelRule, 'index' | 'app'>[];
  readonly auth?: AuthConfig;
  /** Where domain events go; off by default. */
  readonly domainEvents?: Pick<DomainEvents, 'publish'>;
  /** Time of the API at the start; the real one by default. It stands still from there. */
  readonly startMs?: number;
}

/** A request to sign and send; what is not given is as an SDK would have it. */
export interface Call {
  readonly method?: string;
  readonly path: string;
  /** Parameters as they are signed. */
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Where another path is signed than the one that is sent. */
  readonly signedPath?: string;
  /** The query on the wire instead of the signed parameters; the signature and its companions are added. */
  readonly sentQuery?: string;
  /** Name of the app; `app-key` and its secret by default. */
  readonly key?: string;
  readonly secret?: string;
  readonly timestamp?: number;
  /** Beside those that every request has. */
  readonly headers?: Record<string, string>;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly json: unknown;
  header(name: string): string | undefined;
}

export interface TestApi {
  readonly cluster: FakeCluster;
  readonly published: Publication[];
  /** The next publications fail so. */
  fail(error: Error | undefined): void;
  /** By channel name. */
  readonly cache: Map<string, CachedEvent>;
  readonly clock: ManualClock;
  readonly apps: Apps;
  readonly apiEvents: ApiEvents;
  readonly origin: string;
  /** The SDK of Pusher itself. */
  readonly sdk: PusherServer;
  call(call: Call): Promise<Answer>;
  /** Sends bytes of one's own choice, unsigned. */
  send(
    method: string,
    target: string,
    body?: string,
    headers?: Record<string, string>,
  ): Promise<Answer>;
  close(): Promise<void>;
}

export async function startTestApi(options: TestApiOptions = {}): Promise<TestApi> {
  const configs = (options.apps ?? [{}]).map((overrides) => testApp(overrides));
  const [app] = configs;
  if (app === undefined) throw new Error('a test API needs an app');
  const cluster = new FakeCluster();
  const clock = createManualClock(options.startMs ?? Date.now());
  const cache = new Map<string, CachedEvent>();
  const published: Publication[] = [];
  let failure: Error | undefined;
  const publisher: ChannelPublisher = {
    async publish(publication) {
      if (failure !== undefined) throw failure;
      published.push(publication);
      return { routed: true };
    },
  };
  const apps = new Apps(configs);
  const apiEvents = new ApiEvents(clock);
  const rules = (options.channels ?? []).map((rule, index) => ({ ...rule, index, app: app.id }));
  const server = createServer(
    createApi({
      apps,
      publisher,
      domainEvents: options.domainEvents,
      cluster,
      cache: { get: (_app, channel) => cache.get(channel) },
      apiEvents,
      rules: new ChannelRules(rules),
      authorizers: new Authorizers(rules, { clock, log: createLog('silent') }),
      tokenKeys:
        options.auth && new TokenKeys(options.auth.jwt, { clock, log: createLog('silent') }),
      clock,
      log: createLog('silent'),
      tally: new EdgeTally(),
      readiness: () => ({ ready: true }),
    }),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  const send: TestApi['send'] = (method, target, body = '', headers = {}) =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        {
          host: '127.0.0.1',
          port,
          method,
          path: target,
          agent: false,
          headers: { connection: 'close', 'content-length': Buffer.byteLength(body), ...headers },
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString('utf8');
            resolve({
              status: response.statusCode ?? 0,
              text,
              json: text === '' ? undefined : (JSON.parse(text) as unknown),
              header: (name) => {
                const value = response.headers[name];
                return Array.isArray(value) ? value.join() : value;
              },
            });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(body);
    });

  return {
    cluster,
    published,
    fail(error) {
      failure = error;
    },
    cache,
    clock,
    apps,
    apiEvents,
    origin: `http://127.0.0.1:${port}`,
    sdk: new PusherServer({
      appId: app.id,
      key: app.key,
      secret: app.secret,
      host: '127.0.0.1',
      port: String(port),
    }),
    send,
    call(call) {
      const body = call.body ?? '';
      const method = call.method ?? (body === '' ? 'GET' : 'POST');
      const companions = new Map([
        ['auth_key', call.key ?? app.key],
        ['auth_timestamp', String(call.timestamp ?? Math.floor(clock.now() / 1_000))],
        ['auth_version', '1.0'],
        ...(body === '' ? [] : ([['body_md5', bodyMd5(Buffer.from(body))]] as const)),
      ]);
      const signed = new Map([...companions, ...Object.entries(call.query ?? {})]);
      companions.set(
        'auth_signature',
        signHttp(call.secret ?? app.secret, method, call.signedPath ?? call.path, signed),
      );
      const parameters = call.sentQuery ?? new URLSearchParams(call.query).toString();
      const query = `${new URLSearchParams([...companions])}${parameters === '' ? '' : '&'}${parameters}`;
      return send(method, `${call.path}?${query}`, body, call.headers);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
