/**
 * Cluster-wide sums: what this edge holds goes to the owner and the backup of each key, and what this edge owns is added up here.
 *
 * Who owned a key tells who owns it now what it has announced, and until everybody has the same view nothing is decided. So while
 * edges come and go in order each beginning and each end is announced once. What an edge did right before its death without a word
 * is announced again; lost is an announcement only where owner and backup die together.
 */
import { BrokerError } from '../../broker/errors.ts';
import type { DirectoryKey } from '../../contracts/directory-key.ts';
import type {
  DirectoryHandover,
  DirectoryReport,
  DirectoryTotals,
  EdgeMessage,
} from '../../contracts/edge-message.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Bus } from './bus.ts';
import { Holdings } from './directory-holdings.ts';
import { DirectoryTable, type TableTimings } from './directory-table.ts';
import type { Departure } from './membership.ts';
import type { DirectoryListener, Directory as DirectoryPort } from './port.ts';
import { Ring } from './rendezvous.ts';

export interface DirectoryTimings extends TableTimings {
  /** From the last change of the view until anything is decided: longer than edges need to hear of it and to report anew. */
  readonly viewSettleMs: number;
  /** After a failed send. */
  readonly retryMs: number;
}

export interface DirectoryOptions {
  readonly edgeId: EdgeId;
  readonly bus: Pick<Bus, 'send'>;
  readonly clock: Clock;
  readonly listener: DirectoryListener;
  readonly timings: DirectoryTimings;
  /** Monotonic time at which another edge was heard last. */
  lastHeardMs(edge: EdgeId): number | undefined;
}

/** Entries of one message. */
const maxEntries = 500;
/** A view that does not come to rest holds decisions up for so many times `viewSettleMs`. */
const maxUnsettled = 5;

export class Directory implements DirectoryPort {
  readonly #options: DirectoryOptions;
  readonly #holdings: Holdings;
  readonly #table: DirectoryTable;
  #ring: Ring;
  /** Edges that are being told something. */
  readonly #telling = new Map<EdgeId, Promise<void>>();
  /** The view is known and the bus is there. */
  #isOpen = false;
  /** The bus is not there any more. */
  #isAway = false;
  #state: 'new' | 'working' | 'leaving' | 'left' = 'new';
  /** There has been another edge. */
  #hasMet = false;
  /** When the view began to change, or the bus went away; undefined while the view stands still. */
  #unsettledMs: number | undefined;
  /** Decisions are put off until then at the latest. */
  #latestThawMs = 0;
  #cancelThaw: (() => void) | undefined;
  #cancelFlush: (() => void) | undefined;
  #cancelRun: (() => void) | undefined;
  #runAtMs = Number.POSITIVE_INFINITY;

