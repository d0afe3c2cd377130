/** `warren serve edge|router|all`: the composition root. The only place that chooses a broker adapter. */
import { randomBytes } from 'node:crypto';
import { connectAmqp } from '../broker/amqp/broker.ts';
import { createMemoryBroker } from '../broker/memory/broker.ts';
import type { Broker } from '../broker/port.ts';
import { type LoadedFiles, loadConfigFiles } from '../config/config-files.ts';
import { watchFiles } from '../config/file-watch.ts';
import { formatProblem, formatProblems } from '../config/problems.ts';
import type { EdgeId } from '../contracts/ids.ts';
import { type TopologyNames, topologyNames } from '../contracts/topology.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';
import { type EdgeRole, startEdge } from '../edge/main.ts';
import { startRouter } from '../router/main.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import type { Environment } from '../runtime/env.ts';
import type { Readiness, Role } from '../runtime/lifecycle.ts';
import { createLog, type Log } from '../runtime/log.ts';
import { createMetrics } from '../runtime/metrics.ts';
import { startOperations } from '../runtime/operations.ts';
import { readSettings, type Settings } from '../runtime/settings.ts';
import type { RoleName } from './config-change.ts';
import { type ReloadableRole, type ReloadCause, Reloader } from './reload.ts';

export interface Prepared {
  readonly settings: Settings;
  readonly config: WarrenConfig;
  /** What `config` was read from. */
  readonly files: LoadedFiles;
  readonly log: Log;
}

export type Preparation =
  | { readonly ok: true; readonly prepared: Prepared }
  | { readonly ok: false; readonly text: string };

/** Reads settings and warren.yaml. Everything that is wrong with either is in `text`, ready to be shown. */
export function prepare(environment: Environment): Preparation {
  const read = readSettings(environment);
  if (!read.ok) {
    const lines = read.problems.map(({ name, message }) => `${name} ${message}`);
    return { ok: false, text: `settings:\n${lines.join('\n')}\n` };
  }
  const { settings } = read;
  const files = loadConfigFiles(settings);
  const loaded = files.result;
  if (!loaded.ok) return { ok: false, text: `${formatProblems(loaded.problems)}\n` };
  const log = createLog(settings.logLevel);
  for (const warning of read.warnings) log.warn({ setting: warning.name }, warning.message);
  for (const warning of loaded.warnings) log.warn({}, formatProblem(warning));
  return { ok: true, prepared: { settings, config: loaded.config, files, log } };
}

export interface Warren extends Role {
  /** The edge's bound port, where there is an edge. */
  readonly port: number | undefined;
  readonly metricsPort: number;
  readonly broker: Broker;
  /** Reads warren.yaml anew. Never rejects: the log says what came of it. */
  reload(cause: ReloadCause): Promise<void>;
}

/**
 * Starts the roles in this process, on one broker connection and one metrics port.
 * Rejects where a port cannot be bound; a broker that is away is waited for. Follows changes of warren.yaml until it is stopped.
 */
export async function startWarren(
  { settings, config, files, log }: Prepared,
  roles: readonly RoleName[],
  clock: Clock = systemClock,
): Promise<Warren> {
  const names = topologyNames(settings.topologyPrefix, settings.domainExchange);
  const edgeId = randomBytes(6).toString('hex') as EdgeId;
  const broker = openBroker(settings, names, clock, log, roles);
  const metrics = createMetrics();
  const started: { readonly name: RoleName; readonly role: ReloadableRole }[] = [];
  /** Besides the roles that may reload. */
  const others: Role[] = [];
  const all = () => [...started.map(({ role }) => role), ...others];
  let stopReloading = () => {};
  let edge: EdgeRole | undefined;
  const readiness = (): Readiness => {
    const notes: string[] = [];
    for (const role of all()) {
      const state = role.readiness();
      if (!state.ready) return state;
      if (state.note !== undefined) notes.push(state.note);
    }
    return { ready: true, ...(notes.length === 0 ? {} : { note: notes.join('; ') }) };
  };
  const stopAll = async (drainMs: number) => {
    stopReloading();
    await Promise.all(all().map((role) => role.stop(drainMs)));
    await broker.close();
    await metrics.close();
  };
  try {
    if (roles.includes('router')) {
      const router = await startRouter({ broker, config, settings, clock, log, metrics });
      started.push({ name: 'router', role: router });
      if (config.ingress?.redis !== undefined) {
        // Loaded where it is wanted: most installations have no Redis.
        const { startRedisIngress } = await import('../broker/redis/ingress.ts');
        const exchange = names.domainEvents;
        const redis = config.ingress.redis;
        others.push(startRedisIngress({ broker, config: redis, exchange, clock, log, metrics }));
      }
    }
    if (roles.includes('edge')) {
      edge = await startEdge({ broker, config, settings, clock, log, metrics, edgeId });
      started.push({ name: 'edge', role: edge });
    }
    const reloader = new Reloader({
      settings,
      started: config,
      files,
      roles: started,
      log,
      metrics,
    });
    const stopWatching = followFiles(reloader, settings, clock);
    stopReloading = () => {
      stopWatching();
      reloader.stop();
    };
    const operations = await startOperations({
      host: settings.metricsHost,
      port: settings.metricsPort,
      metrics,
      readiness,
      log,
    });
    return {
      port: edge?.port,
      metricsPort: operations.port,
      broker,
      readiness,
      reload: (cause) => reloader.reload(cause),
      async stop(drainMs) {
        await stopAll(drainMs);
        await operations.close();
      },
    };
  } catch (error) {
    await stopAll(0);
    throw error;
  }
}

function followFiles(reloader: Reloader, settings: Settings, clock: Clock): () => void {
  if (settings.reloadMs === 0) return () => {};
  return watchFiles({
    clock,
    periodMs: settings.reloadMs,
    paths: () => reloader.paths,
    changed: () => reloader.reload('change'),
  });
}

function openBroker(
  settings: Settings,
  names: TopologyNames,
  clock: Clock,
  log: Log,
  roles: readonly RoleName[],
): Broker {
  if (settings.brokerUrls[0] === 'memory:') {
    log.warn({}, 'embedded broker: for trying things out, nothing survives this process');
    return createMemoryBroker({ clock, names });
  }
  return connectAmqp({
    urls: settings.brokerUrls,
    names,
    clock,
    log,
    heartbeatSeconds: settings.heartbeatSeconds,
    confirmTimeoutMs: settings.confirmTimeoutMs,
    connectionName: `warren ${roles.join('+')}`,
  });
}
