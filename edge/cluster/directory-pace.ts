/** When totals are told, and to whom: small ones at once, large ones now and then while they change, the last value always. Pure. */
import { type Entry, never } from './directory-entry.ts';

/** Sums up to it are told at once. */
const largeTotal = 100;

export interface Pace {
  /** Changes of a sum are gathered for so long. */
  readonly gatherMs: number;
  /** Between two totals above 100. */
  readonly largeTotalMs: number;
}

/** Rounded up, because dues that fall together make one message per edge. */
export function gathered({ gatherMs }: Pace, nowMs: number): number {
  return gatherMs === 0 ? nowMs : Math.ceil((nowMs + gatherMs) / gatherMs) * gatherMs;
}

/** When it is to be looked at whether the sum is told; `never` where everyone knows it. */
export function totalDueMs(entry: Entry, pace: Pace, nowMs: number): number {
  return entry.sum === entry.toldTotal && !entry.isUneven ? never : gathered(pace, nowMs);
}

/**
 * Takes the total that is due: for every watcher, or only for those who want it whether it has changed or not. Sets when the next one
 * is due.
 */
export function takeTotal(
  entry: Entry,
  pace: Pace,
  nowMs: number,
): { readonly isForAll: boolean; readonly hasChanged: boolean } {
  const hasChanged = entry.sum !== entry.toldTotal;
  const isPaced = entry.sum <= largeTotal || nowMs - entry.toldMs >= pace.largeTotalMs;
  entry.totalDueMs = never;
  if ((hasChanged || entry.isUneven) && isPaced) {
    entry.toldTotal = entry.sum;
    entry.toldMs = nowMs;
    entry.isUneven = false;
    return { isForAll: true, hasChanged };
  }
  if (hasChanged && entry.wanting.size > 0) entry.isUneven = true;
  if (hasChanged || entry.isUneven) entry.totalDueMs = entry.toldMs + pace.largeTotalMs;
  return { isForAll: false, hasChanged };
}
