/** warren.yaml: from text to a checked configuration, or to everything that is wrong with it. */
import { readFileSync } from 'node:fs';
import type { RedisIngress, WarrenConfig } from '../contracts/warren-config.ts';
import { type Apps, type FallbackApp, readApps } from './apps.ts';
import { readAuth } from './auth.ts';
import { readChannelRules } from './channel-rules.ts';
import { readEgress } from './egress.ts';
import { readEventRules } from './event-rules.ts';
import { type IngressSources, readIngressSources } from './ingress.ts';
import { createSchemaFiles } from './payload-schema/files.ts';
import { inFileOrder, type Problem } from './problems.ts';
import { type RedisFallback, readRedisIngress } from './redis-ingress.ts';
import type { ReadFile } from './secrets.ts';
import { checkShape } from './shape.ts';
import { readSource, type Source } from './source.ts';

export interface LoadOptions {
  /** Shown in problems; `secretFile` and `schema` are relative to its directory. */
  readonly path: string;
  /** The app of the settings, for a file that lists none. */
  readonly fallbackApp?: FallbackApp | undefined;
  /** Where Redis is, for a file that asks for it and does not say. */
  readonly redis?: RedisFallback;
  /** Refuses the built-in app. */
  readonly production: boolean;
  /** Refuses a file without apps where the built-in one would take the place of others. Default: false. */
  readonly keepsListedApps?: boolean;
  /** Reads secret files and schemas; throws where it cannot. */
  readonly readFile?: ReadFile;
  /** In place of `readFile` for secrets. */
  readonly readSecret?: ReadFile;
}

export type LoadResult =
  | { readonly ok: true; readonly config: WarrenConfig; readonly warnings: readonly Problem[] }
  | {
      readonly ok: false;
      /** At least one, in the order of warren.yaml; those of schema files follow. */
      readonly problems: readonly Problem[];
      readonly warnings: readonly Problem[];
    };

/**
 * Reads and checks the text of warren.yaml. Reports every problem at once; a part that has one is left out of further checks. Nothing
 * is applied by halves: the configuration is whole or it is not there. Empty text is a file without rules.
 */
export function loadConfig(text: string, options: LoadOptions): LoadResult {
  const source = readSource(text, options.path);
  if (!source.ok) return { ok: false, problems: inFileOrder(source.error), warnings: [] };
  return checkSource(source.value, options);
}

function checkSource(source: Source, options: LoadOptions): LoadResult {
  const readFile = options.readFile ?? ((path: string) => readFileSync(path, 'utf8'));
  const readSecret = options.readSecret ?? readFile;
  const shape = checkShape(source);
  const apps = readApps(source, shape, {
    fallbackApp: options.fallbackApp,
    production: options.production,
    keepsListedApps: options.keepsListedApps ?? false,
    readFile: readSecret,
  });
  const schemas = createSchemaFiles(source, readFile);
  const events = readEventRules(source, shape, apps, schemas);
  const channels = readChannelRules(source, shape, apps);
  const auth = readAuth(source, shape, readSecret);
  const redis = readRedisIngress(source, shape, apps, {
    fallback: options.redis ?? {},
    readFile: readSecret,
    rules: events.rules.length,
  });
  const sources = readIngressSources(source, shape);
  const problems = inFileOrder([
    ...shape.problems,
    ...apps.problems,
    ...events.problems,
    ...channels.problems,
    ...auth.problems,
    ...redis.problems,
    ...sources.problems,
  ]).concat(schemas.problems);
  const warnings = inFileOrder([
    ...apps.warnings,
    ...events.warnings,
    ...auth.warnings,
    ...unusedRules(
      source,
      apps,
      channels.rules.some((rule) => rule.allow !== undefined || rule.authorizer !== undefined) &&
        source.value['auth'] === undefined,
    ),
  ]).concat(schemas.warnings);
  if (problems.length > 0) return { ok: false, problems, warnings };
  return {
    ok: true,
    warnings,
    config: {
      apps: apps.apps,
      events: [...events.rules, ...redis.rules],
      channels: channels.rules,
      egress: readEgress(source, shape),
      ...(auth.auth === undefined ? {} : { auth: auth.auth }),
      ...ingressOf(source, sources, redis.redis),
    },
  };
}

/** Absent where the file asks for none of it. */
function ingressOf(
  source: Source,
  { exchanges, queues }: IngressSources,
  redis: RedisIngress | undefined,
): Pick<WarrenConfig, 'ingress'> {
  const http = (source.value['ingress'] as { readonly http?: boolean } | undefined)?.http === true;
  if (exchanges.length + queues.length === 0 && redis === undefined && !http) return {};
  return {
    ingress: {
      exchanges,
      queues,
      ...(redis === undefined ? {} : { redis }),
      ...(http ? { http } : {}),
    },
  };
}

function unusedRules(source: Source, apps: Apps, unused: boolean): Problem[] {
  if (!unused || apps.apps.length === 0) return [];
  return [
    source.problem(['channels'], 'are asked by /broadcasting/auth only, which needs auth.jwt', {
      at: 'key',
    }),
  ];
}

/** The settings that say where warren.yaml is and what stands in for it. */
export interface ConfigSettings {
  readonly configPath: string;
  /** False where the path is the default one: then the file may be missing. */
  readonly configPathGiven: boolean;
  readonly app: FallbackApp | undefined;
  readonly redis?: RedisFallback;
  readonly production: boolean;
  /** As in `LoadOptions`. */
  readonly keepsListedApps?: boolean;
}

/** `loadConfig` on the file that the settings name. A default file that is missing counts as empty. */
export function loadConfigFile(
  settings: ConfigSettings,
  readFile: ReadFile = (path) => readFileSync(path, 'utf8'),
): LoadResult {
  let text: string;
  try {
    text = readFile(settings.configPath);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException | undefined)?.code ?? 'it failed';
    if (settings.configPathGiven || code !== 'ENOENT') {
      const message = `cannot be read (${code})`;
      const place = { file: settings.configPath, line: 0, column: 0, path: '' };
      const cure = 'WARREN_CONFIG names the file';
      return { ok: false, problems: [{ ...place, message, cure }], warnings: [] };
    }
    text = '';
  }
  return loadConfig(text, {
    path: settings.configPath,
    fallbackApp: settings.app,
    ...(settings.redis === undefined ? {} : { redis: settings.redis }),
    production: settings.production,
    keepsListedApps: settings.keepsListedApps ?? false,
    readFile,
  });
}
