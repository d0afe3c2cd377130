/** Domain events in: publishes them, and consumes the router's queue in order. */
import { maxRoutingKeyBytes } from '../../contracts/routing-key.ts';
import { BrokerError } from '../errors.ts';
import type { DomainEvents, OutgoingEvent } from '../port.ts';
import type { Connection } from './connection.ts';
import { OrderedConsumer } from './ordered-consumer.ts';
import type { StoredEvent } from './router-queue.ts';
import { closedError } from './waiters.ts';

/** An event as any AMQP client could publish it. */
export interface ForeignEvent extends OutgoingEvent {
  readonly contentEncoding?: string;
  readonly userId?: string;
}

export interface MemoryDomainEvents extends DomainEvents {
  publish(event: ForeignEvent): Promise<void>;
}

export function createDomainEvents(connection: Connection): MemoryDomainEvents {
  const { router, names } = connection.host;
  return {
    async consume(options) {
      await connection.whenUp();
      // Names this consumer's say in the bindings.
      const own = {};
      router.bind(own, options.patterns);
      const consumer = new OrderedConsumer<StoredEvent>(connection, {
        line: router.line,
        prefetch: options.prefetch,
        async handle(event, redelivered) {
          const outcome = await options.handle({ ...event, redelivered });
          if (outcome.kind === 'done') return undefined;
          return () => router.deadLetter(event, outcome.refusal);
        },
        ended: () => router.release(own),
      });
      return {
        async rebind(patterns) {
          await connection.whenUp();
          if (consumer.hasEnded) throw closedError();
          router.bind(own, patterns);
        },
        stop: (deadlineMs) => consumer.stop(deadlineMs),
      };
    },
    async publish(event) {
      const stored = storedEvent(event, names.domainEvents);
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
