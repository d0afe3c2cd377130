/**
 * The sums that this edge keeps, as owner or as backup. Pure: time comes in, what is to be said goes to the listener.
 *
 * The owner announces; the backup goes through the same states and says nothing. While the view changes (`freeze` to `thaw`) reports
 * are taken and nothing is decided, because some of what moves has arrived and some has not.
 */
import {
  type DirectoryKey,
  directoryShard,
  parseDirectoryKey,
} from '../../contracts/directory-key.ts';
import type {
  DirectoryHandover,
  DirectoryReport,
  DirectoryTotals,
} from '../../contracts/edge-message.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import {
  type Entry,
  isUnused,
  longAgo,
  never,
  newEntry,
  nextDueMs,
  setReport,
} from './directory-entry.ts';
import { gathered, type Pace, takeTotal, totalDueMs } from './directory-pace.ts';
import {
  endTakeover,
  executorship,
  handed,
  isWorthSettingAside,
  setAside,
  takeBack,
  takeOverTotal,
} from './directory-succession.ts';
import { DueQueue } from './due-queue.ts';
import type { Departure } from './membership.ts';
import { type Ring, rendezvousHash } from './rendezvous.ts';

export interface TableListener {
  appeared(key: DirectoryKey): void;
  vanished(key: DirectoryKey): void;
  changed(key: DirectoryKey, total: number): void;
  /** To be sent to an edge that watches; this one too. */
  totals(edge: EdgeId, entries: DirectoryTotals['entries']): void;
  /** To be sent to the edge that owns these keys now. */
  handOver(edge: EdgeId, entries: DirectoryHandover['entries'], hops: number): void;
}

export interface TableTimings extends Pace {
  /** How long a sum stays 0 before its end is announced. */
  readonly vanishDelayMs: number;
  /**
   * What an owner did so shortly before it was heard last may not have come out; what it was told so shortly before its goodbye may
   * not have reached it.
   */
  readonly doubtMs: number;
  /** How long a backup remembers a key that has vanished, and an edge what it was told by mistake; longer than a lease. */
  readonly retainMs: number;
}

type Handed = DirectoryHandover['entries'][number];

/** Views that differ agree after a hop or two; a loop ends here. */
const maxHops = 3;

export class DirectoryTable {
  readonly #self: EdgeId;
  readonly #timings: TableTimings;
  readonly #listener: TableListener;
  readonly #entries = new Map<string, Entry>();
  readonly #due = new DueQueue<Entry>();
  /** To be decided when the view has settled. */
  readonly #undecided = new Set<Entry>();
  #ring: Ring;
  #frozen = false;

  constructor(self: EdgeId, ring: Ring, timings: TableTimings, listener: TableListener) {
    this.#self = self;
    this.#ring = ring;
    this.#timings = timings;
    this.#listener = listener;
  }

  /** Keys in memory. */
  get size(): number {
    return this.#entries.size;
  }

  /** When `run` is to be called next. */
  get nextDueMs(): number {
    return this.#due.nextMs;
  }

