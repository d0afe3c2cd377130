/**
 * The router's queue over AMQP: single active consumer, handled in queue order, settled in queue order.
 *
 * A channel that closes gives back what was not acknowledged, in order and to the head of the queue. Cancel or nack would reorder
 * (measured on classic and quorum queues), so closing the channel is the only way in which this consumer ever lets go.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import type { Refusal } from '../../contracts/errors.ts';
import { type TopologyNames, topology } from '../../contracts/topology.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';
import type { ConsumeOptions, Consumption, DomainEvents, OutgoingEvent } from '../port.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import { deadLetterProperties } from './dead-letter.ts';
import { ensureQueue } from './declare.ts';
import type { Link, LinkMember, LinkSession } from './link.ts';
import { toIncomingEvent } from './message.ts';

export interface DomainEventsOptions {
  readonly link: Link;
  readonly publisher: ConfirmPublisher;
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly log: Log;
}

/** Between looks at whether the publisher is back, and after an error on a connection that is itself alive. */
const retryMs = 200;

export class AmqpDomainEvents implements DomainEvents {
  readonly #options: DomainEventsOptions;
  readonly #consumers = new Set<RouterConsumer>();

  constructor(options: DomainEventsOptions) {
    this.#options = options;
  }

  async consume(options: ConsumeOptions): Promise<Consumption> {
    const consumer = new RouterConsumer(this.#options, options);
    this.#consumers.add(consumer);
    try {
      await consumer.consuming;
    } catch (error) {
      this.#consumers.delete(consumer);
      throw error;
    }
    return {
      rebind: (patterns) => consumer.rebind(patterns),
      stop: (deadlineMs) => {
        this.#consumers.delete(consumer);
        return consumer.stop(deadlineMs);
      },
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

  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#consumers].map((consumer) => consumer.stop(0)));
  }
}

/** An event in hand. Entries leave from the front only. */
interface Entry {
  readonly message: ConsumeMessage;
  settled: boolean;
}

class RouterConsumer implements LinkMember {
  readonly #host: DomainEventsOptions;
  readonly #consume: ConsumeOptions;
  readonly #inHand: Entry[] = [];
  readonly consuming: Promise<void>;
  #patterns: ReadonlySet<string>;
  #channel: Channel | undefined;
  #consumingNow: () => void = () => undefined;
  #refused: (error: BrokerError) => void = () => undefined;
  #ackScheduled = false;
  /** An event failed: nothing more is handled on this channel. */
  #failing = false;
  #stopped: Promise<void> | undefined;
  /** Handlers that have not settled, also those of a channel that is gone. */
  #running = 0;
  #whenQuiet: (() => void)[] = [];

  constructor(host: DomainEventsOptions, consume: ConsumeOptions) {
    this.#host = host;
    this.#consume = consume;
    this.#patterns = new Set(consume.patterns);
    this.consuming = new Promise((resolve, reject) => {
      this.#consumingNow = resolve;
      this.#refused = reject;
    });
    this.consuming.catch(() => undefined);
    host.link.add(this);
  }

  attached(session: LinkSession): void {
    void this.#open(session);
  }

  detached(): void {
    this.#letGo();
  }

  async rebind(patterns: readonly string[]): Promise<void> {
    const before = this.#patterns;
    this.#patterns = new Set(patterns);
    // Without a channel, or where it breaks on the way, the next one binds what is wanted by then.
    const channel = this.#channel;
    if (channel === undefined) return;
    const { routerEvents, domainEvents } = this.#host.names;
    for (const pattern of this.#patterns)
      await channel.bindQueue(routerEvents, domainEvents, pattern);
    for (const pattern of before) {
      if (!this.#patterns.has(pattern))
        await channel.unbindQueue(routerEvents, domainEvents, pattern);
    }
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop(deadlineMs);
    return this.#stopped;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const over = new AbortController();
    await Promise.race([this.#quiet(), delay(this.#host.clock, deadlineMs, over.signal)]);
    over.abort();
    this.#acknowledge();
    this.#host.link.remove(this);
    this.#refused(new BrokerError('closed', 'consumption was stopped'));
    const channel = this.#channel;
    this.#letGo();
    await channel?.close().catch(() => undefined);
  }

  async #open(session: LinkSession): Promise<void> {
    try {
      await this.#publisherReady(session);
      // An event must not be handled again beside its own former handling.
      await this.#quiet();
      if (this.#over(session)) return;
      for (const queue of topology(this.#host.names).queues)
        await ensureQueue(session.model, queue);
      const channel = await session.model.createChannel();
      channel.on('error', (error) => {
        this.#host.log.warn({ err: error }, 'router channel closed by the broker');
      });
      channel.on('handler-error', (error, event) => {
        this.#host.log.error({ err: error, event }, 'router channel event handler failed');
      });
      channel.on('close', () => {
        if (this.#channel !== channel) return;
        this.#letGo();
        void this.#reopen(session);
      });
      const { routerEvents, domainEvents } = this.#host.names;
      for (const pattern of this.#patterns) {
        await channel.bindQueue(routerEvents, domainEvents, pattern);
      }
      await channel.prefetch(this.#consume.prefetch);
      if (this.#over(session)) return;
      this.#channel = channel;
      await channel.consume(routerEvents, (message) => this.#delivered(channel, message));
      this.#consumingNow();
    } catch (error) {
      if (this.#over(session)) return;
      if (error instanceof BrokerError && !error.retryable) this.#refused(error);
      this.#host.log.warn({ err: error }, 'cannot consume domain events');
      this.#letGo();
      await this.#reopen(session);
    }
  }

  async #reopen(session: LinkSession): Promise<void> {
    await delay(this.#host.clock, retryMs, session.ended);
    if (!this.#over(session)) await this.#open(session);
  }

  /** Consuming while nothing can be published would only turn the queue over and over. */
  async #publisherReady(session: LinkSession): Promise<void> {
    while (!this.#host.publisher.ready && !this.#over(session)) {
      await delay(this.#host.clock, retryMs, session.ended);
    }
  }

  #over(session: LinkSession): boolean {
    return this.#stopped !== undefined || session.ended.aborted;
  }

  #delivered(channel: Channel, message: ConsumeMessage | null): void {
    // After a failure, and while stopping, events are left to the broker: they return to the queue when the channel closes.
    if (this.#stopped !== undefined || this.#failing || this.#channel !== channel) return;
    if (message === null) {
      // Somebody deleted the queue: a new channel declares and binds it again.
      void channel.close().catch(() => undefined);
      return;
    }
    const entry: Entry = { message, settled: false };
    this.#inHand.push(entry);
    this.#running += 1;
    void this.#handle(message)
      .then(
        () => {
          entry.settled = true;
          this.#scheduleAcknowledge();
        },
        (error: unknown) => void this.#failed(channel, error),
      )
      .finally(() => {
        this.#running -= 1;
        if (this.#running > 0) return;
        for (const call of this.#whenQuiet.splice(0)) call();
      });
  }

  /** Resolves when every handler that was called has settled. */
  #quiet(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenQuiet.push(resolve);
    });
  }

  async #handle(message: ConsumeMessage): Promise<void> {
    const outcome = await this.#consume.handle(toIncomingEvent(message));
    if (outcome.kind === 'dead-letter') await this.#deadLetter(message, outcome.refusal);
  }

  async #deadLetter(message: ConsumeMessage, refusal: Refusal): Promise<void> {
    const { publisher, names, clock } = this.#host;
    await publisher.publish(
      '',
      names.routerDeadLetters,
      message.content,
      deadLetterProperties(message, refusal, clock.now()),
    );
  }

  /** Stops at this event and starts again from it. What was handled behind it may be handled once more. */
  async #failed(channel: Channel, error: unknown): Promise<void> {
    if (this.#channel !== channel || this.#failing) return;
    this.#failing = true;
    this.#host.log.warn({ err: error }, 'an event could not be passed on; consuming again from it');
    await this.#quiet();
    // Stopping, or the connection is gone: whoever does that lets go.
    if (this.#channel !== channel || this.#stopped !== undefined) return;
    this.#acknowledge();
    this.#letGo();
    const { session } = this.#host.link;
    await channel.close().catch(() => undefined);
    if (session !== undefined && !this.#over(session)) await this.#reopen(session);
  }

  #letGo(): void {
    this.#channel = undefined;
    this.#failing = false;
    this.#inHand.length = 0;
  }

  /** One acknowledgement for all that settled in a turn of the event loop. */
  #scheduleAcknowledge(): void {
    if (this.#ackScheduled) return;
    this.#ackScheduled = true;
    setImmediate(() => {
      this.#ackScheduled = false;
      this.#acknowledge();
    });
  }

  #acknowledge(): void {
    const channel = this.#channel;
    if (channel === undefined) return;
    let last: Entry | undefined;
    while (this.#inHand[0]?.settled === true) last = this.#inHand.shift();
    if (last === undefined) return;
    try {
      channel.ack(last.message, true);
    } catch {
      // The channel is closing; the broker hands these out again.
      return;
    }
  }
}
