/** How long to wait before a request is made again. */

export interface RetryTimings {
  /** Least wait after the first failure; it doubles with each further one in a row. */
  readonly retryMinMs: number;
  readonly retryMaxMs: number;
}

/**
 * By chance between half of the present bound and the bound, so that targets that failed together are not asked together: 1 to 2 s,
 * 2 to 4 s, in the end 30 to 60 s. Whole milliseconds, which clocks add without an error.
 *
 * @param failures in a row, from 1
 * @param random from 0 to below 1
 */
export function retryWaitMs(failures: number, timings: RetryTimings, random: number): number {
  const bound = Math.min(timings.retryMaxMs, timings.retryMinMs * 2 ** failures);
  return Math.round((bound / 2) * (1 + random));
}
