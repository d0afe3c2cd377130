/**
 * Sends the reports of one target: in queue order, one request at a time, and only while they are this edge's. One that fails is
 * tried again until it is five minutes old; nothing overtakes it.
 */
import type {
  WebhookConsumption,
  WebhookOutcome,
  WebhookQueues,
  WebhookReport,
} from '../../broker/port.ts';
import { webhookLifetimeMs } from '../../broker/port.ts';
import {
  decodeQueuedWebhook,
  type QueuedWebhook,
  webhookBody,
} from '../../contracts/pusher/webhook.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { AddressPolicy } from './address-policy.ts';
import { Breaker, type BreakerLimits } from './breaker.ts';
import type { GiveUpCause, WebhookMeters } from './meters.ts';
import { Recent } from './recent.ts';
import { type RetryTimings, retryWaitMs } from './retry.ts';
import { type Resolve, signedHeaders, TargetClient } from './target-client.ts';
import { logFields, targetsOf, type WebhookTarget } from './targets.ts';

export interface SenderTimings extends BreakerLimits, RetryTimings {
  readonly requestTimeoutMs: number;
}

export interface SenderContext {
  readonly queues: Pick<WebhookQueues, 'consume'>;
  readonly apps: () => readonly AppConfig[];
  readonly clock: Clock;
  readonly log: Log;
  readonly meters: WebhookMeters;
  readonly policy: AddressPolicy;
  readonly timings: SenderTimings;
  readonly resolve?: Resolve | undefined;
}

const maxBatchEvents = 50;
const maxBatchBytes = 262_144;
/** Ids of reports that were sent, kept to know a repetition. */
const maxSentIds = 1_000;

/** A report that the broker has handed to this edge, and the two ways to be rid of it. */
interface InHand {
  readonly webhook: QueuedWebhook;
  readonly bytes: number;
  readonly publishedAtMs: number;
  readonly settle: (outcome: WebhookOutcome) => void;
  readonly handBack: () => void;
  /** The broker may have handed it to another edge meanwhile. */
  revoked: boolean;
}

export class TargetSender {
  readonly target: WebhookTarget;
  readonly #context: SenderContext;
  readonly #log: Log;
  readonly #client: TargetClient;
  readonly #breaker: Breaker;
  readonly #inHand: InHand[] = [];
  /** Under way: at the target now. */
  #batch: readonly InHand[] = [];
  readonly #sentIds = new Recent(maxSentIds, 2 * webhookLifetimeMs);
  readonly #stopping = new AbortController();
  #running = false;
  #consumption: WebhookConsumption | undefined;
  #failures = 0;
  #lastReason = 'not tried by this edge';
  /** One log line until something is sent again. */
  #givingUp = false;
  #endWait: (() => void) | undefined;
  #stopped: Promise<void> | undefined;

