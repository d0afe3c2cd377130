/** Reads the history of one session from its first entry to its last, and notes what went against the promises. */
import type {
  Entry,
  Finding,
  Published,
  Rules,
  SessionHistory,
  Sighting,
} from './history-entries.ts';

export type Findings = Record<
  'lost' | 'duplicated' | 'reordered' | 'foreign' | 'misreported' | 'gaps',
  Finding[]
>;

/** What the readers of all sessions share. */
export interface ReaderContext {
  readonly byId: ReadonlyMap<string, Published>;
  readonly byChannel: ReadonlyMap<string, readonly Published[]>;
  readonly rules: Rules;
  readonly routerFaults: readonly { readonly at: number; readonly repeated: Set<string> }[];
  readonly findings: Findings;
}

/** A stretch of time in which a session was to see everything that was published to a channel. */
interface Interval {
  readonly from: number;
  left: boolean;
  /** Highest confirmed `n` seen in it, by publisher. */
  readonly highest: Map<string, number>;
}

export class SessionReader {
  readonly totals = { deliveries: 0, repeats: 0, routerRepeats: 0, connections: 0, resumes: 0 };
  provedSomething = false;
  readonly #session: SessionHistory;
  readonly #context: ReaderContext;
  readonly #seen = new Set<string>();
  /** Ids in the order of their sightings, repeats included. */
  readonly #frames: string[] = [];
  /** By channel; the last one may be open. */
  readonly #intervals = new Map<string, Interval[]>();
  /** Highest confirmed `n`, by line. */
  readonly #highest = new Map<string, number>();
  #connection = new ConnectionState(new Set());

  constructor(session: SessionHistory, context: ReaderContext) {
    this.#session = session;
    this.#context = context;
  }

  read(): void {
    for (const entry of this.#session.entries) this.#entry(entry);
    this.#findLost();
  }

  #entry(entry: Entry): void {
    switch (entry.kind) {
      case 'connected':
        this.totals.connections += 1;
        this.#connection = new ConnectionState(
          new Set(this.#frames.slice(-this.#context.rules.prefetch)),
        );
        return;
      case 'session':
        this.#report(entry.at, entry.resumed);
        return;
      case 'subscribed':
        this.#subscribed(entry.at, entry.channel);
        return;
      case 'unsubscribed': {
        const interval = this.#open(entry.channel);
        if (interval !== undefined) interval.left = true;
        return;
      }
      case 'lost':
        this.#note('gaps', entry, '', `told of a loss: ${entry.reason}`);
        this.#forgive(entry.channel);
        this.#connection.fresh.add(entry.channel);
        if (this.#connection.subscribed.has(entry.channel)) {
          this.#begin(entry.channel, entry.at);
        }
        return;
      case 'event':
        this.#event(entry);
    }
  }

  #report(at: number, resumed: boolean): void {
    this.#connection.resumed = resumed;
    if (resumed) this.totals.resumes += 1;
    if (this.totals.connections <= 1) {
      if (resumed) this.#note('misreported', { at }, '', 'resumed at its first connection');
      return;
    }
    if (resumed) return;
    this.#note('gaps', { at }, '', 'came back to a new session');
    for (const channel of this.#intervals.keys()) this.#forgive(channel);
  }

  #subscribed(at: number, channel: string): void {
    const connection = this.#connection;
    if (connection.resumed === undefined) {
      this.#note('misreported', { at, channel }, '', 'subscribed without a report of the session');
    }
    connection.subscribed.add(channel);
    if (this.#open(channel) !== undefined) return;
    connection.fresh.add(channel);
    this.#begin(channel, at);
  }

