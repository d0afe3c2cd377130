/** What a new configuration changes, and which of that a running process cannot take up. Pure. */
import { isDeepStrictEqual } from 'node:util';
import type { AppConfig, WarrenConfig } from '../contracts/warren-config.ts';

export type RoleName = 'edge' | 'router';

const sourcesPart = 'ingress.exchanges and ingress.queues';
const limitsPart = 'limits of apps, as events are checked against them';

/** The parts of the configuration that each role works by, under the names that people know them by. */
const used: Readonly<
  Record<RoleName, Readonly<Record<string, (config: WarrenConfig) => unknown>>>
> = {
  edge: {
    apps: (config) => config.apps,
    channels: (config) => config.channels,
    auth: (config) => config.auth,
    egress: (config) => config.egress,
    'ingress.http': (config) => config.ingress?.http,
  },
  router: {
    events: (config) => config.events,
    [sourcesPart]: ({ ingress }) => [ingress?.exchanges, ingress?.queues],
    'ingress.redis': (config) => config.ingress?.redis,
    [limitsPart]: limitsForEvents,
  },
};

/** Of these, what the role takes up while it runs, if it can reload at all. */
const reloadable: Readonly<Record<RoleName, readonly string[]>> = {
  edge: ['apps', 'channels', 'egress'],
  router: ['events', sourcesPart, limitsPart],
};

function limitsForEvents(config: WarrenConfig): unknown {
  const named = new Set(config.events.map((rule) => rule.app));
  return config.apps.filter((app) => named.has(app.id)).map((app) => [app.id, app.limits]);
}

/** Names of the parts that differ from what the role started with and that it goes on with until it is started anew. */
export function partsForRestart(
  role: RoleName,
  canReload: boolean,
  started: WarrenConfig,
  next: WarrenConfig,
): readonly string[] {
  const taken = canReload ? reloadable[role] : [];
  return Object.entries(used[role])
    .filter(
      ([name, part]) => !taken.includes(name) && !isDeepStrictEqual(part(started), part(next)),
    )
    .map(([name]) => name);
}

/** Ids of apps, at most 20 of each kind; absent where there are none. */
export interface AppsSummary {
  readonly added?: readonly string[];
  readonly removed?: readonly string[];
  readonly disabled?: readonly string[];
  /** Anything else about them, or enabled again. */
  readonly changed?: readonly string[];
}

/** More would make a log line that nobody reads. */
const maxIds = 20;

export function summarizeApps(
  before: readonly AppConfig[],
  after: readonly AppConfig[],
): AppsSummary {
  const old = new Map(before.map((app) => [app.id, app]));
  const kept = new Set(after.map((app) => app.id));
  const kinds: Record<keyof AppsSummary, string[]> = {
    added: [],
    removed: before.filter((app) => !kept.has(app.id)).map((app) => app.id),
    disabled: [],
    changed: [],
  };
  for (const app of after) {
    const was = old.get(app.id);
    if (was === undefined) kinds.added.push(app.id);
    else if (was.enabled && !app.enabled) kinds.disabled.push(app.id);
    else if (!isDeepStrictEqual(was, app)) kinds.changed.push(app.id);
  }
  return Object.fromEntries(
    Object.entries(kinds)
      .filter(([, ids]) => ids.length > 0)
      .map(([kind, ids]) => [kind, ids.slice(0, maxIds)]),
  );
}
