/**
 * A consumer of a durable queue over AMQP: handled in queue order, settled in queue order.
 *
 * A channel that closes gives back what was not acknowledged, in order and to the head of the queue. Cancel or nack would reorder
 * (measured on classic and quorum queues), so closing the channel is the only way in which this consumer ever lets go.
 */
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import type { Link, LinkMember, LinkSession } from './link.ts';

export interface OrderedConsumerHost {
  readonly link: Link;
  readonly publisher: ConfirmPublisher;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OrderedConsumerSpec {
  readonly queue: string;
  readonly prefetch: number;
  /** Refuses to share the queue, where its type knows of that. Default: false. */
  readonly exclusive?: boolean;
  /** Between attempts on a connection that is itself alive. Default: 200 ms. */
  readonly retryAfterMs?: number;
  /** Why it does not consume, on every attempt, or undefined when it does. Default: a line in the log. */
  problem?(error: unknown): void;
  /** Declares what is missing, on channels of its own. */
  declare(model: ChannelModel): Promise<void>;
  /** Binds the queue, before it is consumed. */
  bind(channel: Channel): Promise<void>;
  /** The message is removed when this resolves; a rejection means that it stays, and comes again. */
  handle(message: ConsumeMessage): Promise<void>;
}

/** Those of one port, so that closing the broker ends them. */
export class OrderedConsumers {
  readonly #running = new Set<OrderedConsumer>();

  /** Consumes as soon as it can, and until it is stopped. */
  add(host: OrderedConsumerHost, spec: OrderedConsumerSpec): OrderedConsumer {
    const consumer = new OrderedConsumer(host, spec, () => this.#running.delete(consumer));
    this.#running.add(consumer);
    return consumer;
  }

  /** Resolves when it consumes; rejects, and leaves nothing behind, with what made that impossible for good. */
  async start(host: OrderedConsumerHost, spec: OrderedConsumerSpec): Promise<OrderedConsumer> {
    const consumer = this.add(host, spec);
    try {
      await consumer.consuming;
    } catch (error) {
      // Whoever was told no may ask again: this one must not come to life beside the next.
      await consumer.stop(0);
      throw error;
    }
    return consumer;
  }

  async stopAll(): Promise<void> {
    await Promise.allSettled([...this.#running].map((consumer) => consumer.stop(0)));
  }
}

/** Between looks at whether the publisher is back, and after an error on a connection that is itself alive. */
const retryMs = 200;

/** A message in hand. Entries leave from the front only. */
interface Entry {
  readonly message: ConsumeMessage;
  settled: boolean;
}

export class OrderedConsumer implements LinkMember {
  readonly #host: OrderedConsumerHost;
  readonly #spec: OrderedConsumerSpec;
  readonly #onStop: () => void;
  readonly #inHand: Entry[] = [];
  /** Resolves when it consumes for the first time; rejects with what made that impossible for good, or `closed`. */
  readonly consuming: Promise<void>;
  #channel: Channel | undefined;
  #consumingNow: () => void = () => undefined;
  #refused: (error: BrokerError) => void = () => undefined;
  #ackScheduled = false;
  /** A message failed: nothing more is handled on this channel. */
  #failing = false;
  #stopped: Promise<void> | undefined;
  /** Handlers that have not settled, also those of a channel that is gone. */
  #running = 0;
  #whenQuiet: (() => void)[] = [];

  constructor(host: OrderedConsumerHost, spec: OrderedConsumerSpec, onStop: () => void) {
    this.#onStop = onStop;
    this.#host = host;
    this.#spec = spec;
    this.consuming = new Promise((resolve, reject) => {
      this.#consumingNow = resolve;
      this.#refused = reject;
    });
    this.consuming.catch(() => undefined);
    if (host.link.stopped.aborted) this.#refused(new BrokerError('closed', 'the broker is closed'));
    else host.link.add(this);
  }

  /** Gives everything in hand back to the queue and begins anew, as after a loss of the channel. */
  async restart(): Promise<void> {
    await this.#channel?.close().catch(() => undefined);
  }

  attached(session: LinkSession): void {
    void this.#open(session);
  }

  detached(): void {
    this.#letGo();
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop(deadlineMs);
    this.#onStop();
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
      // A message must not be handled again beside its own former handling.
      await this.#quiet();
      if (this.#over(session)) return;
      await this.#spec.declare(session.model);
      const channel = await session.model.createChannel();
      let established = false;
      channel.on('error', (error) => {
        const fields = { err: error, queue: this.#spec.queue };
        if (established || this.#spec.problem === undefined) {
          this.#host.log.warn(fields, 'consuming channel closed by the broker');
        }
      });
      channel.on('handler-error', (error, event) => {
        this.#host.log.error({ err: error, event }, 'channel event handler failed');
      });
      channel.on('close', () => {
        if (this.#channel !== channel) return;
        this.#letGo();
        // Before that, the request that it took along is rejected, and that leads to the next attempt: two would compete.
        if (established) void this.#reopen(session);
      });
      await this.#spec.bind(channel);
      await channel.prefetch(this.#spec.prefetch);
      if (this.#over(session)) {
        await channel.close().catch(() => undefined);
        return;
      }
      this.#channel = channel;
      await channel.consume(this.#spec.queue, (message) => this.#delivered(channel, message), {
        exclusive: this.#spec.exclusive ?? false,
      });
      if (this.#channel !== channel) throw new Error('the channel closed at once');
      established = true;
      this.#spec.problem?.(undefined);
      this.#consumingNow();
    } catch (error) {
      if (this.#over(session)) return;
      if (error instanceof BrokerError && !error.retryable) this.#refused(error);
      if (this.#spec.problem !== undefined) this.#spec.problem(error);
      else this.#host.log.warn({ err: error, queue: this.#spec.queue }, 'cannot consume');
      this.#letGo();
      await this.#reopen(session);
    }
  }

  async #reopen(session: LinkSession): Promise<void> {
    await delay(this.#host.clock, this.#spec.retryAfterMs ?? retryMs, session.ended);
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
    // After a failure, and while stopping, messages are left to the broker: they return to the queue when the channel closes.
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

  /** A handler that throws instead of rejecting has failed all the same. */
  async #handle(message: ConsumeMessage): Promise<void> {
    await this.#spec.handle(message);
  }

  /** Resolves when every handler that was called has settled. */
  #quiet(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenQuiet.push(resolve);
    });
  }

  /** Stops at this message and starts again from it. What was handled behind it may be handled once more. */
  async #failed(channel: Channel, error: unknown): Promise<void> {
    if (this.#channel !== channel || this.#failing) return;
    this.#failing = true;
    this.#host.log.warn(
      { err: error, queue: this.#spec.queue },
      'a message could not be passed on; consuming again from it',
    );
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
