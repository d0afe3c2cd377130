/**
 * Settings from the environment: one table carries name, type, unit, default, documentation and secret-ness.
 * docs/settings.md is generated from it; no other file reads the environment.
 */
import { readFileSync } from 'node:fs';
import type { Environment } from './env.ts';
import type { LogLevel } from './log.ts';
import { nearest } from './nearest.ts';
import { parseNetworkTargets } from './network-target.ts';

interface SettingBase {
  readonly doc: string;
  readonly unit?: string;
  readonly secret?: boolean;
  /** Read when the name itself is absent. */
  readonly fallback?: string;
  /** Other programs read it too: it is taken as it stands, and judged where it is used. */
  readonly foreign?: boolean;
}

type Setting = SettingBase &
  (
    | {
        readonly type: 'text';
        readonly default?: string;
        readonly pattern?: RegExp;
        /** Beside the pattern, where that is not enough. */
        readonly valid?: (text: string) => boolean;
        readonly expected?: string;
      }
    | {
        readonly type: 'integer';
        readonly default: number;
        readonly minimum: number;
        readonly maximum: number;
      }
    | { readonly type: 'choice'; readonly default: string; readonly choices: readonly string[] }
  );

/** Every setting. `NAME_FILE` in place of `NAME` reads the value from a file, without a final newline. */
export const settingsTable = {
  WARREN_BROKER_URL: {
    type: 'text',
    default: 'amqp://guest:guest@127.0.0.1:5672',
    pattern: /^(memory:|amqps?:\/\/[^\s,]+(,\s*amqps?:\/\/[^\s,]+)*)$/,
    expected: 'amqp:// or amqps:// URLs separated by commas, or memory:',
    secret: true,
    doc: 'Where the broker is. Several URLs, separated by commas, are tried in turn. `memory:` embeds a broker in the process, for trying things out.',
  },
  WARREN_HOST: {
    type: 'text',
    default: '0.0.0.0',
    doc: 'Address that the edge listens on, for WebSocket and HTTP.',
  },
  WARREN_PORT: {
    type: 'integer',
    default: 6001,
    minimum: 0,
    maximum: 65535,
    doc: 'Port that the edge listens on; 0 takes a free one.',
  },
  WARREN_METRICS_HOST: {
    type: 'text',
    default: '127.0.0.1',
    doc: 'Address of the port for metrics and health. Loopback by default: figures are for operators.',
  },
  WARREN_METRICS_PORT: {
    type: 'integer',
    default: 9601,
    minimum: 0,
    maximum: 65535,
    doc: 'Port for `/metrics`, `/healthz` and `/readyz` of every role; 0 takes a free one.',
  },
  WARREN_CONFIG: {
    type: 'text',
    default: 'warren.yaml',
    doc: 'Path of warren.yaml. The default may be missing; a file that is named must exist.',
  },
  WARREN_RELOAD_MS: {
    type: 'integer',
    unit: 'ms',
    default: 1_000,
    minimum: 0,
    maximum: 3_600_000,
    doc: 'How often warren.yaml, and the secret files that it names, are looked at for changes; 0: only on SIGHUP, which reloads at once in any case. A change is taken up when two looks in a row have seen the same, all of it or, where anything is wrong, nothing: then one log line holds every problem and what ran before goes on. `apps`, `events`, `channels`, `egress` and the exchanges and queues of `ingress` are taken up; `auth`, `ingress.redis` and `ingress.http` need a restart, which the log says. A key or secret that changes keeps the sockets that are open. Atomic replacements are followed, those of Kubernetes included, except for volumes mounted with `subPath`, which never change.',
  },
  WARREN_APP_ID: {
    type: 'text',
    fallback: 'PUSHER_APP_ID',
    doc: 'Id of the only app, where warren.yaml lists none.',
  },
  WARREN_APP_KEY: { type: 'text', fallback: 'PUSHER_APP_KEY', doc: 'Public key of that app.' },
  WARREN_APP_SECRET: {
    type: 'text',
    fallback: 'PUSHER_APP_SECRET',
    secret: true,
    doc: 'Secret of that app.',
  },
  WARREN_ACTIVITY_TIMEOUT_MS: {
    type: 'integer',
    unit: 'ms',
    default: 30_000,
    minimum: 1_000,
    maximum: 600_000,
    doc: 'Silence after which a client sends a ping; also when the server pings a silent client.',
  },
  WARREN_PONG_TIMEOUT_MS: {
    type: 'integer',
    unit: 'ms',
    default: 30_000,
    minimum: 500,
    maximum: 600_000,
    doc: 'How long a pong may take after a server ping before the socket is closed with 4201.',
  },
  WARREN_DRAIN_MS: {
    type: 'integer',
    unit: 'ms',
    default: 30_000,
    minimum: 0,
    maximum: 3_600_000,
    doc: 'On SIGTERM: time over which open sockets are closed, in random order.',
  },
  WARREN_PREFETCH: {
    type: 'integer',
    default: 100,
    minimum: 1,
    maximum: 1_000,
    doc: 'Unacknowledged deliveries per connection queue.',
  },
  WARREN_QUEUE_MAX_LENGTH: {
    type: 'integer',
    default: 10_000,
    minimum: 10,
    maximum: 1_000_000,
    doc: 'Messages that a connection queue holds while its client or its edge is behind; beyond it the oldest are dropped, and a plain connection is not told. A burst to one channel that the edges cannot keep up with must fit in here; the price is broker memory, up to this many messages for each connection that lags.',
  },
  WARREN_HOT_AFTER: {
    type: 'integer',
    default: 8,
    minimum: 1,
    maximum: 1_000_000,
    doc: 'From which subscriber on, counted per channel and edge, a plain connection is served from the one queue that all of an edge share instead of its own. 1: always; a large number: never for this reason. A message then costs the broker as much as for one subscriber, where each own queue costs about 50 µs of broker more; the price is that a client that falls behind cannot wait in the broker: beyond four times `WARREN_SOCKET_BUFFER_BYTES` it is closed with 4100. `delivery:` in warren.yaml decides it per channel.',
  },
  WARREN_OWN_QUEUES: {
    type: 'integer',
    default: 2_000,
    minimum: 0,
    maximum: 100_000,
    doc: 'Own queues that an edge may have for plain connections; those beyond it share the queue of the edge. 0: all of them do. Each costs the broker some 25 KB and 3 ms to declare, and when an edge dies the broker is busy for about 0.7 ms per queue. Channels whose rule says `delivery: session` get theirs all the same.',
  },
  WARREN_RESUME_WINDOW_MS: {
    type: 'integer',
    unit: 'ms',
    default: 120_000,
    minimum: 1_000,
    maximum: 3_600_000,
    doc: 'How long the broker keeps what is published for a session with continuity (`/~s/<id>`) while its client is away. A longer window survives longer tunnels; the price is that every session that has left for good is collected for, up to `WARREN_SESSION_MAX_LENGTH` messages, until its window is over.',
  },
  WARREN_SHED_PER_SECOND: {
    type: 'integer',
    default: 0,
    minimum: 0,
    maximum: 10_000,
    doc: 'Connections per second that an edge with clearly more than its share closes with 4200, so that a new edge gets some after a scale-up; 0 sheds none. Sessions lose nothing by it, plain connections what is published until they are back.',
  },
  WARREN_SESSION_MAX_LENGTH: {
    type: 'integer',
    default: 1_000,
    minimum: 10,
    maximum: 1_000_000,
    doc: 'Messages that the queue of a session with continuity holds while its client is away or behind; beyond it the oldest are dropped and the client is told that it has a gap. Must be above `WARREN_PREFETCH`, since what was under way to the client goes back into it. The price is broker memory: up to this many messages for each session that is away.',
  },
  WARREN_SOCKET_BUFFER_BYTES: {
    type: 'integer',
    unit: 'bytes',
    default: 1_048_576,
    minimum: 16_384,
    maximum: 1_073_741_824,
    doc: 'Bytes buffered for one socket; beyond it the edge stops taking messages for it from the broker. What comes by the queue that all of an edge share cannot be stopped for one socket: where four times as many bytes wait, it is closed with 4100.',
  },
  WARREN_SLOW_SOCKET_MS: {
    type: 'integer',
    unit: 'ms',
    default: 30_000,
    minimum: 100,
    maximum: 3_600_000,
    doc: 'A socket whose buffer stays full for this long is closed with 4100, which clients answer by coming back.',
  },
  WARREN_ROUTER_PREFETCH: {
    type: 'integer',
    default: 200,
    minimum: 1,
    maximum: 1_000,
    doc: 'Domain events that a router works on at a time; also its confirm window.',
  },
  WARREN_CONFIRM_TIMEOUT_MS: {
    type: 'integer',
    unit: 'ms',
    default: 10_000,
    minimum: 100,
    maximum: 600_000,
    doc: 'How long a publication may wait for the broker’s confirm before it counts as failed.',
  },
  WARREN_HEARTBEAT_SECONDS: {
    type: 'integer',
    unit: 's',
    default: 5,
    minimum: 1,
    maximum: 120,
    doc: 'AMQP heartbeat. A dead link is noticed within about three times this.',
  },
  WARREN_TOPOLOGY_PREFIX: {
    type: 'text',
    default: '',
    pattern: /^[A-Za-z0-9_.-]{0,64}$/,
    expected: 'at most 64 characters of A-Z a-z 0-9 _ . -',
    doc: 'Put before the name of every exchange and queue, so that several installations can share a vhost.',
  },
  WARREN_DOMAIN_EXCHANGE: {
    type: 'text',
    pattern: /^[^\s]{1,127}$/,
    expected: 'an exchange name',
    doc: 'Topic exchange that services publish domain events to. Default: `<prefix>domain.events`.',
  },
  WARREN_WEBHOOK_PRIVATE_TARGETS: {
    type: 'text',
    default: '',
    valid: (text) => text === '' || parseNetworkTargets(text) !== undefined,
    expected: 'host names, IP addresses or CIDR blocks separated by commas, at most 100',
    doc: 'Hosts that webhooks may be sent to although their addresses are private, loopback or link-local: `hooks.internal, 10.1.0.0/16, ::1`. Without it webhooks reach public addresses only, so that nobody who may edit warren.yaml can probe the network behind the edge.',
  },
  REDIS_HOST: {
    type: 'text',
    foreign: true,
    default: '127.0.0.1',
    expected: 'a host name or an IP address',
    doc: 'Where Redis is, for `ingress.redis` of warren.yaml without a `url`. Read only then, as are the next two.',
  },
  REDIS_PORT: {
    type: 'text',
    foreign: true,
    default: '6379',
    expected: '1 to 65535',
    doc: 'Port of that Redis. A service link of Kubernetes (`tcp://…`) counts as not set.',
  },
  REDIS_PASSWORD: {
    type: 'text',
    foreign: true,
    secret: true,
    doc: 'Password of that Redis. `null`, as Laravel’s `.env` has it, counts as not set.',
  },
  WARREN_LOG_LEVEL: {
    type: 'choice',
    default: 'info',
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
    doc: 'Least severe log lines that are written.',
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settingsTable;

/** What the scripts behind the make targets read. The processes do not, and must start all the same where they are set. */
export const scriptSettings = {
  WARREN_BROKER_PORT:
    'Port of the local broker, where `WARREN_BROKER_URL` is not set. Default: 5672.',
  WARREN_BROKER_MANAGEMENT_PORT: 'Port of the local broker’s management page. Default: 15672.',
  WARREN_BROKER_VIA:
    'How `make broker-up` may start a broker: `any`, `compose` or `native`. Default: `any`.',
  WARREN_BROKER_DEADLINE_S: 'How long it waits for the broker, in seconds. Default: 180.',
  WARREN_RUN_DIR: 'Where state, data and logs of what was started go. Default: `.run`.',
} as const;

export interface Settings {
  readonly brokerUrls: readonly string[];
  readonly host: string;
  readonly port: number;
  readonly metricsHost: string;
  readonly metricsPort: number;
  readonly configPath: string;
  /** False where `configPath` is the default: then the file may be missing. */
  readonly configPathGiven: boolean;
  /** 0: only on SIGHUP. */
  readonly reloadMs: number;
  /** From the environment; undefined where none of the three is set. */
  readonly app: { readonly id: string; readonly key: string; readonly secret: string } | undefined;
  readonly activityTimeoutMs: number;
  readonly pongTimeoutMs: number;
  readonly drainMs: number;
  readonly prefetch: number;
  readonly queueMaxLength: number;
  readonly hotAfter: number;
  readonly ownQueues: number;
  readonly resumeWindowMs: number;
  /** Above `prefetch`. */
  readonly sessionMaxLength: number;
  readonly shedPerSecond: number;
  readonly socketBufferBytes: number;
  readonly slowSocketMs: number;
  readonly routerPrefetch: number;
  readonly confirmTimeoutMs: number;
  readonly heartbeatSeconds: number;
  readonly topologyPrefix: string;
  readonly domainExchange: string | undefined;
  /** Host names, IP addresses and CIDR blocks, in lower case. */
  readonly webhookPrivateTargets: readonly string[];
  /** As `REDIS_…` say it; absent where they do not. */
  readonly redis: RedisSettings;
  readonly logLevel: LogLevel;
  readonly production: boolean;
}

export interface RedisSettings {
  readonly host?: string;
  readonly port?: string;
  readonly password?: string;
  /** Sentences on those that could not be read. */
  readonly problems?: readonly string[];
}

export interface SettingProblem {
  readonly name: string;
  readonly message: string;
}

export type SettingsResult =
  | { readonly ok: true; readonly settings: Settings; readonly warnings: readonly SettingProblem[] }
  | { readonly ok: false; readonly problems: readonly SettingProblem[] };

/**
 * Reads and checks all settings; reports every mistake at once. An unknown `WARREN_*` name is a mistake, with a suggestion;
 * the service links that Kubernetes sets (`WARREN_PORT=tcp://…`, `WARREN_EDGE_SERVICE_HOST`) are ignored with a warning.
 */
export function readSettings(
  environment: Environment,
  readFile: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): SettingsResult {
  const problems: SettingProblem[] = [];
  const warnings: SettingProblem[] = [];
  const given = new Map<string, string>();
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || !name.startsWith('WARREN_')) continue;
    const base = name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : name;
    if (isServiceLink(name, value)) {
      warnings.push({
        name,
        message:
          'looks like a Kubernetes service link and is ignored; set enableServiceLinks: false on the pod to be rid of it',
      });
    } else if (!Object.hasOwn(settingsTable, base) && !Object.hasOwn(scriptSettings, name)) {
      problems.push({ name, message: `is not a setting${suggestion(base)}` });
    }
  }
  for (const name of Object.keys(settingsTable) as SettingName[]) {
    const setting: Setting = settingsTable[name];
    if (setting.foreign === true) continue;
    for (const candidate of setting.fallback === undefined ? [name] : [name, setting.fallback]) {
      const raw = textOf(candidate, environment, readFile, problems);
      if (raw === undefined || isServiceLink(candidate, raw)) continue;
      given.set(name, raw);
      break;
    }
  }
  const read = (name: SettingName) => settingValue(name, given.get(name), problems);
  const text = (name: SettingName) => String(read(name) ?? '');
  const optional = (name: SettingName) => (given.has(name) ? text(name) : undefined);
  const number = (name: SettingName) => Number(read(name));

  const app = {
    id: optional('WARREN_APP_ID'),
    key: optional('WARREN_APP_KEY'),
    secret: optional('WARREN_APP_SECRET'),
  };
  const appParts = Object.entries(app).filter(([, value]) => value !== undefined);
  if (appParts.length > 0 && appParts.length < 3) {
    const missing = Object.entries(app)
      .filter(([, value]) => value === undefined)
      .map(([part]) => `WARREN_APP_${part.toUpperCase()}`)
      .filter((name) => !problems.some((problem) => problem.name.startsWith(name)));
    if (missing.length > 0) {
      problems.push({
        name: missing.join(', '),
        message: 'missing: an app needs id, key and secret',
      });
    }
  }
  const settings: Settings = {
    brokerUrls: text('WARREN_BROKER_URL')
      .split(',')
      .map((url) => url.trim()),
    host: text('WARREN_HOST'),
    port: number('WARREN_PORT'),
    metricsHost: text('WARREN_METRICS_HOST'),
    metricsPort: number('WARREN_METRICS_PORT'),
    configPath: text('WARREN_CONFIG'),
    configPathGiven: given.has('WARREN_CONFIG'),
    reloadMs: number('WARREN_RELOAD_MS'),
    app:
      app.id !== undefined && app.key !== undefined && app.secret !== undefined
        ? { id: app.id, key: app.key, secret: app.secret }
        : undefined,
    activityTimeoutMs: number('WARREN_ACTIVITY_TIMEOUT_MS'),
    pongTimeoutMs: number('WARREN_PONG_TIMEOUT_MS'),
    drainMs: number('WARREN_DRAIN_MS'),
    prefetch: number('WARREN_PREFETCH'),
    queueMaxLength: number('WARREN_QUEUE_MAX_LENGTH'),
    hotAfter: number('WARREN_HOT_AFTER'),
    ownQueues: number('WARREN_OWN_QUEUES'),
    resumeWindowMs: number('WARREN_RESUME_WINDOW_MS'),
    sessionMaxLength: number('WARREN_SESSION_MAX_LENGTH'),
    shedPerSecond: number('WARREN_SHED_PER_SECOND'),
    socketBufferBytes: number('WARREN_SOCKET_BUFFER_BYTES'),
    slowSocketMs: number('WARREN_SLOW_SOCKET_MS'),
    routerPrefetch: number('WARREN_ROUTER_PREFETCH'),
    confirmTimeoutMs: number('WARREN_CONFIRM_TIMEOUT_MS'),
    heartbeatSeconds: number('WARREN_HEARTBEAT_SECONDS'),
    topologyPrefix: text('WARREN_TOPOLOGY_PREFIX'),
    domainExchange: optional('WARREN_DOMAIN_EXCHANGE'),
    webhookPrivateTargets: parseNetworkTargets(text('WARREN_WEBHOOK_PRIVATE_TARGETS')) ?? [],
    redis: redisSettings(environment, readFile),
    logLevel: text('WARREN_LOG_LEVEL') as LogLevel,
    production: environment['NODE_ENV'] === 'production',
  };
  problems.push(...crossProblems(settings));
  return problems.length > 0 ? { ok: false, problems } : { ok: true, settings, warnings };
}

