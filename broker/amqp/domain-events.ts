/** The router's queue over AMQP: bound as the contracts ask, consumed in order, refused events beside it with their reason. */
import type { Channel } from 'amqplib';
import { routerQueues, type TopologyNames } from '../../contracts/topology.ts';
import type { ConsumeOptions, Consumption, DomainEvents, OutgoingEvent } from '../port.ts';
import { publishDeadLetter } from './dead-letter.ts';
import { ensureQueue } from './declare.ts';
import { toIncomingEvent } from './message.ts';
import { type OrderedConsumerHost, OrderedConsumers } from './ordered-consumer.ts';

export interface DomainEventsOptions extends OrderedConsumerHost {
  readonly names: TopologyNames;
}

export class AmqpDomainEvents implements DomainEvents {
  readonly #options: DomainEventsOptions;
  readonly #consumers = new OrderedConsumers();

  constructor(options: DomainEventsOptions) {
    this.#options = options;
  }

  async consume(options: ConsumeOptions): Promise<Consumption> {
    const { names, publisher, clock } = this.#options;
    const patterns = new RouterPatterns(names, options.patterns);
    const consumer = await this.#consumers.start(this.#options, {
      queue: names.routerEvents,
      prefetch: options.prefetch,
      async declare(model) {
        for (const queue of routerQueues(names)) await ensureQueue(model, queue);
      },
      bind: (channel) => patterns.bind(channel),
      async handle(message) {
        const outcome = await options.handle(toIncomingEvent(message));
        if (outcome.kind === 'done') return;
        const { code, text } = outcome.refusal;
        await publishDeadLetter(publisher, names.routerDeadLetters, message, {
          reason: `${code}: ${text}`,
          code,
          nowMs: clock.now(),
          // What a service set is kept, and is worth more than noticing an operator's deletion.
          mandatory: message.properties.correlationId === undefined,
        });
      },
    });
    return {
      rebind: (next) => patterns.replace(next, consumer.channel),
      stop: (deadlineMs) => consumer.stop(deadlineMs),
    };
  }

  async publish(event: OutgoingEvent): Promise<void> {
    const { names, publisher } = this.#options;
    await publisher.publish(names.domainEvents, event.routingKey, event.body, {
      persistent: true,
      contentType: event.contentType ?? 'application/json',
      ...(event.headers === undefined ? {} : { headers: event.headers }),
      ...(event.messageId === undefined ? {} : { messageId: event.messageId }),
      ...(event.type === undefined ? {} : { type: event.type }),
    });
  }

  closeAll(): Promise<void> {
    return this.#consumers.stopAll();
  }
}

/** The bindings that the contracts ask for. */
class RouterPatterns {
  readonly #names: TopologyNames;
  #wanted: ReadonlySet<string>;

  constructor(names: TopologyNames, wanted: readonly string[]) {
    this.#names = names;
    this.#wanted = new Set(wanted);
  }

  async bind(channel: Channel): Promise<void> {
    const { routerEvents, domainEvents } = this.#names;
    for (const pattern of this.#wanted)
      await channel.bindQueue(routerEvents, domainEvents, pattern);
  }

  async replace(wanted: readonly string[], channel: Channel | undefined): Promise<void> {
    const before = this.#wanted;
    this.#wanted = new Set(wanted);
    // Without a channel, or where it breaks on the way, the next one binds what is wanted by then.
    if (channel === undefined) return;
    await this.bind(channel);
    const { routerEvents, domainEvents } = this.#names;
    for (const pattern of before) {
      if (!this.#wanted.has(pattern))
        await channel.unbindQueue(routerEvents, domainEvents, pattern);
    }
  }
}
