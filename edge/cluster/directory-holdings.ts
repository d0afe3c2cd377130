/**
 * What this edge holds of each key, and whom that has still to be told. Pure: time comes in, batches go out. A key that is not held,
 * not watched and not on its way to anybody is forgotten.
 */
import {
  type DirectoryKey,
  directoryKeyText,
  directoryShard,
} from '../../contracts/directory-key.ts';
import type { DirectoryReport, DirectoryTotals } from '../../contracts/edge-message.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import { type Ring, rendezvousHash } from './rendezvous.ts';

interface Held {
  readonly key: DirectoryKey;
  readonly text: string;
  readonly shard: number;
  count: number;
  watchers: number;
  owner: EdgeId | undefined;
  backup: EdgeId | undefined;
  /** When an owner was told first that this edge holds some; undefined since it was told that it holds none. */
  toldMs: number | undefined;
  /** The last total that was heard of a watched key. */
  total: number | undefined;
  /** Outboxes and batches that it is in. */
  waiting: number;
}

interface Outbox {
  /** The receiver has to forget what it was told before. */
  fresh: boolean;
  /** True where the receiver must not take the key for one that has been announced elsewhere. */
  readonly due: Map<Held, boolean>;
}

/** Some of what one edge has to be told; to be settled by `confirmed` or `failed`. */
export interface Batch {
  readonly edge: EdgeId;
  readonly fresh: boolean;
  readonly entries: DirectoryReport['entries'];
  readonly sent: ReadonlyMap<Held, boolean>;
}

export class Holdings {
  readonly #held = new Map<string, Held>();
  readonly #outboxes = new Map<EdgeId, Outbox>();
  /** Watched keys of which somebody wants to hear the total once more. */
  readonly #again = new Set<Held>();
  #ring: Ring;

  constructor(ring: Ring) {
    this.#ring = ring;
  }

  /** Keys in memory. */
  get size(): number {
    return this.#held.size;
  }

  report(key: DirectoryKey, count: number): void {
    const text = directoryKeyText(key);
    const known = this.#held.get(text);
    if ((known?.count ?? 0) === count) return;
    const held = known ?? this.#add(key, text);
    held.count = count;
    this.#tell(held);
  }

  watch(key: DirectoryKey): void {
    const text = directoryKeyText(key);
    const held = this.#held.get(text) ?? this.#add(key, text);
    held.watchers += 1;
    if (held.watchers === 1) this.#tell(held);
    else if (held.total !== undefined) this.#again.add(held);
  }

  unwatch(key: DirectoryKey): void {
    const held = this.#held.get(directoryKeyText(key));
    if (held === undefined || held.watchers === 0) return;
    held.watchers -= 1;
    if (held.watchers > 0) return;
    held.total = undefined;
    this.#again.delete(held);
    this.#tell(held);
  }

