/** One chaos run: a fleet, pages, publishers, faults, and the judgement. */
import { brokerUrl } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import { judge } from '../support/history.ts';
import type { Entry, Fault, History, Rules, Verdict } from '../support/history-entries.ts';
import { type Deck, deal, inject } from './faults.ts';
import { Fleet } from './fleet.ts';
import { app, Page } from './page.ts';
import { DomainPublisher, HttpPublisher, Ledger, Load, routingKey } from './publishers.ts';
import { Random } from './random.ts';
import { examples, faultLog, summary } from './report.ts';

export interface ChaosOptions {
  /** 0 to 4,294,967,295; chooses channels, faults, their victims and the pauses between them. */
  readonly seed: number;
  readonly pages: number;
  readonly continuity: boolean;
  /** Default 3. */
  readonly edges?: number;
  /** Default 2. */
  readonly routers?: number;
  readonly url?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Called when the fleet is up and nobody has come yet. */
  readonly beforePages?: (prefix: string) => Promise<void>;
}

const prefetch = 100;
const routerPrefetch = 200;
const channelsPerPage = 5;
const httpPublishers = 3;
/** Twice what a stock client takes that was accepted by an edge and not greeted before the edge died. */
const recoveryMs = 45_000;
const pollMs = 100;

const channels = [
  ...Array.from({ length: 8 }, (_, n) => `room-${n}`),
  ...Array.from({ length: 8 }, (_, n) => `private-room-${n}`),
  ...Array.from({ length: 3 }, (_, n) => `cache-room-${n}`),
  'private-cache-room-0',
];

const config = `
apps: [{ id: app-id, key: ${app.key}, secret: ${app.secret} }]
events:
  - { on: '${routingKey}', to: '{data.channel}', as: item }
`;

export class ChaosRun {
  readonly fleet: Fleet;
  readonly pages: readonly Page[];
  readonly random: Random;
  readonly startedAt = performance.now();
  readonly faults: Fault[] = [];
  readonly #ledger = new Ledger();
  readonly #load = new Load();
  readonly #publishers: readonly [DomainPublisher, ...HttpPublisher[]];

  /** Resolves when every page is live and the publishers publish. */
  static async start(options: ChaosOptions): Promise<ChaosRun> {
    const url = options.url ?? brokerUrl;
    const fleet = await Fleet.start({
      url,
      edges: options.edges ?? 3,
      routers: options.routers ?? 2,
      config,
      environment: {
        WARREN_DRAIN_MS: '1000',
        WARREN_PREFETCH: String(prefetch),
        WARREN_ROUTER_PREFETCH: String(routerPrefetch),
        WARREN_CONFIRM_TIMEOUT_MS: '4000',
        WARREN_HEARTBEAT_SECONDS: '1',
        WARREN_ACTIVITY_TIMEOUT_MS: '5000',
        WARREN_PONG_TIMEOUT_MS: '5000',
        ...options.environment,
      },
    });
    let run: ChaosRun | undefined;
    try {
      await options.beforePages?.(fleet.names.prefix);
      run = new ChaosRun(options, url, fleet);
      await run.everyPageLive();
      run.#startLoad();
      return run;
    } catch (error) {
      await (run ?? fleet).stop();
      throw error;
    }
  }

