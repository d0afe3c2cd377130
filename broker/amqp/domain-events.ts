/** Domain events over AMQP: published, and consumed by whichever router leads. */
import type { ConsumeOptions, Consumption, DomainEvents, OutgoingEvent } from '../port.ts';
import { OrderedConsumers } from './ordered-consumer.ts';
import { RouterConsumption } from './router-consumption.ts';
import type { RouterLeadHost } from './router-lead.ts';

export class AmqpDomainEvents implements DomainEvents {
  readonly #options: RouterLeadHost;
  readonly #consumers = new OrderedConsumers();
  /** One for each router of the process, so few that those that have stopped may stay. */
  readonly #running = new Set<RouterConsumption>();

  constructor(options: RouterLeadHost) {
    this.#options = options;
  }

  async consume(options: ConsumeOptions): Promise<Consumption> {
    const consumption = new RouterConsumption(this.#options, this.#consumers, options);
    this.#running.add(consumption);
    try {
      await consumption.started();
    } catch (error) {
      // Whoever was told no may ask again: this one must not come to life beside the next.
      await consumption.stop(0);
      this.#running.delete(consumption);
      throw error;
    }
    return consumption;
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

  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#running].map((consumption) => consumption.stop(0)));
    this.#running.clear();
  }
}
