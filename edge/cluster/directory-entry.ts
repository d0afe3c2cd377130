/** One key in the table of an edge that keeps its sum, and how it falls due. */
import type { DirectoryKey } from '../../contracts/directory-key.ts';
import type { EdgeId } from '../../contracts/ids.ts';

export const never = Number.POSITIVE_INFINITY;
export const longAgo = Number.NEGATIVE_INFINITY;

export interface Report {
  readonly count: number;
  readonly watch: boolean;
}

/** How this edge became the owner of a key that another one owned before. */
export type Takeover =
  /** The former owner has handed over what it had announced. What this edge assumed after `recentMs` may not have reached it. */
  | {
      readonly how: 'bye';
      readonly recentMs: number;
      /** Nobody held it at the goodbye, so its end may have been announced since. */
      readonly isGone: boolean;
      isHandedOver: boolean;
    }
  /** The former owner may not have announced what happened after `sinceMs`. */
  | { readonly how: 'silent'; readonly sinceMs: number };

export interface Entry {
  readonly key: DirectoryKey;
  readonly text: string;
  readonly shard: number;
  owner: EdgeId | undefined;
  backup: EdgeId | undefined;
  /** Of edges that hold some of it or watch it. */
  readonly reports: Map<EdgeId, Report>;
  sum: number;
  /** Announced as present and not as gone, by whichever edge owned it: as far as this one knows. */
  announced: boolean;
  /** When this edge, not being the owner, took it that the owner announces it; undefined where it knows. */
  assumedMs: number | undefined;
  /** When this edge, not being the owner, last saw what an owner announces. */
  appearedMs: number;
  vanishedMs: number;
  takeover: Takeover | undefined;
  /** The owner that this edge was the backup of until a third one came between; kept for a while in case that owner is dead already. */
  formerOwner: EdgeId | undefined;
  /** The backup has changed since this edge decided last. */
  hasNewBackup: boolean;
  /** The last total that was told, and when. */
  toldTotal: number;
  toldMs: number;
  /** Some watchers were told another total meanwhile, because they had just begun to watch. */
  isUneven: boolean;
  /** Watchers that are told the total whether it has changed or not. */
  readonly wanting: Set<EdgeId>;
  /** When what is due; `never` where it is not. */
  vanishDueMs: number;
  totalDueMs: number;
  forgetDueMs: number;
  /** When it is in the queue of due entries for. */
  scheduledMs: number;
}

export function newEntry(key: DirectoryKey, text: string, shard: number): Entry {
  return {
    key,
    text,
    shard,
    owner: undefined,
    backup: undefined,
    reports: new Map(),
    sum: 0,
    announced: false,
    assumedMs: undefined,
    appearedMs: longAgo,
    vanishedMs: longAgo,
    takeover: undefined,
    formerOwner: undefined,
    hasNewBackup: false,
    toldTotal: 0,
    toldMs: longAgo,
    isUneven: false,
    wanting: new Set(),
    vanishDueMs: never,
    totalDueMs: never,
    forgetDueMs: never,
    scheduledMs: never,
  };
}

/** When the entry has to be looked at next. */
export function nextDueMs({ vanishDueMs, totalDueMs, forgetDueMs }: Entry): number {
  return Math.min(vanishDueMs, totalDueMs, forgetDueMs);
}

/** Nothing would be lost with it. */
export function isUnused(entry: Entry): boolean {
  return (
    entry.sum === 0 &&
    entry.reports.size === 0 &&
    !entry.announced &&
    entry.takeover === undefined &&
    nextDueMs(entry) === never
  );
}

/** Stores what an edge holds; without a count and not watching it is forgotten. */
export function setReport(entry: Entry, from: EdgeId, count: number, watch: boolean): void {
  entry.sum += count - (entry.reports.get(from)?.count ?? 0);
  if (count === 0 && !watch) {
    entry.reports.delete(from);
    entry.wanting.delete(from);
  } else {
    entry.reports.set(from, { count, watch });
    if (!watch) entry.wanting.delete(from);
  }
}