  constructor(options: ChaosOptions, url: string, fleet: Fleet) {
    this.fleet = fleet;
    this.random = new Random(options.seed);
    this.pages = Array.from(
      { length: options.pages },
      (_, n) =>
        new Page({
          name: `page ${n}`,
          port: fleet.pages.port,
          channels: this.random.sample(channels, channelsPerPage),
          continuity: options.continuity,
        }),
    );
    this.#publishers = [
      new DomainPublisher(this.#ledger, url, fleet.names.domainEvents),
      ...Array.from(
        { length: httpPublishers },
        (_, n) => new HttpPublisher(this.#ledger, `http-${n}`, fleet.calls.port),
      ),
    ];
  }

  get history(): History {
    return {
      publications: this.#ledger.publications,
      sessions: this.pages,
      faults: this.faults,
    };
  }

  /** Deals the deck, again and again while `untilMs` of the run are not over; at least once. Pauses between faults are random. */
  async breakThings(deck: Deck, pauseMs: readonly [number, number], untilMs = 0): Promise<void> {
    do {
      for (const kind of deal(deck, this.random)) {
        await inject(this, kind);
        this.#requireMembers();
        await pause(this.random.between(...pauseMs));
      }
    } while (performance.now() - this.startedAt < untilMs && !this.#isFull());
  }

  /** Resolves when everything that was killed is back; rejects where it does not come. */
  async repaired(): Promise<void> {
    await this.fleet.settled();
    this.#requireMembers();
  }

  /** Notes a fault of the test's own and brings it about. */
  async fault(kind: string, bring: () => Promise<void>): Promise<void> {
    this.faults.push({ kind, at: performance.now(), detail: '' });
    await bring();
  }

  /** Goes on publishing until so many more publications are known to be confirmed. */
  async published(count: number, deadlineMs = recoveryMs): Promise<void> {
    const confirmed = () =>
      this.#ledger.publications.filter(({ outcome }) => outcome === 'confirmed').length;
    const enough = confirmed() + count;
    await until(() => confirmed() >= enough, deadlineMs);
  }

  /**
   * Ends the load, waits until every page is back, publishes once more to every channel and waits until it was seen, then judges.
   * What does not come in time is not waited for: the verdict shows it.
   */
  async settle(rules: Omit<Rules, 'prefetch' | 'routerWindow' | 'routerFaults'>): Promise<Verdict> {
    await this.repaired();
    await this.#load.stop();
    await this.everyPageLive();
    const last = new Map<string, string[]>();
    for (const channel of channels) {
      const closing = this.#publishers.map((publisher) =>
        eventually(async () => {
          const one = await publisher.publish(channel);
          if (one.outcome !== 'confirmed') throw new Error('a closing publication failed');
          return one.id;
        }, recoveryMs),
      );
      last.set(channel, await Promise.all(closing));
    }
    const hasSeenAll = (page: Page) =>
      [...page.channels].every((channel) => last.get(channel)?.every((id) => page.seen.has(id)));
    await until(() => this.pages.every(hasSeenAll), recoveryMs).catch(() => undefined);
    const verdict = judge(this.history, {
      ...rules,
      prefetch,
      routerWindow: routerPrefetch,
      routerFaults: ['router-kill', 'broker-kill', 'broker-stop'],
    });
    return this.#isFull()
      ? { ...verdict, invalid: [...verdict.invalid, 'a history grew beyond its bound'] }
      : verdict;
  }

  /** What a failed run has to say. */
  explain(verdict: Verdict): string {
    const complaints = this.pages.flatMap(({ name, complaints: all }) =>
      all.map((text) => `  ${name}: ${text}`),
    );
    return [
      summary(verdict),
      examples(this.history, verdict, this.startedAt),
      'faults:',
      faultLog(this.history, this.startedAt),
      'complaints of the server (the first 20):',
      ...complaints.slice(0, 20),
    ].join('\n');
  }

  /** Closes every page for good, with which their sessions end. */
  closePages(): void {
    for (const page of this.pages) page.close();
  }

  async stop(): Promise<void> {
    this.closePages();
    // What waits for its confirm learns by the end of its connection that none comes.
    const closed = this.#publishers.map((publisher) => publisher.close());
    await Promise.all([this.#load.stop(), ...closed]);
    await this.fleet.stop();
  }

  #startLoad(): void {
    const [domain, ...http] = this.#publishers;
    this.#load.add(domain, channels, new Random(this.random.between(0, 1e9)), 30);
    for (const publisher of http) {
      this.#load.add(publisher, channels, new Random(this.random.between(0, 1e9)), 100);
    }
  }

  /** Waits until every page was told of a loss since the last fault. One that is not told in time is for the verdict to show. */
  async everyPageTold(): Promise<void> {
    const since = this.faults.at(-1)?.at ?? 0;
    const isNotice = (entry: Entry) =>
      entry.kind === 'lost' || (entry.kind === 'session' && !entry.resumed);
    const wasTold = ({ entries }: Page) =>
      entries.findLast((entry) => isNotice(entry) && entry.at > since) !== undefined;
    await until(() => this.pages.every(wasTold), recoveryMs).catch(() => undefined);
  }

  /** Resolves when every page is connected and every subscription of it has succeeded. */
  everyPageLive(): Promise<void> {
    return until(
      () => this.pages.every((page) => page.isLive),
      recoveryMs,
      () =>
        this.pages
          .filter((page) => !page.isLive)
          .map((page) => `${page.name}: ${page.state}`)
          .join('\n'),
    );
  }

  #requireMembers(): void {
    const { problems } = this.fleet;
    if (problems.length > 0) throw new AggregateError(problems, 'a member did not start or end');
  }

  #isFull(): boolean {
    return this.#ledger.isFull || this.pages.some((page) => page.isFull);
  }
}

/** Polls, not too often: the conditions look at every page. */
async function until(
  condition: () => boolean,
  deadlineMs: number,
  explain = () => 'it did not come about',
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`after ${deadlineMs} ms: ${explain()}`);
    await pause(pollMs);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