/** A mistake in them is nobody's concern where Redis is not asked for, so none is reported here. */
function redisSettings(
  environment: Environment,
  readFile: (path: string) => string,
): RedisSettings {
  const problems: SettingProblem[] = [];
  const read = (name: SettingName) => textOf(name, environment, readFile, problems);
  const host = read('REDIS_HOST');
  const port = read('REDIS_PORT');
  const password = read('REDIS_PASSWORD');
  return {
    ...(host === undefined ? {} : { host }),
    ...(port === undefined || /^(tcp|udp):\/\//.test(port) ? {} : { port }),
    ...(password === undefined || password === 'null' ? {} : { password }),
    ...(problems.length === 0
      ? {}
      : { problems: problems.map(({ name, message }) => `${name} ${message}`) }),
  };
}

/** Settings that contradict each other. One that could not be read counts with its default here. */
function crossProblems({ prefetch, sessionMaxLength }: Settings): readonly SettingProblem[] {
  if (sessionMaxLength > prefetch) return [];
  return [
    {
      name: 'WARREN_SESSION_MAX_LENGTH',
      message: `must be above WARREN_PREFETCH (${prefetch}), not ${sessionMaxLength}: what is under way to a client goes back into the queue when it leaves`,
    },
  ];
}

function isServiceLink(name: string, value: string): boolean {
  return (
    /^WARREN_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_\w+)?)$/.test(name) ||
    (/^WARREN_(\w+_)?PORT$/.test(name) && /^(tcp|udp):\/\//.test(value))
  );
}