  report(from: EdgeId, report: Omit<DirectoryReport, 'type'>, nowMs: number): void {
    if (report.fresh) {
      for (const entry of this.#entries.values()) {
        if (!entry.reports.has(from)) continue;
        setReport(entry, from, 0, false);
        this.#decide(entry, nowMs);
      }
    }
    for (const [text, count, watch, known] of report.entries) {
      const entry = this.#entry(text, count > 0 || watch, nowMs);
      if (entry === undefined) continue;
      const before = entry.reports.get(from);
      setReport(entry, from, count, watch);
      if (known) this.#known(entry, (before?.count ?? 0) > 0);
      // One who has just begun to watch, or says the same again because it may have missed something.
      const repeats = before?.watch !== true || before.count === count;
      if (watch && repeats && entry.owner === this.#self) this.#want(entry, from, nowMs);
      this.#decide(entry, nowMs);
    }
  }

  /** What another edge owned and has announced. */
  handedOver({ entries, hops }: Omit<DirectoryHandover, 'type'>, nowMs: number): void {
    const passedOn = new Map<EdgeId, Handed[]>();
    for (const [text, total] of entries) {
      const entry = this.#entry(text, true, nowMs);
      if (entry === undefined) continue;
      entry.announced = true;
      entry.assumedMs = undefined;
      if (total !== null) takeOverTotal(entry, total, nowMs - this.#timings.largeTotalMs);
      if (entry.takeover?.how === 'bye') entry.takeover.isHandedOver = true;
      this.#decide(entry, nowMs);
      const { owner } = entry;
      if (owner !== undefined && owner !== this.#self) push(passedOn, owner, [text, total]);
    }
    if (hops === 0) return;
    for (const [edge, keys] of passedOn) this.#listener.handOver(edge, keys, hops - 1);
  }

  joined(ring: Ring, nowMs: number): void {
    this.#move(ring, nowMs, () => undefined);
  }

  left(edge: EdgeId, how: Departure, lastHeardMs: number, ring: Ring, nowMs: number): void {
    const { doubtMs } = this.#timings;
    for (const entry of this.#entries.values()) {
      if (!entry.reports.has(edge)) continue;
      setReport(entry, edge, 0, false);
      this.#decide(entry, nowMs);
    }
    const dead = how === 'silent' ? edge : undefined;
    if (dead !== undefined) this.#speakFor(dead, lastHeardMs - doubtMs, ring);
    const takenOver = (entry: Entry) => {
      entry.takeover =
        how === 'silent'
          ? { how, sinceMs: lastHeardMs - doubtMs }
          : { how, recentMs: nowMs - doubtMs, isGone: entry.sum === 0, isHandedOver: false };
    };
    this.#move(ring, nowMs, takenOver, dead);
  }

  /**
   * Hands over to the edges of the ring what this one owns; where there are none, nobody is left to be present. The table must not be
   * used any more.
   */
  leave(ring: Ring): void {
    const handovers = new Map<EdgeId, Handed[]>();
    for (const entry of this.#entries.values()) {
      this.#endTakeover(entry);
      if (entry.owner !== this.#self || !entry.announced) continue;
      const { owner } = ring.targets(entry.shard);
      if (owner === undefined) this.#listener.vanished(entry.key);
      else push(handovers, owner, handed(entry));
    }
    for (const [edge, keys] of handovers) this.#listener.handOver(edge, keys, maxHops);
    this.#entries.clear();
    this.#undecided.clear();
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(nowMs: number): void {
    this.#frozen = false;
    const undecided = [...this.#undecided];
    this.#undecided.clear();
    const toBackups = new Map<EdgeId, Handed[]>();
    for (const entry of undecided) {
      if (this.#entries.get(entry.text) !== entry) continue;
      this.#endTakeover(entry);
      this.#decide(entry, nowMs);
      const { owner, backup, announced, sum, hasNewBackup } = entry;
      entry.hasNewBackup = false;
      if (!hasNewBackup || owner !== this.#self || backup === undefined) continue;
      // No report tells the new backup that an end is to be announced.
      if (announced && sum === 0) push(toBackups, backup, handed(entry));
    }
    for (const [edge, keys] of toBackups) this.#listener.handOver(edge, keys, 0);
  }

  /** Does what is due. */
  run(nowMs: number): void {
    const totals = new Map<EdgeId, [string, number][]>();
    for (;;) {
      const entry = this.#due.take(nowMs);
      if (entry === undefined) break;
      // Looked at earlier than it was scheduled for when it was put there.
      if (entry.scheduledMs > nowMs || this.#entries.get(entry.text) !== entry) continue;
      entry.scheduledMs = never;
      this.#work(entry, nowMs, totals);
    }
    for (const [edge, entries] of totals) this.#listener.totals(edge, entries);
  }

  /** The totals were not taken by the broker: told again at `atMs`, as they are by then. */
  untold(edge: EdgeId, entries: DirectoryTotals['entries'], atMs: number): void {
    for (const [text] of entries) {
      const entry = this.#entries.get(text);
      if (entry?.reports.get(edge)?.watch === true) this.#want(entry, edge, atMs);
    }
  }

  #entry(text: string, create: boolean, nowMs: number): Entry | undefined {
    const known = this.#entries.get(text);
    if (known !== undefined || !create) return known;
    const key = parseDirectoryKey(text);
    if (key === undefined) return undefined;
    const entry = newEntry(key, text, rendezvousHash(directoryShard(key)));
    this.#entries.set(text, entry);
    Object.assign(entry, this.#ring.targets(entry.shard));
    // The sender's view is ahead of ours, or behind.
    if (!this.#keeps(entry)) this.#schedule(entry, 'forgetDueMs', nowMs + this.#timings.retainMs);
    return entry;
  }

  #keeps({ owner, backup }: Entry): boolean {
    return owner === this.#self || backup === this.#self;
  }

  /**
   * A reporter has told an owner before, so it is announced already. Of one that is known here for longer it says nothing, but to the
   * edge that takes over: there it vouches for the former owner.
   */
  #known(entry: Entry, isKnownHere: boolean): void {
    if (entry.takeover?.how === 'bye') entry.takeover.isHandedOver = true;
    if (entry.announced || isKnownHere) return;
    entry.announced = true;
    entry.assumedMs = undefined;
  }

  #want(entry: Entry, edge: EdgeId, atMs: number): void {
    entry.wanting.add(edge);
    this.#schedule(entry, 'totalDueMs', gathered(this.#timings, atMs));
  }

  #schedule(entry: Entry, due: 'vanishDueMs' | 'totalDueMs' | 'forgetDueMs', atMs: number): void {
    entry[due] = Math.min(entry[due], atMs);
    this.#enqueue(entry);
  }

  #enqueue(entry: Entry): void {
    const atMs = nextDueMs(entry);
    if (atMs >= entry.scheduledMs) return;
    entry.scheduledMs = atMs;
    this.#due.add(atMs, entry);
  }

  /** Draws the consequences of what is known of the key now. */
  #decide(entry: Entry, nowMs: number): void {
    if (entry.formerOwner !== undefined) return;
    if (this.#frozen) {
      this.#undecided.add(entry);
      return;
    }
    if (entry.sum > 0) {
      // Back at the last moment here, it may have been too late at the owner.
      if (entry.vanishDueMs !== never) entry.appearedMs = nowMs;
      entry.vanishDueMs = never;
      if (!entry.announced) this.#appear(entry, nowMs);
    } else if (entry.announced && entry.vanishDueMs <= nowMs) {
      this.#vanish(entry, nowMs);
    } else if (entry.announced && entry.vanishDueMs === never) {
      this.#schedule(entry, 'vanishDueMs', nowMs + this.#timings.vanishDelayMs);
    }
    entry.totalDueMs = Math.min(entry.totalDueMs, totalDueMs(entry, this.#timings, nowMs));
    // What fell due while nothing was decided is in no queue any more.
    this.#enqueue(entry);
    this.#forgetUnused(entry);
  }

  #appear(entry: Entry, nowMs: number): void {
    entry.announced = true;
    if (entry.owner === this.#self) {
      this.#listener.appeared(entry.key);
      return;
    }
    entry.assumedMs = nowMs;
    entry.appearedMs = nowMs;
  }

  #vanish(entry: Entry, nowMs: number): void {
    entry.vanishDueMs = never;
    entry.announced = false;
    entry.assumedMs = undefined;
    if (entry.owner === this.#self) {
      this.#listener.vanished(entry.key);
      return;
    }
    entry.vanishedMs = nowMs;
    entry.forgetDueMs = nowMs + this.#timings.retainMs;
    this.#enqueue(entry);
  }

  #work(entry: Entry, nowMs: number, totals: Map<EdgeId, [string, number][]>): void {
    if (this.#frozen) {
      // Put off to the thaw, all of it but what mistakes have left.
      this.#undecided.add(entry);
      if (entry.forgetDueMs <= nowMs) entry.forgetDueMs = nowMs + this.#timings.retainMs;
      return;
    }
    if (entry.forgetDueMs <= nowMs) {
      entry.forgetDueMs = never;
      entry.vanishedMs = longAgo;
      if (!this.#keeps(entry)) {
        this.#drop(entry);
        return;
      }
    }
    if (entry.vanishDueMs <= nowMs && entry.sum === 0) this.#vanish(entry, nowMs);
    if (entry.totalDueMs <= nowMs) this.#tell(entry, nowMs, totals);
    this.#enqueue(entry);
    this.#forgetUnused(entry);
  }

  #tell(entry: Entry, nowMs: number, totals: Map<EdgeId, [string, number][]>): void {
    const { sum, wanting, key, text } = entry;
    const { isForAll, hasChanged } = takeTotal(entry, this.#timings, nowMs);
    if (entry.owner === this.#self) {
      if (isForAll) {
        for (const [edge, { watch }] of entry.reports) if (watch) push(totals, edge, [text, sum]);
        if (hasChanged) this.#listener.changed(key, sum);
      } else {
        for (const edge of wanting) push(totals, edge, [text, sum]);
      }
    }
    wanting.clear();
  }

  /**
   * @param takenOver what to note of an entry that another edge owned before
   * @param dead the edge that has left without a word
   */
  #move(ring: Ring, nowMs: number, takenOver: (entry: Entry) => void, dead?: EdgeId): void {
    this.#ring = ring;
    const handovers = new Map<EdgeId, Handed[]>();
    for (const entry of this.#entries.values()) {
      const { owner, backup } = entry;
      const next = ring.targets(entry.shard);
      if (next.owner === owner && next.backup === backup) continue;
      if (owner === this.#self && next.owner !== this.#self) {
        // What it has just begun to own it leaves as it would have found it, and waits for an end as long as the new owner will.
        this.#endTakeover(entry);
        entry.vanishDueMs = never;
      }
      entry.owner = next.owner;
      entry.backup = next.backup;
      if (owner === this.#self && next.owner !== owner && next.owner !== undefined) {
        if (entry.announced) push(handovers, next.owner, handed(entry));
      }
      if (next.backup !== backup) entry.hasNewBackup = true;
      if (!this.#keeps(entry)) {
        this.#letGo(entry, owner, nowMs);
        continue;
      }
      if (entry.formerOwner !== undefined) takeBack(entry, entry.formerOwner === dead);
      entry.forgetDueMs = never;
      if (entry.owner === this.#self && owner !== this.#self) {
        takenOver(entry);
        for (const [edge, { watch }] of entry.reports) if (watch) this.#want(entry, edge, nowMs);
      }
      this.#decide(entry, nowMs);
    }
    for (const [edge, keys] of handovers) this.#listener.handOver(edge, keys, maxHops);
  }

  #letGo(entry: Entry, formerOwner: EdgeId | undefined, nowMs: number): void {
    if (entry.formerOwner !== undefined) return;
    if (formerOwner === this.#self || !isWorthSettingAside(entry)) {
      this.#drop(entry);
      return;
    }
    setAside(entry, formerOwner, nowMs + this.#timings.retainMs);
    this.#enqueue(entry);
  }

  /** The edge was dead already when another took its place: its backup of then hands over for it. */
  #speakFor(dead: EdgeId, sinceMs: number, ring: Ring): void {
    const handovers = new Map<EdgeId, Handed[]>();
    for (const entry of this.#entries.values()) {
      if (entry.formerOwner !== dead) continue;
      const { owner } = ring.targets(entry.shard);
      const task = executorship(entry, sinceMs);
      if (task === 'none' || owner === this.#self || owner === undefined) continue;
      if (task === 'announce and hand over') this.#listener.appeared(entry.key);
      push(handovers, owner, handed(entry));
    }
    for (const [edge, keys] of handovers) this.#listener.handOver(edge, keys, maxHops);
  }

  #endTakeover(entry: Entry): void {
    for (const announcement of endTakeover(entry, entry.owner === this.#self)) {
      this.#listener[announcement](entry.key);
    }
  }

  #forgetUnused(entry: Entry): void {
    if (isUnused(entry)) this.#drop(entry);
  }

  #drop(entry: Entry): void {
    this.#entries.delete(entry.text);
    this.#undecided.delete(entry);
  }
}

function push<K, V>(lists: Map<K, V[]>, key: K, value: V): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}
