/**
 * Reports on their way from this edge to one target's queue. They reach it in the order in which they came; what the broker did not
 * confirm is published again, in that order. A report may so be in the queue twice: its id tells.
 */
import type { WebhookQueues } from '../../broker/port.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface ReportBufferLimits {
  /** Reports kept; beyond it the oldest are dropped. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Unconfirmed at the broker at a time. */
  readonly maxUnconfirmed: number;
  readonly republishMs: number;
}

export interface ReportBufferListener {
  /** Publishing began to fail. Once per episode. */
  interrupted(error: unknown): void;
  /** It works again; so many reports were dropped meanwhile. Once per episode. */
  restored(dropped: number): void;
  dropped(reports: number): void;
}

interface Published {
  readonly report: Buffer;
  outcome?: 'confirmed' | 'rejected';
}

export class ReportBuffer {
  readonly #queues: Pick<WebhookQueues, 'publish'>;
  readonly #target: string;
  readonly #clock: Clock;
  readonly #limits: ReportBufferLimits;
  readonly #listener: ReportBufferListener;
  /** At the broker, oldest first. */
  #published: Published[] = [];
  readonly #waiting: Buffer[] = [];
  #bytes = 0;
  /** Reports dropped since publishing began to fail; undefined while it works. */
  #episode: { dropped: number } | undefined;
  #cancelPause: (() => void) | undefined;
  #closed = false;
  #emptied: (() => void)[] = [];

  constructor(
    queues: Pick<WebhookQueues, 'publish'>,
    target: string,
    clock: Clock,
    limits: ReportBufferLimits,
    listener: ReportBufferListener,
  ) {
    this.#queues = queues;
    this.#target = target;
    this.#clock = clock;
    this.#limits = limits;
    this.#listener = listener;
  }

  /** Reports that the broker has not confirmed. */
  get size(): number {
    return this.#published.length + this.#waiting.length;
  }

  push(report: Buffer): void {
    if (this.#closed) {
      this.#listener.dropped(1);
      return;
    }
    this.#waiting.push(report);
    this.#bytes += report.length;
    while (this.size > this.#limits.maxWaiting || this.#bytes > this.#limits.maxWaitingBytes) {
      // What is at the broker already cannot be taken back.
      const oldest = this.#waiting.shift();
      if (oldest === undefined) break;
      this.#bytes -= oldest.length;
      if (this.#episode !== undefined) this.#episode.dropped += 1;
      this.#listener.dropped(1);
    }
    this.#publish();
  }

  /** Resolves when the broker has confirmed everything. */
  emptied(): Promise<void> {
    if (this.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied.push(resolve);
    });
  }

  /** Drops what is left. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelPause?.();
    if (this.size > 0) this.#listener.dropped(this.size);
    this.#published = [];
    this.#waiting.length = 0;
    this.#bytes = 0;
    this.#nowEmpty();
  }

  #publish(): void {
    // After a failure nothing new goes out before all of the old has come back: it must not overtake.
    while (!this.#failing && this.#cancelPause === undefined) {
      if (this.#published.length >= this.#limits.maxUnconfirmed) return;
      const report = this.#waiting.shift();
      if (report === undefined) return;
      const entry: Published = { report };
      this.#published.push(entry);
      this.#send(entry);
    }
  }

  #send(entry: Published): void {
    this.#queues.publish(this.#target, entry.report).then(
      () => this.#settled(entry, 'confirmed'),
      (error: unknown) => this.#settled(entry, 'rejected', error),
    );
  }

  get #failing(): boolean {
    return this.#published.some(({ outcome }) => outcome === 'rejected');
  }

  #settled(entry: Published, outcome: 'confirmed' | 'rejected', error?: unknown): void {
    if (this.#closed) return;
    entry.outcome = outcome;
    if (outcome === 'confirmed') {
      this.#published.splice(this.#published.indexOf(entry), 1);
      this.#bytes -= entry.report.length;
    } else if (this.#episode === undefined) {
      this.#episode = { dropped: 0 };
      this.#listener.interrupted(error);
    }
    if (!this.#failing) {
      const episode = this.#episode;
      this.#episode = undefined;
      if (episode !== undefined) this.#listener.restored(episode.dropped);
      this.#publish();
      if (this.size === 0) this.#nowEmpty();
    } else if (this.#published.every((one) => one.outcome === 'rejected')) this.#publishLater();
  }

  #publishLater(): void {
    this.#waiting.unshift(...this.#published.map(({ report }) => report));
    this.#published = [];
    this.#cancelPause = this.#clock.after(this.#limits.republishMs, () => {
      this.#cancelPause = undefined;
      this.#publish();
    });
  }

  #nowEmpty(): void {
    const calls = this.#emptied;
    this.#emptied = [];
    for (const call of calls) call();
  }
}