  constructor(options: DirectoryOptions) {
    const { edgeId, listener, timings } = options;
    this.#options = options;
    this.#ring = new Ring([edgeId]);
    this.#holdings = new Holdings(this.#ring);
    this.#table = new DirectoryTable(edgeId, this.#ring, timings, {
      appeared: (key) => listener.appeared(key),
      vanished: (key) => listener.vanished(key),
      changed: (key, total) => listener.changed(key, total),
      totals: (edge, entries) => this.#sendTotals(edge, entries),
      handOver: (edge, entries, hops) => this.#sendHandover(edge, entries, hops),
    });
    this.#freeze();
  }

  /** Keys that this edge holds or watches, and keys that it keeps the sum of. */
  get sizes(): { readonly held: number; readonly kept: number } {
    return { held: this.#holdings.size, kept: this.#table.size };
  }

  report(key: DirectoryKey, count: number): void {
    if (this.#isLeaving) return;
    this.#holdings.report(key, count);
    this.#flushSoon();
  }

  watch(key: DirectoryKey): void {
    if (this.#isLeaving) return;
    this.#holdings.watch(key);
    this.#flushSoon();
  }

  unwatch(key: DirectoryKey): void {
    if (this.#isLeaving) return;
    this.#holdings.unwatch(key);
    this.#flushSoon();
  }

  /** @param from in the view, or gone right before where it hands over */
  receive(from: EdgeId, message: DirectoryReport | DirectoryTotals | DirectoryHandover): void {
    if (this.#state === 'left') return;
    const nowMs = this.#options.clock.monotonicMs();
    switch (message.type) {
      case 'directory-report':
        this.#table.report(from, message, nowMs);
        break;
      case 'directory-handover':
        this.#table.handedOver(message, nowMs);
        break;
      case 'directory-totals':
        this.#hear(this.#holdings.news(from, message.entries));
        break;
    }
    this.#runLater();
  }

  edgeJoined(edge: EdgeId): void {
    if (this.#state === 'left') return;
    this.#hasMet = true;
    this.#ring = this.#ring.with(edge);
    this.#unsettle();
    this.#table.joined(this.#ring, this.#options.clock.monotonicMs());
    this.#holdings.joined(edge, this.#ring, (owner) => this.#surelyMs(owner));
    this.#flushSoon();
  }

  /** It may have missed what this edge told it. */
  edgeReturned(edge: EdgeId): void {
    if (this.#state === 'left' || !this.#ring.has(edge)) return;
    this.#unsettle();
    this.#holdings.returned(edge);
    this.#flushSoon();
  }

  edgeLeft(edge: EdgeId, how: Departure, lastHeardMs: number): void {
    if (this.#state === 'left' || !this.#ring.has(edge)) return;
    this.#ring = this.#ring.without(edge);
    this.#unsettle();
    this.#table.left(edge, how, lastHeardMs, this.#ring, this.#options.clock.monotonicMs());
    const { doubtMs } = this.#options.timings;
    const surelyMs = how === 'bye' ? Number.POSITIVE_INFINITY : lastHeardMs - doubtMs;
    this.#holdings.left(edge, this.#ring, surelyMs);
    this.#flushSoon();
    this.#runLater();
  }

  /** The bus is away: nothing is told and nothing decided, for nobody knows what the others hold by now. */
  interrupted(): void {
    this.#isAway = true;
    this.#isOpen = false;
    this.#freeze();
    this.#cancelThaw?.();
  }

  /** Everyone who was there when the bus was joined or restored is known. */
  settled(): void {
    if (this.#isLeaving) return;
    const { edgeId, clock } = this.#options;
    const isFirst = this.#state === 'new';
    this.#state = 'working';
    this.#isAway = false;
    this.#isOpen = true;
    const others = this.#ring.edges.filter((edge) => edge !== edgeId);
    if (!isFirst) this.#holdings.returnedHere(others);
    // Alone from the start, there is nobody who could have announced anything.
    if (isFirst && !this.#hasMet) this.#thaw(clock.monotonicMs());
    else {
      this.#latestThawMs = clock.monotonicMs() + maxUnsettled * this.#options.timings.viewSettleMs;
      this.#unsettle();
    }
    this.#flushSoon();
  }

  /** Withdraws what this edge holds. Resolves when the broker has it all, or takes nothing. */
  async withdraw(): Promise<void> {
    if (this.#isLeaving) return;
    this.#state = 'leaving';
    this.#holdings.clear();
    this.#flush();
    await Promise.all(this.#telling.values());
  }

  /**
   * Hands over what this edge owns, and ends. To be called when everybody has heard that this edge leaves, and what they told it
   * before that has come in: until then it announces what it owns.
   */
  handOver(): void {
    if (!this.#isAway && this.#state !== 'left') {
      this.#table.leave(this.#ring.without(this.#options.edgeId));
    }
    this.close();
  }

  /** Stops whatever is under way. Idempotent. */
  close(): void {
    this.#state = 'left';
    this.#isOpen = false;
    this.#cancelThaw?.();
    this.#cancelFlush?.();
    this.#cancelRun?.();
  }

  get #isLeaving(): boolean {
    return this.#state === 'leaving' || this.#state === 'left';
  }

  /** An owner that is alive has worked on what it was told a while before it was heard last. */
  #surelyMs(owner: EdgeId): number {
    const { edgeId, lastHeardMs, timings } = this.#options;
    if (owner === edgeId) return Number.POSITIVE_INFINITY;
    return (lastHeardMs(owner) ?? Number.NEGATIVE_INFINITY) - timings.doubtMs;
  }

  #freeze(): void {
    if (this.#unsettledMs === undefined) {
      const { clock, timings } = this.#options;
      this.#unsettledMs = clock.monotonicMs();
      this.#latestThawMs = this.#unsettledMs + maxUnsettled * timings.viewSettleMs;
    }
    this.#table.freeze();
  }

  /** Puts decisions off until the view has stood still for a while. */
  #unsettle(): void {
    this.#freeze();
    if (!this.#isOpen) return;
    const { clock, timings } = this.#options;
    this.#cancelThaw?.();
    const longestMs = Math.max(0, this.#latestThawMs - clock.monotonicMs());
    const delayMs = Math.min(timings.viewSettleMs, longestMs);
    this.#cancelThaw = clock.after(delayMs, () => this.#thaw(clock.monotonicMs()));
  }

  #thaw(nowMs: number): void {
    this.#unsettledMs = undefined;
    this.#table.thaw(nowMs);
    this.#runLater();
  }

  #flushSoon(delayMs = this.#options.timings.gatherMs): void {
    if (!this.#isOpen || this.#isLeaving || this.#cancelFlush !== undefined) return;
    this.#cancelFlush = this.#options.clock.after(delayMs, () => this.#flush());
  }

  #flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    if (!this.#isOpen) return;
    this.#hear(this.#holdings.takeAgain());
    for (const edge of this.#holdings.waiting()) {
      if (edge === this.#options.edgeId) this.#tellSelf();
      else if (!this.#telling.has(edge)) {
        this.#telling.set(edge, this.#tell(edge));
      }
    }
    this.#runLater();
  }

  /**
   * When an owner must have been told for the key to be announced for sure: before the view began to change, and for a backup, which
   * takes over where the owner dies, a while before the owner was heard last.
   */
  readonly #knownUntilMs = (owner: EdgeId, isBackup: boolean): number => {
    const { viewSettleMs } = this.#options.timings;
    const untilMs = (this.#unsettledMs ?? Number.POSITIVE_INFINITY) - viewSettleMs;
    return isBackup ? Math.min(untilMs, this.#surelyMs(owner)) : untilMs;
  };

  #tellSelf(): void {
    const { edgeId, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    for (;;) {
      const batch = this.#holdings.take(edgeId, maxEntries, this.#knownUntilMs);
      if (batch === undefined) return;
      this.#table.report(edgeId, batch, nowMs);
      this.#holdings.confirmed(batch, nowMs);
    }
  }

  /** One message at a time, so that what waits for the broker is bounded and a failed one is told again in order. */
  async #tell(edgeId: EdgeId): Promise<void> {
    const { bus, clock, timings } = this.#options;
    for (;;) {
      const batch = this.#isOpen
        ? this.#holdings.take(edgeId, maxEntries, this.#knownUntilMs)
        : undefined;
      if (batch === undefined) break;
      const { fresh, entries } = batch;
      try {
        await bus.send({ kind: 'edge', edgeId }, { type: 'directory-report', fresh, entries });
        this.#holdings.confirmed(batch, clock.monotonicMs());
      } catch (error) {
        this.#holdings.failed(batch);
        if (!(error instanceof BrokerError)) throw error;
        this.#flushSoon(timings.retryMs);
        break;
      }
    }
    this.#telling.delete(edgeId);
  }

  #sendTotals(edge: EdgeId, entries: DirectoryTotals['entries']): void {
    const { edgeId, clock, timings } = this.#options;
    if (edge === edgeId) {
      this.#hear(this.#holdings.news(edgeId, entries));
      return;
    }
    for (const part of parts(entries)) {
      this.#send(edge, { type: 'directory-totals', entries: part }, () => {
        this.#table.untold(edge, part, clock.monotonicMs() + timings.retryMs);
        this.#runLater();
      });
    }
  }

  /** One that is lost costs a second announcement of what was announced in the last moment. */
  #sendHandover(edge: EdgeId, entries: DirectoryHandover['entries'], hops: number): void {
    for (const part of parts(entries)) {
      this.#send(edge, { type: 'directory-handover', entries: part, hops }, () => undefined);
    }
  }

  #send(edgeId: EdgeId, message: EdgeMessage, failed: () => void): void {
    this.#options.bus.send({ kind: 'edge', edgeId }, message).catch((error: unknown) => {
      if (!(error instanceof BrokerError)) throw error;
      if (this.#state !== 'left') failed();
    });
  }

  #hear(news: readonly (readonly [DirectoryKey, number])[]): void {
    for (const [key, total] of news) this.#options.listener.total(key, total);
  }

  /** One timer for all that falls due. */
  #runLater(): void {
    const { clock } = this.#options;
    const atMs = this.#table.nextDueMs;
    if (this.#state === 'left' || atMs >= this.#runAtMs) return;
    this.#cancelRun?.();
    this.#runAtMs = atMs;
    this.#cancelRun = clock.after(Math.max(0, atMs - clock.monotonicMs()), () => {
      this.#runAtMs = Number.POSITIVE_INFINITY;
      this.#table.run(clock.monotonicMs());
      this.#runLater();
    });
  }
}

function* parts<T>(entries: readonly T[]): Iterable<readonly T[]> {
  for (let at = 0; at < entries.length; at += maxEntries) yield entries.slice(at, at + maxEntries);
}
