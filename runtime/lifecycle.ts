/** The life of a process: starting, ready, draining, stopped; signals and the order in which parts stop. */
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

/** A part of the process that runs until it is stopped. */
export interface Role {
  /** Live but not ready carries the reason, for the readiness answer. */
  readiness(): Readiness;
  /** Stops politely within `drainMs`, then returns. Idempotent. */
  stop(drainMs: number): Promise<void>;
}

export type Readiness =
  /** `note`: a sentence for an operator on what does not stop the work. Holds no credentials. */
  | { readonly ready: true; readonly note?: string }
  | { readonly ready: false; readonly reason: string };

/** Beyond the drain itself: time to close the broker connection and the listeners. */
const graceMs = 5_000;

/**
 * Resolves with the exit code after the first SIGTERM or SIGINT, when all roles have stopped: 0, or 1 where one of them failed
 * to stop in time. A second signal ends the process at once. SIGHUP is handed to `hangup`, and does nothing once it stops.
 */
export function runUntilSignal(
  roles: readonly Role[],
  options: {
    readonly drainMs: number;
    readonly clock: Clock;
    readonly log: Log;
    readonly signals: Pick<NodeJS.Process, 'on' | 'off'>;
    readonly exit: (code: number) => void;
    /** Must not throw. Without it SIGHUP ends the process, as is its default. */
    readonly hangup?: () => void;
  },
): Promise<number> {
  return new Promise((resolve) => {
    let stopping = false;
    const onHangup = () => {
      if (!stopping) options.hangup?.();
    };
    const onSignal = (signal: NodeJS.Signals) => {
      if (stopping) {
        options.exit(130);
        return;
      }
      stopping = true;
      options.log.info({ signal, drainMs: options.drainMs }, 'stopping');
      const overdue = options.clock.after(options.drainMs + graceMs, () => {
        options.log.error({}, 'stop took too long');
        options.exit(1);
      });
      void Promise.allSettled(roles.map(async (role) => role.stop(options.drainMs))).then(
        (results) => {
          overdue();
          const failures = results.filter((result) => result.status === 'rejected');
          for (const failure of failures)
            options.log.error({ err: failure.reason as unknown }, 'stop failed');
          options.signals.off('SIGTERM', onSignal);
          options.signals.off('SIGINT', onSignal);
          options.signals.off('SIGHUP', onHangup);
          resolve(failures.length === 0 ? 0 : 1);
        },
      );
    };
    options.signals.on('SIGTERM', onSignal);
    options.signals.on('SIGINT', onSignal);
    if (options.hangup !== undefined) options.signals.on('SIGHUP', onHangup);
  });
}
