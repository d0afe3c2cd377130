/** How many calls each app makes in a second: what came, and whether more may come. */
import type { AppId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

export type RateVerdict =
  | {
      readonly allowed: true;
      /** Calls that this second still has room for. */
      readonly remaining: number;
    }
  | {
      readonly allowed: false;
      /** Whole seconds, at least 1. */
      readonly retryAfterSeconds: number;
    };

interface Second {
  /** Which one, on the monotonic clock. */
  index: number;
  /** Calls let through in it. */
  count: number;
  /** The same of the second before. */
  before: number;
  /** What the limit is measured by: `count`, and what seconds before went beyond theirs. */
  used: number;
  /** The greatest limit that was applied in it. */
  allowance: number;
}

/** Shares are fractions, and what is left of 1 - 1/3 - 1/3 - 1/3 is not a call. */
const nothing = 1e-9;

/** Holds a few numbers for each app that ever called; apps come from the configuration, so they are few. */
export class CallRate {
  readonly #clock: Clock;
  readonly #apps = new Map<AppId, Second>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Counts calls if they may come. In a second that is still empty any number may, or a batch greater than the limit could never be
   * sent; what it takes beyond the limit, the seconds after it have to make good.
   *
   * @param calls that come together, and are let through together or not at all
   * @param perSecond above 0; Infinity lets everything through
   */
  take(app: AppId, calls: number, perSecond: number): RateVerdict {
    const second = this.#present(app, perSecond);
    const over = second.used + calls - perSecond;
    if (second.used > nothing && over > nothing) {
      const seconds = Math.ceil((Math.min(over, second.used) - nothing) / perSecond);
      return { allowed: false, retryAfterSeconds: Math.max(1, seconds) };
    }
    second.count += calls;
    second.used += calls;
    return { allowed: true, remaining: Math.max(0, Math.floor(perSecond - second.used)) };
  }

  /** Calls let through in the last whole second. */
  lastSecond(app: AppId): number {
    const second = this.#apps.get(app);
    if (second === undefined) return 0;
    const age = this.#index() - second.index;
    if (age === 0) return second.before;
    return age === 1 ? second.count : 0;
  }

  #present(app: AppId, perSecond: number): Second {
    const index = this.#index();
    let second = this.#apps.get(app);
    if (second === undefined) {
      second = { index, count: 0, before: 0, used: 0, allowance: 0 };
      this.#apps.set(app, second);
    }
    const elapsed = index - second.index;
    if (elapsed > 0) {
      second.index = index;
      second.before = elapsed === 1 ? second.count : 0;
      second.count = 0;
      // What was within the limit of its time is not owed because the limit is a smaller one now.
      const madeGood = elapsed === 1 ? 0 : perSecond * (elapsed - 1);
      second.used = Math.max(0, second.used - second.allowance - madeGood);
      second.allowance = 0;
    }
    second.allowance = Math.max(second.allowance, perSecond);
    return second;
  }

  #index(): number {
    return Math.floor(this.#clock.monotonicMs() / 1_000);
  }
}

/**
 * The part of a cluster-wide limit that one edge may use: what the others leave, and never less than its equal share, or an edge that
 * starts late would get nothing.
 *
 * @param others what the other edges use, as they said a few seconds ago
 * @param edges in the cluster, this one included
 */
export function shareOf(limit: number, others: number, edges: number): number {
  return Math.max(limit - others, limit / Math.max(1, edges));
}
