/** Queues that survive their owners: held by one at a time, parked for a window, then gone. */
import type { Publication } from '../../contracts/publication.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { LossNotice } from '../port.ts';
import type { TopicExchange } from './exchange.ts';
import { Queue } from './queue.ts';
import type { Turns } from './turns.ts';

type LossReason = LossNotice['reason'];

/** Someone who wants to hold the queue of a key. */
export interface Claimant {
  readonly key: string;
  readonly maxLength: number;
  readonly windowMs: number;
  /** It held the queue before and was told of no end: where there is none any more, something is lost. */
  readonly heldBefore: boolean;
  /** The queue is this claimant's until it lets go. */
  granted(held: HeldQueue, found: boolean): void;
  /** More came than the queue holds, while this claimant held it. */
  overflowed(): void;
}

/** A queue with what its session keeps beside it. */
export interface HeldQueue {
  queue: Queue<Publication>;
  /** Stays until it is acknowledged. */
  notice: LossReason | undefined;
  note: { readonly text: string; readonly by: Claimant } | undefined;
}

interface Entry extends HeldQueue {
  /** The first one holds the queue, the others stand by. Empty while it is parked. */
  readonly line: Claimant[];
  lastHolder: Claimant;
  readonly windowMs: number;
  readonly maxLength: number;
  /** It dropped messages that nobody has been told of. */
  isBroken: boolean;
  cancelExpiry: () => void;
}

export class ContinuityQueues {
  readonly #turns: Turns;
  readonly #exchange: TopicExchange<Queue<Publication>>;
  readonly #clock: Clock;
  readonly #maxParked: number;
  readonly #entries = new Map<string, Entry>();
  /** Keys, the one that was parked first at the front. */
  readonly #parked = new Set<string>();

  /** @param options.maxParkedSessions beyond it the queue that was parked first is dropped: its session is told when it returns */
  constructor(
    turns: Turns,
    exchange: TopicExchange<Queue<Publication>>,
    options: { readonly clock: Clock; readonly maxParkedSessions: number },
  ) {
    this.#turns = turns;
    this.#exchange = exchange;
    this.#clock = options.clock;
    this.#maxParked = options.maxParkedSessions;
  }

  get size(): number {
    return this.#entries.size;
  }

  get consumers(): number {
    return [...this.#entries.values()].filter(({ queue }) => queue.consumed).length;
  }

  /** Grants the queue at once where nobody holds it, else when those in line before have let go. */
  claim(claimant: Claimant): void {
    const entry = this.#entries.get(claimant.key);
    if (entry === undefined) {
      claimant.granted(this.#create(claimant), false);
      return;
    }
    entry.line.push(claimant);
    if (entry.line.length > 1) return;
    entry.cancelExpiry();
    this.#parked.delete(claimant.key);
    this.#grant(entry, claimant);
  }

  /** Lets go, or leaves the line. What is unacknowledged goes back; with nobody in line the window begins. */
  leave(claimant: Claimant): void {
    const entry = this.#entries.get(claimant.key);
    const at = entry?.line.indexOf(claimant) ?? -1;
    if (entry === undefined || at < 0) return;
    entry.line.splice(at, 1);
    if (at > 0) return;
    entry.queue.cancel();
    entry.queue.requeue();
    const next = entry.line[0];
    if (next === undefined) this.#park(claimant.key, entry);
    else this.#grant(entry, next);
  }

  /** The holder ends the session; for those in line a new queue begins. Whoever no longer holds it only leaves the line. */
  delete(claimant: Claimant): void {
    const entry = this.#entries.get(claimant.key);
    if (entry === undefined) return;
    const holds = entry.line[0] === claimant;
    const heldLast = entry.line.length === 0 && entry.lastHolder === claimant;
    if (!holds && !heldLast) {
      this.leave(claimant);
      return;
    }
    this.#drop(claimant.key, entry);
    for (const next of entry.line.slice(1)) this.claim(next);
  }

  /** An empty queue in place of the holder's, with nothing bound; `notice` is all that it begins with, beside the note if that is kept. */
  renew(claimant: Claimant, notice: LossReason | undefined, keepsNote: boolean): void {
    const entry = this.#entries.get(claimant.key);
    if (entry === undefined || entry.line[0] !== claimant) return;
    this.#empty(entry, notice);
    if (!keepsNote) entry.note = undefined;
    claimant.granted(entry, true);
  }

  /** All parked queues are lost. */
  clear(): void {
    for (const [key, entry] of this.#entries) if (entry.line.length === 0) this.#drop(key, entry);
  }

  #create(claimant: Claimant): Entry {
    const { key, maxLength, windowMs, heldBefore } = claimant;
    const entry: Entry = {
      queue: this.#newQueue(key, maxLength),
      notice: heldBefore ? 'unknown' : undefined,
      note: undefined,
      line: [claimant],
      lastHolder: claimant,
      windowMs,
      maxLength,
      isBroken: false,
      cancelExpiry: nothing,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #newQueue(key: string, maxLength: number): Queue<Publication> {
    const queue = new Queue<Publication>(this.#turns, maxLength, () => this.#dropped(key, queue));
    return queue;
  }

  /** Whoever holds it is told in a turn of its own, and until then loses nothing that it will not be told of. */
  #dropped(key: string, queue: Queue<Publication>): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.queue !== queue || entry.isBroken) return;
    entry.isBroken = true;
    this.#turns.later(() => {
      if (entry.queue === queue && entry.isBroken) entry.line[0]?.overflowed();
    });
  }

  #grant(entry: Entry, claimant: Claimant): void {
    entry.lastHolder = claimant;
    if (entry.isBroken) {
      this.#empty(entry, 'overflow');
      if (entry.note?.by !== claimant) entry.note = undefined;
    }
    claimant.granted(entry, true);
  }

  #empty(entry: Entry, notice: LossReason | undefined): void {
    entry.queue.cancel();
    this.#exchange.forget(entry.queue);
    entry.queue = this.#newQueue(entry.lastHolder.key, entry.maxLength);
    entry.isBroken = false;
    entry.notice = notice;
  }

  #park(key: string, entry: Entry): void {
    entry.cancelExpiry = this.#clock.after(entry.windowMs, () => this.#drop(key, entry));
    this.#parked.add(key);
    for (const oldest of this.#parked) {
      if (this.#parked.size <= this.#maxParked) return;
      const parked = this.#entries.get(oldest);
      if (parked !== undefined) this.#drop(oldest, parked);
    }
  }

  #drop(key: string, entry: Entry): void {
    entry.cancelExpiry();
    entry.queue.cancel();
    this.#exchange.forget(entry.queue);
    this.#entries.delete(key);
    this.#parked.delete(key);
  }
}

function nothing(): void {
  // A queue that is held does not expire.
}
