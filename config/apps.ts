/** The apps of warren.yaml, or the one that stands in where it lists none. */
import { type AppId, parseAppId } from '../contracts/ids.ts';
import { type AppLimits, defaultLimits } from '../contracts/pusher/limits.ts';
import type { AppConfig } from '../contracts/warren-config.ts';
import { nearest } from '../runtime/nearest.ts';
import { type Path, type Problem, shown } from './problems.ts';
import { type ReadFile, readSecret, type SecretHolder } from './secrets.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';
import { type RawWebhook, readWebhooks } from './webhooks.ts';

export interface RawApp extends SecretHolder {
  readonly id: string;
  readonly key: string;
  readonly allowedOrigins?: readonly string[];
  readonly limits?: Partial<AppLimits>;
  readonly enabled?: boolean;
  readonly clientEvents?: boolean;
  readonly subscriptionCount?: boolean;
  readonly authorizationTimeoutMs?: number;
  readonly webhooks?: readonly RawWebhook[];
}

/** Id, key and secret as the settings give them. */
export interface FallbackApp {
  readonly id: string;
  readonly key: string;
  readonly secret: string;
}

export interface Apps {
  readonly apps: readonly AppConfig[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** False where an app could not be read: then a rule that names an unknown one may be right. */
  readonly complete: boolean;
}

const builtIn: FallbackApp = { id: 'app-id', key: 'app-key', secret: 'app-secret' };

/** As in the schema: the key is a segment of the WebSocket URL and stands before a colon in signatures. */
const keyPattern = /^[A-Za-z0-9_\-=@,;.]{1,64}$/;

/** True for the app that anybody knows the secret of. */
export function isBuiltInApp(app: FallbackApp): boolean {
  return app.id === builtIn.id && app.key === builtIn.key && app.secret === builtIn.secret;
}

export interface AppOptions {
  readonly fallbackApp: FallbackApp | undefined;
  readonly production: boolean;
  /** Apps run already: the built-in one must not take their place. */
  readonly keepsListedApps: boolean;
  readonly readFile: ReadFile;
}

export function readApps(source: Source, shape: ShapeCheck, options: AppOptions): Apps {
  const raw = source.value['apps'];
  if (Array.isArray(raw) && raw.length > 0) {
    return listedApps(source, shape, raw as readonly RawApp[], options);
  }
  if (!shape.sound(['apps'])) return { apps: [], problems: [], warnings: [], complete: false };
  return standInApp(source, options);
}

function listedApps(
  source: Source,
  shape: ShapeCheck,
  raw: readonly RawApp[],
  options: AppOptions,
): Apps {
  const apps: AppConfig[] = [];
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const firstWith = { id: new Map<string, number>(), key: new Map<string, number>() };
  let complete = true;
  for (const [index, app] of raw.entries()) {
    const path = ['apps', index];
    const webhooks = readWebhooks(source, shape, path, listOf(app, 'webhooks'));
    problems.push(...webhooks.problems);
    if (!shape.sound(path)) {
      complete = false;
      continue;
    }
    for (const name of ['id', 'key'] as const) {
      const first = firstWith[name].get(app[name]);
      if (first === undefined) firstWith[name].set(app[name], index);
      else {
        const message = `${shown(app[name])} is the ${name} of apps[${first}] already`;
        problems.push(source.problem([...path, name], message));
      }
    }
    for (const [at, origin] of (app.allowedOrigins ?? []).entries()) {
      const problem = originProblem(origin);
      if (problem === undefined) continue;
      problems.push(source.problem([...path, 'allowedOrigins', at], ...problem));
    }
    const secret = readSecret(source, path, app, options.readFile);
    const id = parseAppId(app.id);
    if ('problem' in secret) problems.push(secret.problem);
    else if (id !== undefined) apps.push(appConfig(id, app, secret.secret, webhooks.webhooks));
    warnings.push(...limitWarnings(source, path, app));
    if (options.production && app.allowedOrigins === undefined) {
      const message = 'sets no allowedOrigins: pages of every site may connect';
      warnings.push(source.problem(path, message));
    }
  }
  const fallback = options.fallbackApp;
  if (complete && fallback !== undefined && !firstWith.id.has(fallback.id)) {
    warnings.push(
      outsideFile('WARREN_APP_ID', `is ignored, since ${source.file} lists apps of its own`),
    );
  }
  return { apps, problems, warnings, complete: complete && apps.length === raw.length };
}

function standInApp(source: Source, options: AppOptions): Apps {
  const given = options.fallbackApp;
  if (given === undefined && options.production) {
    return {
      apps: [],
      problems: [
        outsideFile(source.file, 'configures no app, and in production there is no built-in one', {
          cure: 'list one under apps, or set WARREN_APP_ID, WARREN_APP_KEY and WARREN_APP_SECRET',
        }),
      ],
      warnings: [],
      complete: false,
    };
  }
  if (given === undefined && options.keepsListedApps) {
    const message = 'lists no app any more, and the built-in one does not replace those that run';
    const cure = 'list one under apps; to turn an app off, set enabled: false';
    return {
      apps: [],
      problems: [outsideFile(source.file, message, { cure })],
      warnings: [],
      complete: false,
    };
  }
  const app = given ?? builtIn;
  const id = parseAppId(app.id);
  if (id === undefined || !keyPattern.test(app.key)) {
    const characters = 'must be 1 to 64 characters of A-Z a-z 0-9 _ - = @ , ;';
    const problem =
      id === undefined
        ? outsideFile('WARREN_APP_ID', characters)
        : outsideFile('WARREN_APP_KEY', `${characters} .`);
    return { apps: [], problems: [problem], warnings: [], complete: false };
  }
  const warnings =
    given === undefined
      ? [
          outsideFile(
            source.file,
            'CONFIGURES NO APP: anyone may use the built-in app-id / app-key / app-secret. Production refuses it',
          ),
        ]
      : [];
  return { apps: [appConfig(id, app, app.secret, [])], problems: [], warnings, complete: true };
}

function appConfig(
  id: AppId,
  app: Omit<RawApp, keyof SecretHolder | 'id' | 'webhooks'>,
  secret: string,
  webhooks: AppConfig['webhooks'],
): AppConfig {
  return {
    id,
    key: app.key,
    secret,
    allowedOrigins: app.allowedOrigins ?? ['*'],
    limits: { ...defaultLimits, ...app.limits },
    enabled: app.enabled ?? true,
    clientEvents: app.clientEvents ?? false,
    subscriptionCount: app.subscriptionCount ?? false,
    webhooks,
    authorizationTimeoutMs: app.authorizationTimeoutMs ?? 0,
  };
}

/** The list under `key`, or an empty one where something else stands there, which is told elsewhere. */
function listOf(app: RawApp, key: 'webhooks'): readonly RawWebhook[] {
  const list: unknown = (app as RawApp | null)?.[key];
  return Array.isArray(list) ? (list as readonly RawWebhook[]) : [];
}

/** A limit that another one makes unreachable. */
function limitWarnings(source: Source, path: Path, app: RawApp): Problem[] {
  const limits = { ...defaultLimits, ...app.limits };
  if (limits.clientEventBytes < limits.clientFrameBytes) return [];
  const message = `of ${limits.clientEventBytes} can never be reached: a frame of more than clientFrameBytes (${limits.clientFrameBytes}) closes the socket`;
  return [source.problem([...path, 'limits', 'clientEventBytes'], message)];
}

function originProblem(origin: string): [string, { readonly cure: string }] | undefined {
  if (origin === '*') return undefined;
  if (origin.includes('*')) {
    return [
      `${shown(origin)} is not an origin`,
      { cure: 'write each origin out; only * alone stands for all of them' },
    ];
  }
  const cure = 'write scheme://host or scheme://host:port, as https://example.com, or *';
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#\s]+$/i.test(origin)) {
    const url = URL.canParse(origin) ? new URL(origin).origin : 'null';
    return [
      `${shown(origin)} is not an origin`,
      { cure: url === 'null' ? cure : `write '${url}'` },
    ];
  }
  // Browsers send the host in lower case and leave the default port out.
  const sent = URL.canParse(origin) ? new URL(origin).origin : 'null';
  if (sent === 'null' || sent === origin) return undefined;
  return [`${shown(origin)} is not what a browser sends`, { cure: `write '${sent}'` }];
}

