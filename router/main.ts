/** The router as a role of the process: consumes domain events from whatever broker it is given until it is stopped. */
import type { Broker, Consumption } from '../broker/port.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Readiness, Role } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Settings } from '../runtime/settings.ts';
import { compileRoutes } from './rules.ts';
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

/** A queue that cannot be opened (permissions, another topology) is tried again: an operator may be putting it right. */
const retryMs = 5_000;

/**
 * Starts to route. Resolves at once, broker or not: until the queue is open, `readiness` says why not. `stop` takes no further event,
 * waits for those in hand to be confirmed and acknowledged, at most `drainMs`, and then lets go.
 */
export async function startRouter(parts: RouterParts): Promise<Role> {
  const { broker, clock, log } = parts;
  const routes = compileRoutes(parts.config);
  const handle = createEventHandler({
    publisher: broker.channelPublisher,
    edges: broker.edgeBus,
    routes,
    clock,
    log,
    metrics: parts.metrics,
  });
  let consumption: Consumption | undefined;
  let failure: string | undefined;
  let cancelRetry = () => {};
  let stopped: Promise<void> | undefined;

  const open = async (): Promise<void> => {
    try {
      const opened = await broker.domainEvents.consume({
        patterns: routes.patterns,
        prefetch: parts.settings.routerPrefetch,
        handle,
      });
      // Stopped while the broker was away: nobody would let go of it any more.
      if (stopped !== undefined) {
        await opened.stop(0);
        return;
      }
      consumption = opened;
      failure = undefined;
      log.info({ patterns: routes.patterns.length }, 'routing');
    } catch (error) {
      if (stopped !== undefined) return;
      failure = error instanceof Error ? error.message : String(error);
      log.error({ err: error, retryMs }, 'the queue of the router cannot be opened');
      cancelRetry = clock.after(retryMs, () => void open());
    }
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
      return status.ready
        ? { ready: true }
        : { ready: false, reason: status.reason ?? 'the broker is away' };
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