  /** Takes the totals that are to be reported again because a watcher was added. */
  takeAgain(): readonly (readonly [DirectoryKey, number])[] {
    const again = [...this.#again].map(({ key, total = 0 }) => [key, total] as const);
    this.#again.clear();
    return again;
  }

  /** The totals that are news, of what an edge has told. Only the owner's word counts. */
  news(
    from: EdgeId,
    entries: DirectoryTotals['entries'],
  ): readonly (readonly [DirectoryKey, number])[] {
    const news: (readonly [DirectoryKey, number])[] = [];
    for (const [text, total] of entries) {
      const held = this.#held.get(text);
      if (held === undefined || held.watchers === 0 || held.owner !== from) continue;
      if (held.total === total) continue;
      held.total = total;
      this.#again.delete(held);
      news.push([held.key, total]);
    }
    return news;
  }

  /**
   * Tells the new edge what it keeps from now on.
   *
   * @param surelyMs an owner that was told of a key until then has announced it; what it was told later it may have taken to its grave
   */
  joined(edge: EdgeId, ring: Ring, surelyMs: (owner: EdgeId) => number): void {
    this.#ring = ring;
    this.#outbox(edge).fresh = true;
    for (const held of this.#held.values()) {
      const { owner: former, backup } = held;
      this.#place(held);
      if (held.owner !== edge && held.backup !== edge) continue;
      if (backup !== undefined && backup !== held.backup && backup !== held.owner) {
        this.#withdraw(backup, held);
      }
      const isUnsure = former !== undefined && (held.toldMs ?? 0) > surelyMs(former);
      this.#put(edge, held, held.owner === edge && isUnsure);
    }
  }

  /** Tells an edge everything again that may have missed some of it. It knows itself what it has announced. */
  returned(edge: EdgeId): void {
    this.#outbox(edge).fresh = true;
    for (const held of this.#held.values()) {
      if (held.owner === edge || held.backup === edge) this.#put(edge, held, true);
    }
  }

  /** @param surelyMs as for `joined`, of the edge that left */
  left(edge: EdgeId, ring: Ring, surelyMs: number): void {
    this.#ring = ring;
    const outbox = this.#outboxes.get(edge);
    this.#outboxes.delete(edge);
    for (const held of outbox?.due.keys() ?? []) held.waiting -= 1;
    for (const held of this.#held.values()) {
      if (held.owner !== edge && held.backup !== edge) continue;
      const isUnsure = held.owner === edge && (held.toldMs ?? 0) > surelyMs;
      this.#place(held);
      this.#tell(held, isUnsure);
    }
  }

  /** Tells everybody everything again: they may have counted this edge out meanwhile. */
  returnedHere(edges: Iterable<EdgeId>): void {
    for (const edge of edges) this.#outbox(edge).fresh = true;
    for (const held of this.#held.values()) this.#tell(held, true);
  }

  /** Withdraws everything. */
  clear(): void {
    this.#again.clear();
    for (const held of this.#held.values()) {
      held.count = 0;
      held.watchers = 0;
      this.#tell(held);
    }
  }

  /** Edges that have something to be told. */
  waiting(): readonly EdgeId[] {
    return [...this.#outboxes.keys()];
  }

  /**
   * @param knownUntilMs when the owner must have been told of a key for it to be announced for sure, if the batch is for this owner
   *   or for its backup
   */
  take(
    edge: EdgeId,
    maxEntries: number,
    knownUntilMs: (owner: EdgeId, isBackup: boolean) => number,
  ): Batch | undefined {
    const outbox = this.#outboxes.get(edge);
    if (outbox === undefined) return undefined;
    const entries: DirectoryReport['entries'][number][] = [];
    const sent = new Map<Held, boolean>();
    for (const [held, isUnknown] of outbox.due) {
      if (sent.size === maxEntries) break;
      outbox.due.delete(held);
      sent.set(held, isUnknown);
      const { count, toldMs, owner } = held;
      const isKnown =
        count > 0 &&
        !isUnknown &&
        toldMs !== undefined &&
        owner !== undefined &&
        toldMs <= knownUntilMs(owner, owner !== edge);
      if (count === 0 && owner === edge) held.toldMs = undefined;
      entries.push([held.text, count, held.watchers > 0, isKnown]);
    }
    const { fresh } = outbox;
    outbox.fresh = false;
    if (outbox.due.size === 0) this.#outboxes.delete(edge);
    return { edge, fresh, entries, sent };
  }

  confirmed({ edge, entries, sent }: Batch, nowMs: number): void {
    let at = 0;
    for (const held of sent.keys()) {
      const count = entries[at]?.[1] ?? 0;
      at += 1;
      held.waiting -= 1;
      if (held.owner === edge && count > 0 && held.count > 0) held.toldMs ??= nowMs;
      this.#forgetUnused(held);
    }
  }

  /** What was not confirmed is due again, with what it is by then. */
  failed({ edge, fresh, sent }: Batch): void {
    const isTarget = this.#ring.has(edge);
    if (isTarget && fresh) this.#outbox(edge).fresh = true;
    for (const [held, isUnknown] of sent) {
      held.waiting -= 1;
      if (isTarget && (held.owner === edge || held.backup === edge)) {
        this.#put(edge, held, isUnknown);
      } else {
        this.#forgetUnused(held);
      }
    }
  }

  #add(key: DirectoryKey, text: string): Held {
    const held: Held = {
      key,
      text,
      shard: rendezvousHash(directoryShard(key)),
      count: 0,
      watchers: 0,
      owner: undefined,
      backup: undefined,
      toldMs: undefined,
      total: undefined,
      waiting: 0,
    };
    this.#place(held);
    this.#held.set(text, held);
    return held;
  }

  #place(held: Held): void {
    const { owner, backup } = this.#ring.targets(held.shard);
    held.owner = owner;
    held.backup = backup;
  }

  #tell(held: Held, isUnknown = false): void {
    if (held.owner !== undefined) this.#put(held.owner, held, isUnknown);
    if (held.backup !== undefined) this.#put(held.backup, held, isUnknown);
  }

  #put(edge: EdgeId, held: Held, isUnknown: boolean): void {
    const { due } = this.#outbox(edge);
    const before = due.get(held);
    if (before === undefined) held.waiting += 1;
    due.set(held, isUnknown || before === true);
  }

  /** An edge that keeps the key no longer would not hear of its end. */
  #withdraw(edge: EdgeId, held: Held): void {
    const outbox = this.#outboxes.get(edge);
    if (outbox?.due.delete(held) === true) held.waiting -= 1;
  }

  #outbox(edge: EdgeId): Outbox {
    let outbox = this.#outboxes.get(edge);
    if (outbox === undefined) {
      outbox = { fresh: false, due: new Map() };
      this.#outboxes.set(edge, outbox);
    }
    return outbox;
  }

  #forgetUnused(held: Held): void {
    if (held.count > 0 || held.watchers > 0 || held.waiting > 0) return;
    if (this.#held.get(held.text) === held) this.#held.delete(held.text);
  }
}
