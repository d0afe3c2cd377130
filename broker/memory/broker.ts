/**
 * The embedded broker: RabbitMQ's semantics in one process, for trying things out and for fast tests.
 *
 * It survives nothing: domain events, dead letters and parked sessions live as long as the process. Everything is bounded. Beyond
 * its bound a session's, an edge's or a bus member's queue drops the oldest messages, the dead-letter queue the oldest letters, and
 * of the parked sessions the oldest is dropped; domain events beyond theirs are refused to the publisher.
 */
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Broker } from '../port.ts';
import { createChannelPublisher } from './channel-publisher.ts';
import { Connection } from './connection.ts';
import { createDomainEvents, type MemoryDomainEvents } from './domain-events.ts';
import { createEdgeBus } from './edge-bus.ts';
import { createEdgeQueues } from './edge-queues.ts';
import { type BrokerCounts, Host } from './host.ts';
import type { DeadLetter } from './router-queue.ts';
import { createSessionQueues } from './session-queues.ts';

export interface MemoryBrokerOptions {
  readonly clock: Clock;
  readonly names?: TopologyNames;
  /** Events in the router's queue. Default 100,000. */
  readonly maxDomainEvents?: number;
  /** Default 1,000. */
  readonly maxDeadLetters?: number;
  /** Default 10,000. */
  readonly maxParkedSessions?: number;
  /** Unconfirmed publications per connection. Default 10,000. */
  readonly maxUnconfirmed?: number;
}

/** One connection to an embedded broker. Routers and edges of a process may share it, or have one `peer` each. */
export interface MemoryBroker extends Broker {
  readonly domainEvents: MemoryDomainEvents;
  /** A further connection to the same broker, as another process would have; closing one leaves the others open. */
  peer(): MemoryBroker;
  /** Refused events, oldest first. */
  deadLetters(): readonly DeadLetter[];
  /** What there is besides the durable topology, over all connections. */
  counts(): BrokerCounts;
  /** Breaks this connection; it is back a turn of the event loop later. */
  interrupt(): void;
  /** `false` breaks this connection and keeps it away; `true` brings it back. */
  setReachable(reachable: boolean): void;
  /**
   * `true` takes the broker away from all connections, `false` brings it back, as a restart: session and edge queues are lost,
   * parked ones too; domain events and dead letters are kept.
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
    status: () => connection.status(),
    onStatus: (listener) => connection.onStatus(listener),
    async close() {
      connection.close();
    },
    peer: () => connect(host),
    deadLetters: () => host.router.deadLetters(),
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