  constructor(target: WebhookTarget, context: SenderContext) {
    const { clock, timings, policy, resolve } = context;
    this.target = target;
    this.#context = context;
    this.#log = context.log.child(logFields(target));
    this.#client = new TargetClient({
      url: target.url,
      policy,
      clock,
      timeoutMs: timings.requestTimeoutMs,
      ...(resolve === undefined ? {} : { resolve }),
    });
    this.#breaker = new Breaker(clock, timings, (open) => {
      if (open) this.#log.warn({ reason: this.#lastReason }, 'webhook target is failing');
      else this.#log.info({}, 'webhook target works again');
    });
  }

  get breakerClosed(): boolean {
    return this.#breaker.closed;
  }

  start(): void {
    void this.#consume();
  }

  /**
   * Takes no further report; the request under way may finish until the deadline, everything else goes back to the broker.
   * Idempotent.
   */
  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop(deadlineMs);
    return this.#stopped;
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#stopping.abort();
    this.wake();
    await this.#consumption?.stop(deadlineMs);
    this.#client.close();
    this.#breaker.shutdown();
  }

  /** Ends a wait at once: the configuration has changed. */
  wake(): void {
    this.#endWait?.();
  }

  /** What is in hand is not this edge's any more: it is let go, unless it arrives with the request that is under way. */
  revoke(): void {
    for (const one of [...this.#batch, ...this.#inHand]) one.revoked = true;
    this.wake();
  }

  /** Tries until the broker lets it: a refusal is an operator's to mend, meanwhile reports wait. */
  async #consume(): Promise<void> {
    const { queues, clock, timings } = this.#context;
    const { signal } = this.#stopping;
    const options = {
      target: this.target.id,
      prefetch: this.target.batch ? maxBatchEvents : 1,
      handle: (report: WebhookReport) => this.#handle(report),
    };
    for (let logged = false; !signal.aborted; ) {
      try {
        const consumption = await queues.consume(options);
        if (signal.aborted) await consumption.stop(0);
        this.#consumption = consumption;
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (!logged) this.#log.warn({ err: error }, 'cannot consume the reports of a webhook');
        logged = true;
        await delay(clock, timings.retryMaxMs, signal);
      }
    }
  }

  #handle(report: WebhookReport): Promise<WebhookOutcome> {
    const decoded = decodeQueuedWebhook(report.body);
    if (!decoded.ok) return Promise.resolve(this.#givenUp('malformed', decoded.error));
    const webhook = decoded.value;
    if (webhook.app !== this.target.app) {
      return Promise.resolve(this.#givenUp('malformed', 'the report belongs to another app'));
    }
    return new Promise((resolve, reject) => {
      this.#inHand.push({
        webhook,
        bytes: report.body.length,
        publishedAtMs: report.publishedAtMs,
        settle: resolve,
        handBack: () => reject(new Error('this edge lets go of the report')),
        revoked: false,
      });
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    // Reports that were handed over in the same turn belong in the same batch.
    await Promise.resolve();
    while (this.#inHand.length > 0) await this.#step();
    this.#running = false;
  }

  async #step(): Promise<void> {
    const configured = this.#configured();
    if (typeof configured === 'string') {
      for (const one of this.#inHand.splice(0)) one.settle(this.#givenUp('gone', configured));
      return;
    }
    const batch = this.#take(configured.target.batch);
    if (batch.length === 0) return;
    if (this.#stopping.signal.aborted) {
      for (const one of batch) one.handBack();
    } else if (this.#breaker.open) {
      this.#inHand.unshift(...batch);
      await this.#wait('trial');
    } else {
      this.#batch = batch;
      await this.#send(configured.app, batch);
      this.#batch = [];
    }
  }

  /** Looked up for each request: key, secret and the webhook itself may have changed since the event. */
  #configured(): { readonly app: AppConfig; readonly target: WebhookTarget } | string {
    const app = this.#context.apps().find(({ id }) => id === this.target.app);
    if (app === undefined) return 'the app is not configured any more';
    const target = targetsOf(app).find(({ id }) => id === this.target.id);
    return target === undefined ? 'the webhook is not configured any more' : { app, target };
  }

  /** Takes what may go into one request from the head, and settles on the way what is not to be sent. */
  #take(batched: boolean): InHand[] {
    const batch: InHand[] = [];
    let bytes = 0;
    for (let head = this.#inHand[0]; head !== undefined; head = this.#inHand[0]) {
      const fits = batched && batch.length < maxBatchEvents && bytes + head.bytes <= maxBatchBytes;
      if (batch.length > 0 && !fits) break;
      this.#inHand.shift();
      if (this.#settledAlready(head)) continue;
      batch.push(head);
      bytes += head.bytes;
    }
    return batch;
  }

  #settledAlready(one: InHand): boolean {
    const { clock } = this.#context;
    if (this.#sentIds.has(one.webhook.id, clock.monotonicMs())) {
      one.settle({ kind: 'done' });
    } else if (one.revoked) {
      one.handBack();
    } else if (clock.now() - one.publishedAtMs >= webhookLifetimeMs) {
      one.settle(this.#givenUp('expired', `older than five minutes; last: ${this.#lastReason}`));
    } else return false;
    return true;
  }

  async #send(app: AppConfig, batch: readonly InHand[]): Promise<void> {
    const { meters } = this.#context;
    const timeMs = batch.reduce((newest, { webhook }) => Math.max(newest, webhook.timeMs), 0);
    const body = webhookBody(
      timeMs,
      batch.map(({ webhook }) => webhook.event),
    );
    const outcome = await this.#breaker.send(async () => {
      const answer = await this.#client.post(body, signedHeaders(app, body));
      // Before the breaker hears of it: it may open, and then the reason is logged.
      if (answer.kind === 'failed') this.#lastReason = answer.reason;
      return answer;
    });
    switch (outcome.kind) {
      case 'delivered':
        meters.sent(batch.length);
        this.#failures = 0;
        this.#givingUp = false;
        for (const one of batch) this.#sent(one);
        return;
      case 'refused':
        for (const one of batch) one.settle(this.#givenUp('refused', outcome.reason));
        return;
      case 'failed':
        meters.attemptFailed(outcome.cause);
        this.#failures += 1;
        this.#inHand.unshift(...batch);
        this.#batch = [];
        await this.#wait(retryWaitMs(this.#failures, this.#context.timings, Math.random()));
    }
  }

  #sent({ webhook, settle }: InHand): void {
    this.#sentIds.add(webhook.id, this.#context.clock.monotonicMs());
    settle({ kind: 'done' });
  }

  /** For so long, or until the breaker lets a trial through; at most until the oldest report in hand has become too old. */
  async #wait(wait: number | 'trial'): Promise<void> {
    const [head] = this.#inHand;
    // Something changed while the request was under way.
    const changed = this.#stopping.signal.aborted || typeof this.#configured() === 'string';
    if (changed || head === undefined || head.revoked) return;
    const { clock } = this.#context;
    const over = new AbortController();
    const finish = () => over.abort();
    const forget = wait === 'trial' ? this.#breaker.whenTrialDue(finish) : undefined;
    const leftMs = head.publishedAtMs + webhookLifetimeMs - clock.now();
    this.#endWait = finish;
    await delay(clock, wait === 'trial' ? leftMs : Math.min(wait, leftMs), over.signal);
    this.#endWait = undefined;
    forget?.();
  }

  #givenUp(cause: GiveUpCause, text: string): WebhookOutcome {
    this.#context.meters.deadLettered(cause);
    if (!this.#givingUp) this.#log.warn({ cause, reason: text }, 'webhook events are given up');
    this.#givingUp = true;
    return { kind: 'dead-letter', reason: `${cause}: ${text}` };
  }
}