  #event(sighting: Sighting): void {
    const { channel, id, publisher, n } = sighting;
    const published = this.#context.byId.get(id);
    if (published === undefined) {
      this.#note('foreign', sighting, id, 'never published');
      return;
    }
    const problem = this.#foreign(sighting, published);
    if (problem !== undefined) {
      this.#note('foreign', sighting, id, problem);
      return;
    }
    const line = `${channel} ${publisher}`;
    const connection = this.#connection;
    const isFresh =
      connection.fresh.delete(channel) && /^(private-|presence-)?cache-/.test(channel);
    if (this.#seen.has(id)) {
      this.#repeat(sighting, published, line, isFresh);
    } else {
      this.#seen.add(id);
      this.totals.deliveries += 1;
      const highest = this.#highest.get(line) ?? -1;
      if (published.outcome === 'confirmed') {
        if (n < highest) this.#note('reordered', sighting, id, `n ${n} after n ${highest}`);
        else this.#highest.set(line, n);
      }
    }
    this.#frames.push(id);
    connection.seen.add(id);
    if (published.outcome !== 'confirmed') return;
    raise(connection.highest, line, n);
    const interval = this.#open(channel);
    if (interval !== undefined) raise(interval.highest, publisher, n);
  }

  #foreign(sighting: Sighting, published: Published): string | undefined {
    const { channel, publisher, n } = sighting;
    if (published.channel !== channel) return `published to ${published.channel}`;
    if (published.publisher !== publisher || published.n !== n) return 'altered on its way';
    if (!this.#session.channels.has(channel)) return 'not a channel of this session';
    if (!this.#connection.subscribed.has(channel)) return 'before its subscription succeeded';
    return undefined;
  }

  #repeat(sighting: Sighting, published: Published, line: string, isFresh: boolean): void {
    // What a cache channel says first where nothing is continued may be known.
    if (isFresh) return;
    const { at, id, n } = sighting;
    const connection = this.#connection;
    const returned =
      connection.resumed === true && connection.returning.has(id) && !connection.seen.has(id);
    if (returned && n > (connection.highest.get(line) ?? -1)) {
      this.totals.repeats += 1;
      return;
    }
    const fault = this.#context.routerFaults.findLast((one) => one.at < at);
    if (published.viaRouter && fault !== undefined && published.sentAt < fault.at) {
      fault.repeated.add(id);
      if (fault.repeated.size <= this.#context.rules.routerWindow) {
        this.totals.routerRepeats += 1;
        return;
      }
    }
    this.#note('duplicated', sighting, id, `n ${n} again`);
  }

  #findLost(): void {
    for (const [channel, intervals] of this.#intervals) {
      for (const published of this.#context.byChannel.get(channel) ?? []) {
        if (published.outcome !== 'confirmed') continue;
        if (!intervals.some((interval) => isDue(interval, published))) continue;
        if (this.#seen.has(published.id)) {
          this.provedSomething = true;
          continue;
        }
        const text = `n ${published.n} of ${published.publisher} never came`;
        this.#note('lost', { at: published.sentAt, channel }, published.id, text);
      }
    }
  }

  #begin(channel: string, from: number): void {
    const intervals = this.#intervals.get(channel) ?? [];
    intervals.push({ from, left: false, highest: new Map() });
    this.#intervals.set(channel, intervals);
  }

  #open(channel: string): Interval | undefined {
    const last = this.#intervals.get(channel)?.at(-1);
    return last?.left === false ? last : undefined;
  }

  /** A gap was declared: whatever was published before may be missing. */
  #forgive(channel: string): void {
    this.#intervals.set(channel, []);
  }

  #note(
    kind: keyof Findings,
    { at, channel = '' }: { readonly at: number; readonly channel?: string },
    id: string,
    text: string,
  ): void {
    this.#context.findings[kind].push({ session: this.#session.name, at, channel, id, text });
  }
}

class ConnectionState {
  /** What `warren:session` said; undefined before. */
  resumed: boolean | undefined;
  readonly subscribed = new Set<string>();
  /** Channels that have said nothing yet on which nothing had to be continued. */
  readonly fresh = new Set<string>();
  readonly seen = new Set<string>();
  /** Highest confirmed `n`, by line. */
  readonly highest = new Map<string, number>();
  /** The last deliveries before it, which may have been unacknowledged. */
  readonly returning: ReadonlySet<string>;

  constructor(returning: ReadonlySet<string>) {
    this.returning = returning;
  }
}

/** Of a channel that was left, only what came before something that was seen there. */
function isDue({ from, left, highest }: Interval, { sentAt, publisher, n }: Published): boolean {
  return sentAt > from && (!left || n < (highest.get(publisher) ?? -1));
}

function raise(highest: Map<string, number>, name: string, n: number): void {
  highest.set(name, Math.max(n, highest.get(name) ?? -1));
}
