/** The router as a role of the process: consumes domain events from whatever broker it is given until it is stopped. */
import { isDeepStrictEqual } from 'node:util';
import type { Broker, Consumption, EventSources } from '../broker/port.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Readiness, Role } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Settings } from '../runtime/settings.ts';
import { compileRoutes, type Routes } from './rules.ts';
import { createEventHandler } from './run.ts';

export interface RouterParts {
  readonly broker: Broker;
  /** Checked by `loadConfig`. */
  readonly config: WarrenConfig;
  readonly settings: Pick<Settings, 'routerPrefetch'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface RouterRole extends Role {
  /**
   * Takes up new rules and sources while it runs: new patterns are bound, then the rules are exchanged at once, then old patterns are
   * unbound. An event in hand finishes by the rules that it began with. Waits for the broker by itself and tries again where it
   * fails; the newest configuration wins. Returns before that is done.
   *
   * @throws Error on a configuration that was not checked; then the old one stays
   */
  reload(config: WarrenConfig): void;
}

/** A queue that cannot be opened (permissions, another topology) is tried again: an operator may be putting it right. */
const retryMs = 5_000;

interface Plan {
  readonly config: WarrenConfig;
  readonly routes: Routes;
  readonly sources: EventSources;
}

/**
 * Starts to route. Resolves at once, broker or not: until the queue is open, `readiness` says why not. `stop` takes no further event,
 * waits for those in hand to be confirmed and acknowledged, at most `drainMs`, and then lets go.
 */
export async function startRouter(parts: RouterParts): Promise<RouterRole> {
  const { broker, clock, log } = parts;
  /** What is wanted, what events are routed by, and what the broker was told last. */
  let wanted = planOf(parts.config);
  let inUse = wanted;
  let applied = wanted;
  const handle = createEventHandler({
    publisher: broker.channelPublisher,
    edges: broker.edgeBus,
    routes: {
      get patterns() {
        return inUse.routes.patterns;
      },
      route: (event, observe) => inUse.routes.route(event, observe),
    },
    clock,
    log,
    metrics: parts.metrics,
  });
  let consumption: Consumption | undefined;
  let failure: string | undefined;
  let problems: readonly string[] = [];
  let changing = false;
  let cancelRetry = () => {};
  let stopped: Promise<void> | undefined;

  const told = (sentences: readonly string[]) => {
    const mended = problems.length > 0 && sentences.length === 0;
    problems = sentences;
    if (sentences.length > 0) log.error({ problems: sentences }, 'the router lacks a source');
    else if (mended) log.info({}, 'the router has all its sources');
  };

  const open = async (): Promise<void> => {
    // Nothing is consumed yet, so there is nothing to exchange.
    const plan = wanted;
    inUse = plan;
    try {
      const opened = await broker.domainEvents.consume({
        ...plan.sources,
        prefetch: parts.settings.routerPrefetch,
        handle,
        problems: told,
      });
      // Stopped while the broker was away: nobody would let go of it any more.
      if (stopped !== undefined) {
        await opened.stop(0);
        return;
      }
      consumption = opened;
      applied = plan;
      failure = undefined;
      log.info(summaryOf(plan), 'routing');
      void change();
    } catch (error) {
      if (stopped !== undefined) return;
      failure = error instanceof Error ? error.message : String(error);
      log.error({ err: error, retryMs }, 'the queue of the router cannot be opened');
      cancelRetry = clock.after(retryMs, () => void open());
    }
  };

  /** One change at a time, until what is wanted is in force. */
  const change = async (): Promise<void> => {
    if (changing || consumption === undefined) return;
    changing = true;
    while (stopped === undefined && applied !== wanted) {
      const plan = wanted;
      try {
        await consumption.rebind(plan.sources, () => {
          inUse = plan;
        });
        applied = plan;
        log.info(summaryOf(plan), 'routing by the new configuration');
      } catch (error) {
        if (stopped !== undefined) break;
        log.error({ err: error, retryMs }, 'the new configuration cannot be routed by yet');
        cancelRetry = clock.after(retryMs, () => void change());
        break;
      }
    }
    changing = false;
  };
  void open();

  return {
    readiness: (): Readiness => {
      if (stopped !== undefined) return { ready: false, reason: 'the router is stopping' };
      if (consumption === undefined) {
        const reason = failure ?? broker.status().reason ?? 'the broker is not connected yet';
        return { ready: false, reason: `the queue of the router is not open: ${reason}` };
      }
      const status = broker.status();
      if (!status.ready) return { ready: false, reason: status.reason ?? 'the broker is away' };
      return problems.length === 0
        ? { ready: true }
        : { ready: false, reason: `the router lacks a source: ${problems.join('; ')}` };
    },
    reload(config) {
      if (stopped !== undefined || sameForRouter(config, wanted.config)) return;
      wanted = planOf(config);
      if (consumption === undefined || !broker.status().ready) {
        log.info({}, 'new event rules and sources wait for the broker');
      }
      // The retry of an opening stays: it takes what is wanted by then.
      if (consumption !== undefined) cancelRetry();
      void change();
    },
    stop: (drainMs) => {
      stopped ??= (async () => {
        cancelRetry();
        await consumption?.stop(drainMs);
      })();
      return stopped;
    },
  };
}

function planOf(config: WarrenConfig): Plan {
  const routes = compileRoutes(config);
  const { exchanges = [], queues = [] } = config.ingress ?? {};
  return { config, routes, sources: { patterns: routes.patterns, exchanges, queues } };
}

function summaryOf({ config, routes, sources }: Plan) {
  return {
    rules: config.events.length,
    patterns: routes.patterns.length,
    exchanges: sources.exchanges?.length,
    queues: sources.queues?.length,
  };
}

/** True where neither rules nor sources nor what events are checked against differ. */
function sameForRouter(a: WarrenConfig, b: WarrenConfig): boolean {
  return isDeepStrictEqual([a.events, a.ingress, a.apps], [b.events, b.ingress, b.apps]);
}
