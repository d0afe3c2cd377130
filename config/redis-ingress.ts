/** The part under `ingress.redis`: where Redis is, what is listened to there, and the rule that comes with it. */
import { redisHeaders, redisWord } from '../contracts/redis-event.ts';
import type { EventRule, RedisIngress, RedisServer } from '../contracts/warren-config.ts';
import { type Apps, appOfRule } from './apps.ts';
import type { Path, Problem } from './problems.ts';
import { type ReadFile, readSecretFile } from './secrets.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

interface RawRedisIngress {
  readonly url?: string;
  readonly passwordFile?: string;
  readonly prefix?: string;
  readonly channels?: string;
  readonly app?: string;
}

/** REDIS_HOST, REDIS_PORT and REDIS_PASSWORD as they were found: other programs set them too, so they are judged where they are used. */
export interface RedisFallback {
  readonly host?: string;
  readonly port?: string;
  readonly password?: string;
  /** Sentences on those that could not be read. */
  readonly problems?: readonly string[];
}

export interface RedisIngressOptions {
  readonly fallback: RedisFallback;
  readonly readFile: ReadFile;
  /** How many rules the file has. */
  readonly rules: number;
}

export interface RedisIngressPart {
  readonly redis?: RedisIngress;
  /** To be added to those of the file. */
  readonly rules: readonly EventRule[];
  readonly problems: readonly Problem[];
}

const at: Path = ['ingress', 'redis'];
/** As Laravel has them. */
const defaultHost = '127.0.0.1';
const defaultPort = 6379;

export function readRedisIngress(
  source: Source,
  shape: ShapeCheck,
  apps: Apps,
  options: RedisIngressOptions,
): RedisIngressPart {
  const ingress = source.value['ingress'] as { readonly redis?: RawRedisIngress } | undefined;
  if (!shape.sound(at) || ingress?.redis === undefined) return { rules: [], problems: [] };
  const raw = ingress.redis;
  const { app, problem } = appOfRule(source, at, raw.app, apps);
  const found = serverOf(source, raw, options);
  const problems = [...(problem === undefined ? [] : [problem]), ...found.problems];
  if (problems.length > 0 || app === undefined || found.server === undefined) {
    return { rules: [], problems };
  }
  return {
    problems: [],
    redis: {
      app: app.id,
      server: found.server,
      prefix: raw.prefix ?? '',
      channels: raw.channels ?? '*',
    },
    rules: [
      {
        index: options.rules,
        builtIn: 'ingress.redis',
        app: app.id,
        on: `${redisWord}.*`,
        // Redis carries much that is not for browsers: a channel that no client could name is left alone.
        when: `"${redisHeaders.channel}" in headers`,
        to: [`{headers.${redisHeaders.channel}}`],
        as: `{headers.${redisHeaders.event}}`,
        except: `{headers.${redisHeaders.socket}}`,
      },
    ],
  };
}

interface Found {
  readonly server?: RedisServer;
  readonly problems: readonly Problem[];
}

function serverOf(source: Source, raw: RawRedisIngress, options: RedisIngressOptions): Found {
  const named =
    raw.url === undefined
      ? fromSettings(source, options.fallback)
      : fromUrl(source, raw.url, [...at, 'url']);
  if (raw.passwordFile === undefined || named.server === undefined) return named;
  if (raw.url !== undefined && named.server.password !== undefined) {
    const text = 'is given beside a password in "url"';
    const cure = 'keep one of the two';
    const problem = source.problem([...at, 'passwordFile'], text, { at: 'key', cure });
    return { problems: [problem] };
  }
  const read = readSecretFile(source, [...at, 'passwordFile'], raw.passwordFile, options.readFile);
  return 'problem' in read
    ? { problems: [read.problem] }
    : { server: { ...named.server, password: read.secret }, problems: [] };
}

/** Nothing of the URL is repeated in a problem: a password may stand anywhere in a mistaken one. */
function fromUrl(source: Source, text: string, path: Path): Found {
  const refuse = (message: string, cure: string): Found => ({
    problems: [source.problem(path, message, { cure })],
  });
  const example = 'write redis://host:6379, with rediss:// for TLS';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !['redis:', 'rediss:'].includes(url.protocol)) {
    return refuse('is not a redis:// or rediss:// URL', example);
  }
  if (url.hostname === '') return refuse('names no host', example);
  if (url.search !== '' || url.hash !== '') return refuse('has a query or a fragment', example);
  // Channels belong to no database; that of a URL which others use too does no harm.
  if (!/^(\/\d*)?$/.test(url.pathname)) return refuse('has a path', example);
  const username = decoded(url.username);
  const password = decoded(url.password);
  if (username === undefined || password === undefined) {
    return refuse(
      'has a user or password that is not percent-encoded UTF-8',
      'write % as %25, or give the password by passwordFile',
    );
  }
  return {
    problems: [],
    server: {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? defaultPort : Number(url.port),
      tls: url.protocol === 'rediss:',
      ...(username === '' ? {} : { username }),
      ...(password === '' ? {} : { password }),
    },
  };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function fromSettings(source: Source, fallback: RedisFallback): Found {
  const refuse = (message: string, cure: string): Found => ({
    problems: [source.problem(at, message, { at: 'key', cure })],
  });
  const [first] = fallback.problems ?? [];
  if (first !== undefined) return refuse(`cannot be used: ${first}`, 'put it right, or give url');
  const { host = defaultHost, port = String(defaultPort), password } = fallback;
  if (!/^[A-Za-z0-9_.:-]{1,253}$/.test(host) || host.includes('://')) {
    const cure = 'for TLS give  url: rediss://host:6379';
    return refuse('needs a host name or an address in REDIS_HOST', cure);
  }
  if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
    return refuse('needs a port from 1 to 65535 in REDIS_PORT', 'unset it for 6379, or give url');
  }
  return {
    problems: [],
    server: {
      host,
      port: Number(port),
      tls: false,
      ...(password === undefined ? {} : { password }),
    },
  };
}
