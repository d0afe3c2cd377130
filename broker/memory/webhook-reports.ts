/** Reports to webhook targets: one queue each, with a lifetime, one active consumer, and the dead letters of all. */
import type { Clock } from '../../runtime/clock.ts';
import { ConsumerLine } from './consumer-line.ts';
import { Queue } from './queue.ts';
import type { Turns } from './turns.ts';

export interface StoredReport {
  readonly body: Buffer;
  readonly publishedAtMs: number;
}

/** A report that was given up. */
export interface WebhookDeadLetter extends StoredReport {
  readonly target: string;
  /** What the consumer gave, or `expired` or `maxlen` as RabbitMQ names them. */
  readonly reason: string;
  /** When it was given up, in ms since 1970. */
  readonly atMs: number;
}

export interface WebhookReportsOptions {
  readonly clock: Clock;
  readonly webhookLifetimeMs: number;
  /** Reports that wait for one target; beyond it the oldest are dead-lettered. */
  readonly maxWebhookReports: number;
  /** Beyond it the oldest are dropped. */
  readonly maxDeadLetters: number;
}

export class WebhookReports {
  readonly #turns: Turns;
  readonly #options: WebhookReportsOptions;
  /** Only targets that have reports or consumers. */
  readonly #targets = new Map<string, TargetQueue>();
  #deadLetters: WebhookDeadLetter[] = [];

  constructor(turns: Turns, options: WebhookReportsOptions) {
    this.#turns = turns;
    this.#options = options;
  }

  push(target: string, body: Buffer): void {
    this.#queueOf(target).push({ body, publishedAtMs: this.#options.clock.now() });
  }

  /** The line stays the target's until `release`, whether or not its consumers stand in it. */
  hold(target: string): ConsumerLine<StoredReport> {
    const queue = this.#queueOf(target);
    queue.hold();
    return queue.line;
  }

  release(target: string): void {
    this.#targets.get(target)?.release();
  }

  deadLetter(target: string, report: StoredReport, reason: string): void {
    this.#deadLetters.push({ ...report, target, reason, atMs: this.#options.clock.now() });
    if (this.#deadLetters.length > this.#options.maxDeadLetters) this.#deadLetters.shift();
  }

  deadLetters(): readonly WebhookDeadLetter[] {
    return [...this.#deadLetters];
  }

  /** Takes the oldest letters out. */
  takeDeadLetters(count: number): WebhookDeadLetter[] {
    return this.#deadLetters.splice(0, count);
  }

  /** Puts letters back before all others. */
  returnDeadLetters(letters: readonly WebhookDeadLetter[]): void {
    this.#deadLetters = [...letters, ...this.#deadLetters];
  }

  get consumers(): number {
    return [...this.#targets.values()].reduce((sum, { line }) => sum + line.length, 0);
  }

  #queueOf(target: string): TargetQueue {
    let queue = this.#targets.get(target);
    if (queue === undefined) {
      queue = new TargetQueue(this.#turns, this.#options, {
        lost: (report, reason) => this.deadLetter(target, report, reason),
        unused: () => this.#targets.delete(target),
      });
      this.#targets.set(target, queue);
    }
    return queue;
  }
}

interface TargetQueueEvents {
  lost(report: StoredReport, reason: 'expired' | 'maxlen'): void;
  /** It is empty, and nobody means to consume it. */
  unused(): void;
}

class TargetQueue {
  readonly line: ConsumerLine<StoredReport>;
  readonly #queue: Queue<StoredReport>;
  readonly #options: WebhookReportsOptions;
  readonly #events: TargetQueueEvents;
  #cancelExpiry: (() => void) | undefined;
  #holders = 0;

  constructor(turns: Turns, options: WebhookReportsOptions, events: TargetQueueEvents) {
    this.#options = options;
    this.#events = events;
    this.#queue = new Queue(turns, options.maxWebhookReports, (report) =>
      events.lost(report, 'maxlen'),
    );
    this.line = new ConsumerLine(this.#queue, () => this.#expire());
  }

  push(report: StoredReport): void {
    this.#queue.push(report);
    if (this.#cancelExpiry === undefined) this.#expire();
  }

  hold(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    this.#expire();
  }

  /** Gives up what has waited too long, and comes back when the next has. The oldest is at the head, also after a requeue. */
  #expire(): void {
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    const { clock, webhookLifetimeMs } = this.#options;
    for (let head = this.#queue.head; head !== undefined; head = this.#queue.head) {
      const restMs = head.publishedAtMs + webhookLifetimeMs - clock.now();
      if (restMs > 0) {
        this.#cancelExpiry = clock.after(restMs, () => this.#expire());
        return;
      }
      this.#queue.removeHead();
      this.#events.lost(head, 'expired');
    }
    if (this.#holders === 0) this.#events.unused();
  }
}
