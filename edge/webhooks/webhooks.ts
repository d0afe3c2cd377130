/**
 * Webhooks of all apps: events become reports in the queue of each target that wants them, and whatever edge the broker gives a queue
 * to sends them. So the cluster has one sender per target, in one order, and a report outlives the edge that saw its event.
 */
import { randomUUID } from 'node:crypto';
import { type Broker, type WebhookQueues, webhookLifetimeMs } from '../../broker/port.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import {
  encodeQueuedWebhook,
  type WebhookEvent,
  type WebhookEventName,
} from '../../contracts/pusher/webhook.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import { ConfirmedBuffer, type ConfirmedBufferLimits } from '../confirmed-buffer.ts';
import { AddressPolicy } from './address-policy.ts';
import { type WebhookMeters, webhookMeters } from './meters.ts';
import { Recent } from './recent.ts';
import type { Resolve } from './target-client.ts';
import { type SenderTimings, TargetSender } from './target-sender.ts';
import { logFields, targetsOf, type WebhookTarget } from './targets.ts';

export interface WebhooksOptions {
  readonly queues: WebhookQueues;
  /** The apps as they are configured now; asked again for each request. */
  readonly apps: () => readonly AppConfig[];
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Metrics;
  /** Host names, addresses or CIDR blocks that webhooks may reach though they are not on the public internet. */
  readonly allowPrivate: readonly string[];
  /**
   * Hears when the broker is gone and when it is back. What the broker had handed to this edge before may be another's then, so it
   * is let go instead of being sent by both.
   */
  readonly onStatus?: Broker['onStatus'];
  /** Makes the ids of this edge's reports unique; default: a random one. */
  readonly edgeId?: EdgeId;
  readonly timings?: Partial<WebhookTimings>;
  /** Name resolution; default `dns.lookup`. */
  readonly resolve?: Resolve;
}

export interface WebhookTimings extends SenderTimings, ConfirmedBufferLimits {
  /** A channel's `cache_miss` is reported at most once within it. */
  readonly cacheMissMs: number;
}

const defaultTimings: WebhookTimings = {
  requestTimeoutMs: 10_000,
  retryMinMs: 1_000,
  retryMaxMs: 60_000,
  breakerRequests: 5,
  breakerOpenMs: 30_000,
  cacheMissMs: 10_000,
  maxWaiting: 10_000,
  maxWaitingBytes: 16 * 1_048_576,
  maxUnconfirmed: 64,
  republishMs: 1_000,
};

const maxRecentMisses = 10_000;

export class Webhooks {
  readonly #options: WebhooksOptions;
  readonly #timings: WebhookTimings;
  readonly #policy: AddressPolicy;
  readonly #meters: WebhookMeters;
  readonly #edge: string;
  readonly #misses: Recent;
  /** By target. */
  readonly #buffers = new Map<string, ConfirmedBuffer<Buffer>>();
  readonly #senders = new Map<string, TargetSender>();
  /** Senders of targets that are configured no more, which still give up what waits for them; each with the way to keep it. */
  readonly #leaving = new Map<TargetSender, () => void>();
  /** Senders that are stopping by themselves. */
  readonly #stops = new Set<Promise<void>>();
  #reports = 0;
  #stopWatching: (() => void) | undefined;
  #state: 'new' | 'started' | 'stopped' = 'new';