/**
 * The app of a rule: the one it names, else the only one.
 *
 * @returns the id, or the problem; neither where an app could not be read and the rule may be right
 */
export function appOfRule(
  source: Source,
  path: readonly (string | number)[],
  named: string | undefined,
  apps: Apps,
): { readonly app?: AppConfig; readonly problem?: Problem } {
  const ids = apps.apps.map((app) => app.id as string);
  if (named !== undefined) {
    const app = apps.apps.find((candidate) => candidate.id === named);
    if (app !== undefined) return { app };
    if (!apps.complete) return {};
    const best = nearest(named, ids);
    const hint =
      best === undefined ? `; there is ${ids.join(', ')}` : `; did you mean ${shown(best)}?`;
    return {
      problem: source.problem([...path, 'app'], `${shown(named)} is not an app here${hint}`),
    };
  }
  const only = apps.apps[0];
  if (!apps.complete) return only === undefined ? {} : { app: only };
  if (apps.apps.length === 1 && only !== undefined) return { app: only };
  return {
    problem: source.problem(path, 'has no "app", and there are several', {
      cure: `say which one: app: ${ids.join(' or app: ')}`,
    }),
  };
}

function outsideFile(subject: string, message: string, options: { cure?: string } = {}): Problem {
  return { file: subject, line: 0, column: 0, path: '', message, ...options };
}
