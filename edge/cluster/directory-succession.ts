/** What an edge makes of a key that another one owned until now, or that it was to stand in for. Pure. */
import type { DirectoryHandover } from '../../contracts/edge-message.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import { type Entry, longAgo, never } from './directory-entry.ts';

export type Announcement = 'appeared' | 'vanished';

/** What a former owner tells the next one of a key that it has announced. */
export function handed({ text, toldMs, toldTotal }: Entry): DirectoryHandover['entries'][number] {
  return [text, toldMs === longAgo ? null : toldTotal];
}

/** The last total that another edge told. Where this one has told another since, everyone is told anew. */
export function takeOverTotal(entry: Entry, total: number, toldMs: number): void {
  if (entry.toldMs !== longAgo && entry.takeover?.how !== 'bye') {
    entry.isUneven ||= entry.toldTotal !== total;
    return;
  }
  entry.toldTotal = total;
  if (entry.toldMs === longAgo) entry.toldMs = toldMs;
}

/**
 * Ends the takeover of a key, if there is one: brings what this edge believes to be announced in line with what the former owner must
 * have announced, or says what has to be announced (again) because the former owner may have died before it could.
 *
 * @param isOwner whether this edge owns the key still
 */
export function endTakeover(entry: Entry, isOwner: boolean): readonly Announcement[] {
  const { takeover, appearedMs, vanishedMs, assumedMs = longAgo } = entry;
  if (takeover === undefined) return [];
  // Nobody held it for a while, and its end may have been announced before it came back.
  const cameBack = entry.sum > 0 && entry.vanishDueMs !== never;
  entry.takeover = undefined;
  entry.assumedMs = undefined;
  entry.appearedMs = longAgo;
  entry.vanishedMs = longAgo;
  if (!isOwner) return [];
  if (takeover.how === 'bye') {
    // Neither handed over nor confirmed by a reporter: the former owner has not heard of it, or has announced its end.
    const isRecent = Math.max(assumedMs, appearedMs) >= takeover.recentMs || cameBack;
    if (!takeover.isHandedOver && (isRecent || takeover.isGone)) {
      entry.announced = false;
      entry.vanishDueMs = never;
    }
    return [];
  }
  const appears = appearedMs >= takeover.sinceMs || cameBack;
  const vanishes = vanishedMs >= takeover.sinceMs;
  const announcements: Announcement[] = vanishes ? ['vanished'] : [];
  if (appears && entry.announced) announcements.push('appeared');
  if (appears && !entry.announced) announcements.unshift('appeared');
  return announcements;
}

/**
 * Another edge has come between this backup and the owner. Should that owner turn out to be dead already, this edge is the only one
 * that can speak for it. Its counts are void: whoever counts on this edge again one day will tell it everything anew.
 */
export function setAside(entry: Entry, formerOwner: EdgeId | undefined, untilMs: number): void {
  entry.formerOwner = formerOwner;
  entry.reports.clear();
  entry.wanting.clear();
  entry.sum = 0;
  entry.vanishDueMs = never;
  entry.totalDueMs = never;
  entry.forgetDueMs = untilMs;
}

/**
 * This edge keeps a key again that it had set aside. What it believed is out of date meanwhile, and others will tell it; unless it
 * stands in for the former owner, which has died.
 */
export function takeBack(entry: Entry, standsIn: boolean): void {
  entry.formerOwner = undefined;
  if (standsIn) return;
  entry.announced = false;
  entry.assumedMs = undefined;
  entry.appearedMs = longAgo;
  entry.vanishedMs = longAgo;
}

/** Whether the former owner may have left something to be announced. */
export function isWorthSettingAside({ announced, vanishedMs }: Entry): boolean {
  return announced || vanishedMs !== longAgo;
}

/**
 * What is to be done for a former owner that was dead when another edge took its place: nothing, hand over what it announced, or
 * announce it first, because it may have died before it could.
 *
 * @param sinceMs what it did before this came out
 */
export function executorship(
  { announced, appearedMs, vanishedMs }: Entry,
  sinceMs: number,
): 'none' | 'hand over' | 'announce and hand over' {
  if (!announced && vanishedMs < sinceMs) return 'none';
  return appearedMs >= sinceMs ? 'announce and hand over' : 'hand over';
}