  /** @throws RangeError on an entry of `allowPrivate` that is neither a host name nor an address nor a CIDR block */
  constructor(options: WebhooksOptions) {
    this.#options = options;
    this.#timings = { ...defaultTimings, ...options.timings };
    this.#policy = new AddressPolicy(options.allowPrivate);
    this.#edge = options.edgeId ?? randomUUID();
    this.#misses = new Recent(maxRecentMisses, this.#timings.cacheMissMs);
    this.#meters = webhookMeters(options.metrics, {
      waiting: () => this.waiting,
      breakersOpen: () => this.#breakersOpen(),
    });
  }

  /** Reports that the broker has not confirmed yet. */
  get waiting(): number {
    let sum = 0;
    for (const buffer of this.#buffers.values()) sum += buffer.size;
    return sum;
  }

  /** Whether any webhook of the app names this event. */
  wants(app: AppConfig, name: WebhookEventName): boolean {
    if (app.webhooks.length === 0) return false;
    for (const target of targetsOf(app)) if (target.events.has(name)) return true;
    return false;
  }

  /**
   * Reports the event to every target of the app that wants it; per target in call order. Never throws and never waits: while the
   * broker is away up to 10,000 reports (16 MiB) per target are kept, then the oldest are dropped and counted.
   */
  emit(app: AppConfig, event: WebhookEvent): void {
    if (!this.wants(app, event.name)) return;
    const { clock } = this.#options;
    if (event.name === 'cache_miss') {
      const channel = `${app.id} ${event.channel}`;
      if (this.#misses.has(channel, clock.monotonicMs())) return;
      this.#misses.add(channel, clock.monotonicMs());
    }
    const timeMs = clock.now();
    for (const target of targetsOf(app)) {
      if (!target.events.has(event.name)) continue;
      this.#reports += 1;
      const id = `${this.#edge}.${this.#reports}`;
      const report = { id, app: app.id, target: target.origin, timeMs, event };
      this.#bufferOf(target).push(encodeQueuedWebhook(report));
    }
  }

  /** Begins to send what the broker has for the targets that are configured. */
  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'started';
    this.#stopWatching = this.#options.onStatus?.(({ ready }) => {
      if (ready) return;
      for (const sender of this.#senders.values()) sender.revoke();
    });
    this.reload();
  }

  /** Takes up targets that are new; gives up what waits for those that are gone. */
  reload(): void {
    if (this.#state !== 'started') return;
    const targets = new Map<string, WebhookTarget>();
    for (const app of this.#options.apps()) {
      for (const target of targetsOf(app)) targets.set(target.id, target);
    }
    for (const [id, sender] of this.#senders) {
      const target = targets.get(id);
      if (target === undefined) this.#leave(id, sender);
      else {
        this.#keep(sender);
        // How many reports it may take at a time is said when it begins to consume.
        if (target.batch !== sender.target.batch) this.#end(id, sender);
      }
    }
    for (const target of targets.values()) this.#begin(target);
    for (const [id, buffer] of this.#buffers) {
      if (!targets.has(id) && buffer.size === 0) this.#buffers.delete(id);
    }
  }

  /**
   * Publishes what waits here and lets requests under way finish, both until the deadline; what was not sent stays in the broker for
   * other edges. Idempotent.
   */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#state === 'stopped') {
      await Promise.all(this.#stops);
      return;
    }
    this.#state = 'stopped';
    this.#stopWatching?.();
    for (const [id, sender] of this.#senders) {
      this.#keep(sender);
      this.#end(id, sender, deadlineMs);
    }
    this.#track(this.#flush(deadlineMs));
    await Promise.all(this.#stops);
  }

  async #flush(deadlineMs: number): Promise<void> {
    const flushed = new AbortController();
    const late = delay(this.#options.clock, deadlineMs, flushed.signal);
    const buffers = [...this.#buffers.values()];
    await Promise.race([late, Promise.all(buffers.map((buffer) => buffer.emptied()))]);
    flushed.abort();
    const lost = this.waiting;
    if (lost > 0) this.#options.log.warn({ lost }, 'webhook reports are lost: the broker is away');
    for (const buffer of buffers) buffer.close();
  }

  #begin(target: WebhookTarget): void {
    if (this.#senders.has(target.id)) return;
    const { queues, apps, clock, log, resolve } = this.#options;
    const sender = new TargetSender(target, {
      queues,
      apps,
      clock,
      log,
      resolve,
      meters: this.#meters,
      policy: this.#policy,
      timings: this.#timings,
    });
    this.#senders.set(target.id, sender);
    sender.start();
  }

  /** Until the youngest report has had its time, other edges may still send reports here. */
  #leave(id: string, sender: TargetSender): void {
    sender.wake();
    if (this.#leaving.has(sender)) return;
    const cancel = this.#options.clock.after(webhookLifetimeMs, () => {
      this.#leaving.delete(sender);
      this.#end(id, sender);
    });
    this.#leaving.set(sender, cancel);
  }

  #keep(sender: TargetSender): void {
    this.#leaving.get(sender)?.();
    this.#leaving.delete(sender);
  }

  #end(id: string, sender: TargetSender, deadlineMs = this.#timings.requestTimeoutMs): void {
    this.#senders.delete(id);
    this.#track(sender.stop(deadlineMs));
  }

  #track(stop: Promise<void>): void {
    this.#stops.add(stop);
    const forget = () => void this.#stops.delete(stop);
    stop.then(forget, forget);
  }

  #bufferOf(target: WebhookTarget): ConfirmedBuffer<Buffer> {
    const known = this.#buffers.get(target.id);
    if (known !== undefined) return known;
    const { queues, clock } = this.#options;
    const log = this.#options.log.child(logFields(target));
    const parts = {
      publish: (report: Buffer) => queues.publish(target.id, report),
      bytes: (report: Buffer) => report.length,
    };
    const buffer = new ConfirmedBuffer(parts, clock, this.#timings, {
      interrupted: (error) =>
        log.warn({ err: error }, 'webhook reports wait for the broker on this edge'),
      restored: (dropped) => log.info({ dropped }, 'webhook reports reach the broker again'),
      dropped: (reports) => this.#meters.dropped(reports),
    });
    this.#buffers.set(target.id, buffer);
    if (this.#state === 'stopped') buffer.close();
    return buffer;
  }

  #breakersOpen(): readonly (readonly [number, { readonly app: string }])[] {
    const open = new Map<string, number>();
    for (const { target, breakerClosed } of this.#senders.values()) {
      open.set(target.app, (open.get(target.app) ?? 0) + (breakerClosed ? 0 : 1));
    }
    return [...open].map(([app, count]) => [count, { app }]);
  }
}
