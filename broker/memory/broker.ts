/**
 * The embedded broker: RabbitMQ's semantics in one process, for trying things out and for fast tests.
 *
 * It survives nothing: domain events, reports, dead letters, cached publications and parked sessions live as long as the process.
 * Everything is bounded. Beyond its bound a session's, an edge's or a bus member's queue drops the oldest messages, the cache the
 * oldest publications, a dead-letter queue the oldest letters, and of the parked sessions the oldest is dropped; a webhook queue
 * dead-letters the oldest reports; domain events beyond theirs are refused to the publisher.
 */
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import type { Clock } from '../../runtime/clock.ts';
import { type Broker, type DeadLetters, webhookLifetimeMs } from '../port.ts';
import { createChannelPublisher } from './channel-publisher.ts';
import {
  type ClientEventListener,
  createClientEvents,
  listenToClientEvents,
} from './client-events.ts';
import { Connection } from './connection.ts';
import { createDeadLetters } from './dead-letters.ts';
import { createDomainEvents, type MemoryDomainEvents } from './domain-events.ts';
import { createEdgeBus } from './edge-bus.ts';
import { createEdgeQueues } from './edge-queues.ts';
import { type BrokerCounts, Host } from './host.ts';
import { createPublicationCache } from './publication-cache.ts';
import type { RefusedEvent } from './router-queue.ts';
import { createSessionQueues } from './session-queues.ts';
import { createWebhookQueues } from './webhook-queues.ts';
import type { WebhookDeadLetter } from './webhook-reports.ts';

export interface MemoryBrokerOptions {
  readonly clock: Clock;
  readonly names?: TopologyNames;
  /** Events in the router's queue. Default 100,000. */
  readonly maxDomainEvents?: number;
  /** Of the router, and of webhooks. Default 1,000. */
  readonly maxDeadLetters?: number;
  /** Default 10,000. */
  readonly maxParkedSessions?: number;
  /** Unconfirmed publications per connection. Default 10,000. */
  readonly maxUnconfirmed?: number;
  /** Frames of cached publications, in bytes. Default 64,000,000. */
  readonly maxCachedBytes?: number;
  /** Default `webhookLifetimeMs`. */
  readonly webhookLifetimeMs?: number;
  /** Reports that wait for one target. Default 10,000. */
  readonly maxWebhookReports?: number;
}

/** One connection to an embedded broker. Routers and edges of a process may share it, or have one `peer` each. */
export interface MemoryBroker extends Broker {
  readonly domainEvents: MemoryDomainEvents;
  /** A further connection to the same broker, as another process would have; closing one leaves the others open. */
  peer(): MemoryBroker;
  /** Refused events, oldest first. */
  deadLetters(): readonly RefusedEvent[];
  /** Reports that were given up, oldest first. */
  webhookDeadLetters(): readonly WebhookDeadLetter[];
  /** Hears what a service would with a queue of its own, from now on. Returns the way to stop. */
  listen(pattern: string, listener: ClientEventListener): () => void;
  /** A topic exchange of somebody else, to publish to with `domainEvents.publish`. There is `amq.topic` from the start. */
  declareExchange(name: string): void;
  /** A queue of somebody else, to publish to by way of the exchange `''`. */
  declareQueue(name: string): void;
  /** The same for an operator, over this connection. */
  operate(): DeadLetters;
  /** What there is besides the durable topology, over all connections. */
  counts(): BrokerCounts;
  /** Breaks this connection; it is back a turn of the event loop later. */
  interrupt(): void;
  /** `false` breaks this connection and keeps it away; `true` brings it back. */
  setReachable(reachable: boolean): void;
  /**
   * `true` takes the broker away from all connections, `false` brings it back, as a restart: session and edge queues are lost,
   * parked ones too; domain events, reports, dead letters and cached publications are kept.
   */
  setOutage(on: boolean): void;
  /** While on, publishers are refused and consumers go on. */
  setMemoryAlarm(on: boolean): void;
}

export function createMemoryBroker(options: MemoryBrokerOptions): MemoryBroker {
  const host = new Host({
    clock: options.clock,
    names: options.names ?? topologyNames(),
    maxDomainEvents: options.maxDomainEvents ?? 100_000,
    maxDeadLetters: options.maxDeadLetters ?? 1_000,
    maxParkedSessions: options.maxParkedSessions ?? 10_000,
    maxUnconfirmed: options.maxUnconfirmed ?? 10_000,
    maxCachedBytes: options.maxCachedBytes ?? 64_000_000,
    webhookLifetimeMs: options.webhookLifetimeMs ?? webhookLifetimeMs,
    maxWebhookReports: options.maxWebhookReports ?? 10_000,
  });
  return connect(host);
}

function connect(host: Host): MemoryBroker {
  const connection = new Connection(host);
  return {
    domainEvents: createDomainEvents(connection),
    channelPublisher: createChannelPublisher(connection),
    sessionQueues: createSessionQueues(connection),
    edgeQueues: createEdgeQueues(connection),
    edgeBus: createEdgeBus(connection),
    publicationCache: createPublicationCache(connection),
    webhookQueues: createWebhookQueues(connection),
    clientEvents: createClientEvents(connection),
    status: () => connection.status(),
    onStatus: (listener) => connection.onStatus(listener),
    async close() {
      connection.close();
    },
    peer: () => connect(host),
    deadLetters: () => host.router.deadLetters(),
    webhookDeadLetters: () => host.webhooks.deadLetters(),
    listen: (pattern, listener) => listenToClientEvents(connection, pattern, listener),
    declareExchange: (name) => host.foreign.declareExchange(name),
    declareQueue: (name) => host.foreign.declareQueue(name),
    operate: () => createDeadLetters(connection),
    counts: () => host.counts(),
    interrupt() {
      connection.setReachable(false);
      host.turns.later(() => connection.setReachable(true));
    },
    setReachable: (reachable) => connection.setReachable(reachable),
    setOutage: (on) => host.setOutage(on),
    setMemoryAlarm: (on) => host.setMemoryAlarm(on),
  };
}
