/** Domain events in: publishes them, and consumes the router's queue in order. */
import { maxRoutingKeyBytes } from '../../contracts/routing-key.ts';
import { BrokerError } from '../errors.ts';
import type { DomainEvents, OutgoingEvent } from '../port.ts';
import type { Connection } from './connection.ts';
import { RouterConsumption } from './router-consumption.ts';
import type { StoredEvent } from './stored-event.ts';

/** An event as any AMQP client could publish it. */
export interface ForeignEvent extends OutgoingEvent {
  /** Default: the one of the services; `''` leads to the queue that the routing key names. */
  readonly exchange?: string;
  readonly contentEncoding?: string;
  readonly userId?: string;
}

export interface MemoryDomainEvents extends DomainEvents {
  publish(event: ForeignEvent): Promise<void>;
}

export function createDomainEvents(connection: Connection): MemoryDomainEvents {
  const { router, foreign, names } = connection.host;
  return {
    async consume(options) {
      await connection.whenUp();
      return new RouterConsumption(connection, options);
    },
    async publish(event) {
      const stored = storedEvent(event, event.exchange ?? names.domainEvents);
      if (stored.exchange !== '' && foreign.exchange(stored.exchange) === undefined) {
        throw new BrokerError('broker_topology', `there is no exchange ${stored.exchange}`);
      }
      const accepted = await connection.publish(() => router.offer(stored));
      if (!accepted) throw new BrokerError('broker_refused', 'the router’s queue is full');
    },
  };
}

function storedEvent(event: ForeignEvent, exchange: string): StoredEvent {
  const { routingKey, headers = {}, ...rest } = event;
  if (Buffer.byteLength(routingKey, 'utf8') > maxRoutingKeyBytes) {
    const text = `the routing key exceeds ${maxRoutingKeyBytes} bytes`;
    throw new BrokerError('broker_topology', text);
  }
  const own: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(headers)) own[name] = value;
  return { ...rest, exchange, routingKey, headers: own };
}
