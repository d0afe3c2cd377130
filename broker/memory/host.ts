/** The embedded broker itself: what all connections to it share. */
import type { EgressEvent } from '../../contracts/egress-event.ts';
import type { Publication } from '../../contracts/publication.ts';
import type { TopologyNames } from '../../contracts/topology.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { BusMessage } from '../port.ts';
import { CacheLog } from './cache-log.ts';
import { ContinuityQueues } from './continuity-queues.ts';
import { TopicExchange } from './exchange.ts';
import { ForeignQueues } from './foreign-queues.ts';
import { Queue } from './queue.ts';
import { RouterQueue } from './router-queue.ts';
import { createTurns, type Turns } from './turns.ts';
import { WebhookReports } from './webhook-reports.ts';

export interface HostOptions {
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly maxDomainEvents: number;
  readonly maxDeadLetters: number;
  readonly maxParkedSessions: number;
  readonly maxUnconfirmed: number;
  readonly maxCachedBytes: number;
  readonly webhookLifetimeMs: number;
  readonly maxWebhookReports: number;
}

/** What the broker holds besides its durable topology; all zero when nobody uses it. */
export interface BrokerCounts {
  readonly queues: number;
  readonly bindings: number;
  readonly consumers: number;
}

export class Host {
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly maxUnconfirmed: number;
  readonly turns: Turns = createTurns();
  readonly connections = new Set<{ refresh(): void }>();
  readonly channels = new TopicExchange<Queue<Publication>>();
  readonly edges = new TopicExchange<Queue<BusMessage>>();
  /** Whoever listens takes each event at once, so nothing waits here. */
  readonly clients = new TopicExchange<(event: EgressEvent) => void>();
  readonly foreign: ForeignQueues;
  readonly router: RouterQueue;
  readonly continuity: ContinuityQueues;
  readonly cache: CacheLog;
  readonly webhooks: WebhookReports;
  /** Queues that end with their connection. */
  readonly #exclusive = new Set<{ readonly consumed: boolean }>();
  #lastEpoch = 0;
  #outage = false;
  #alarm = false;

  constructor(options: HostOptions) {
    this.names = options.names;
    this.clock = options.clock;
    this.maxUnconfirmed = options.maxUnconfirmed;
    this.foreign = new ForeignQueues(this.turns, [options.names.domainEvents, 'amq.topic']);
    this.router = new RouterQueue(this.turns, this.foreign, options);
    this.continuity = new ContinuityQueues(this.turns, this.channels, options);
    this.cache = new CacheLog(options);
    this.webhooks = new WebhookReports(this.turns, options);
  }

  get outage(): boolean {
    return this.#outage;
  }

  get alarm(): boolean {
    return this.#alarm;
  }

  /** As a restart of the broker: connections break, and session and edge queues lose what they hold. */
  setOutage(on: boolean): void {
    if (on === this.#outage) return;
    this.#outage = on;
    this.#refresh();
    if (on) this.continuity.clear();
  }

  setMemoryAlarm(on: boolean): void {
    this.#alarm = on;
    this.#refresh();
  }

  declareExclusive<M>(maxLength: number): Queue<M> {
    const queue = new Queue<M>(this.turns, maxLength);
    this.#exclusive.add(queue);
    return queue;
  }

  deleteExclusive<M>(queue: Queue<M>, exchange: TopicExchange<Queue<M>>): void {
    exchange.forget(queue);
    queue.cancel();
    this.#exclusive.delete(queue);
  }

  /** Never the same twice, so that an acknowledgement cannot reach another life of a queue. */
  nextEpoch(): number {
    this.#lastEpoch += 1;
    return this.#lastEpoch;
  }

  counts(): BrokerCounts {
    const consumed = [...this.#exclusive].filter((queue) => queue.consumed).length;
    return {
      queues: this.#exclusive.size + this.continuity.size,
      bindings: this.channels.bindings + this.edges.bindings,
      consumers:
        consumed +
        this.continuity.consumers +
        this.router.line.length +
        this.cache.readers +
        this.webhooks.consumers,
    };
  }

  #refresh(): void {
    for (const connection of [...this.connections]) connection.refresh();
  }
}