function textOf(
  name: string,
  environment: Environment,
  readFile: (path: string) => string,
  problems: SettingProblem[],
): string | undefined {
  const direct = environment[name];
  const path = environment[`${name}_FILE`];
  if (path === undefined || path === '') return direct === '' ? undefined : direct;
  if (direct !== undefined && direct !== '') {
    problems.push({ name, message: `is set twice: ${name} and ${name}_FILE` });
    return undefined;
  }
  try {
    const value = readFile(path).replace(/\r?\n$/, '');
    if (value !== '') return value;
    problems.push({ name: `${name}_FILE`, message: 'names an empty file' });
  } catch (error) {
    problems.push({ name: `${name}_FILE`, message: `cannot be read: ${(error as Error).message}` });
  }
  return undefined;
}

function settingValue(
  name: SettingName,
  raw: string | undefined,
  problems: SettingProblem[],
): string | number | undefined {
  const setting: Setting = settingsTable[name];
  if (raw === undefined) return setting.default;
  // A secret must not reach a log by way of its own error message.
  const shown = setting.secret === true ? 'the value' : JSON.stringify(raw);
  switch (setting.type) {
    case 'integer': {
      const value = Number(raw);
      if (/^\d+$/.test(raw) && value >= setting.minimum && value <= setting.maximum) return value;
      const unit = setting.unit === undefined ? '' : ` (${setting.unit})`;
      problems.push({
        name,
        message: `must be a whole number from ${setting.minimum} to ${setting.maximum}${unit}, not ${shown}`,
      });
      return setting.default;
    }
    case 'choice':
      if (setting.choices.includes(raw)) return raw;
      problems.push({
        name,
        message: `must be one of ${setting.choices.join(', ')}, not ${shown}`,
      });
      return setting.default;
    case 'text':
      if (setting.pattern?.test(raw) !== false && setting.valid?.(raw) !== false) return raw;
      problems.push({
        name,
        message: `must be ${setting.expected ?? 'of another form'}; ${shown} is not`,
      });
      return setting.default;
  }
}

function suggestion(name: string): string {
  const best = nearest(name, [...Object.keys(settingsTable), ...Object.keys(scriptSettings)]);
  return best === undefined ? '; see docs/settings.md for all of them' : `; did you mean ${best}?`;
}
