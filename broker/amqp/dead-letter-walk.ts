/**
 * One walk over a dead-letter queue.
 *
 * Letters are taken by consumers, a page each, because RabbitMQ gives back what one consumer holds in order, and what was taken by
 * `basic.get` in any order (seen on 3.10, where each get counts as a consumer of its own). Of up to 32 consumers of a channel it gives
 * back the pages in order of their tags, beyond that in any order.
 */
import type { Channel, ChannelModel, ConfirmChannel, ConsumeMessage, Options } from 'amqplib';
import { type DeadLetter, readDeadLetter, replayHeaders } from '../../contracts/dead-letter.ts';
import type { TopologyNames } from '../../contracts/topology.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import { type DeadLetterTally, type DeadLetterWalk, maxDeadLetterWalk } from '../port.ts';
import { keptProperties } from './dead-letter.ts';
import { destroy, replyCode, replyCodeOf, toBrokerError } from './link.ts';
import { toMessageEvent } from './message.ts';

export interface DeadLetterWalkParts {
  readonly model: ChannelModel;
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly confirmTimeoutMs: number;
}

/** 30 pages make the longest walk, and one more consumer flushes acknowledgements. */
const pageSize = Math.ceil(maxDeadLetterWalk / 30);
/** Someone else took what was counted: so long without a letter, the page is what has come. */
const quietMs = 3_000;
/** Longest wait for letters to be back in the queue. */
const returnMs = 2_000;

export class AmqpDeadLetterWalk {
  readonly #parts: DeadLetterWalkParts;
  readonly #walk: DeadLetterWalk;
  readonly #queue: string;
  #tally: DeadLetterTally = { total: 0, visited: 0, dropped: 0, replayed: 0 };
  #publisher: ConfirmChannel | undefined;
  #unroutable = false;
  #blocked = false;

  constructor(parts: DeadLetterWalkParts, walk: DeadLetterWalk) {
    const { limit } = walk;
    if (!Number.isInteger(limit) || limit < 1 || limit > maxDeadLetterWalk) {
      throw new RangeError(`a walk visits 1 to ${maxDeadLetterWalk} letters, not ${limit}`);
    }
    this.#parts = parts;
    this.#walk = walk;
    const { names } = parts;
    this.#queue = walk.queue === 'events' ? names.routerDeadLetters : names.webhookDeadLetters;
  }

  async run(): Promise<DeadLetterTally> {
    const { model } = this.#parts;
    const blocked = () => {
      this.#blocked = true;
    };
    model.on('blocked', blocked);
    const channel = await this.#answer(model.createChannel());
    // A refusal reaches whoever waits for it; the event itself must have a listener.
    channel.on('error', () => undefined);
    try {
      await this.#visitAll(channel);
      await this.#flush(channel);
      await this.#ask(channel.close(), 'closing the channel');
      await this.#untilReturned();
      return this.#tally;
    } catch (error) {
      // Whatever it was: the letters go back with the channel.
      await channel.close().catch(() => undefined);
      await this.#untilReturned().catch(() => undefined);
      throw error;
    } finally {
      await this.#publisher?.close().catch(() => undefined);
      model.off('blocked', blocked);
    }
  }

  async #visitAll(channel: Channel): Promise<void> {
    const { messageCount: total } = await this.#ask(
      channel.checkQueue(this.#queue),
      `looking at queue ${this.#queue}`,
    );
    this.#tally = { ...this.#tally, total };
    const goal = Math.min(total, this.#walk.limit);
    for (let page = 0; this.#tally.visited < goal && !this.#aborted; page += 1) {
      const wanted = Math.min(pageSize, goal - this.#tally.visited);
      const taken = await this.#take(channel, `page-${String(page).padStart(2, '0')}`, wanted);
      await this.#settle(channel, taken);
      this.#walk.progress?.(this.#tally);
      if (taken.length < wanted) break;
    }
  }

  get #aborted(): boolean {
    return this.#walk.signal?.aborted === true;
  }

  /** The next letters, in queue order; they stay in hand until they are acknowledged or the channel goes. */
  async #take(channel: Channel, consumerTag: string, count: number): Promise<ConsumeMessage[]> {
    const taken: ConsumeMessage[] = [];
    const { clock } = this.#parts;
    const { signal } = this.#walk;
    let finish = (_end: 'taken' | 'closed') => {};
    let cancelQuiet = () => {};
    const end = new Promise<'taken' | 'closed'>((resolve) => {
      finish = resolve;
    });
    const watch = () => {
      cancelQuiet();
      cancelQuiet = clock.after(quietMs, () => finish('taken'));
    };
    const received = (message: ConsumeMessage | null) => {
      if (message !== null) taken.push(message);
      // Without a message the broker has cancelled the consumer: no more will come.
      if (message === null || taken.length >= count) finish('taken');
      else watch();
    };
    const closed = () => finish('closed');
    const aborted = () => finish('taken');
    channel.once('close', closed);
    signal?.addEventListener('abort', aborted, { once: true });
    try {
      await this.#ask(channel.prefetch(count), 'limiting what is in hand');
      const consuming = channel.consume(this.#queue, received, { consumerTag });
      await this.#ask(consuming, `reading queue ${this.#queue}`);
      if (taken.length < count) watch();
      if (this.#aborted) finish('taken');
      if ((await end) === 'closed') {
        throw new BrokerError('broker_unavailable', 'the broker closed the channel');
      }
    } finally {
      cancelQuiet();
      channel.off('close', closed);
      signal?.removeEventListener('abort', aborted);
    }
    await this.#ask(channel.cancel(consumerTag), 'ending a page');
    return taken;
  }

  /** Copies are confirmed before anything is taken out, and nothing is taken out where one of the page had no queue to go to. */
  async #settle(channel: Channel, page: readonly ConsumeMessage[]): Promise<void> {
    const done: ConsumeMessage[] = [];
    const copies: Promise<ConsumeMessage>[] = [];
    let visited = 0;
    for (const message of page) {
      if (this.#aborted) break;
      visited += 1;
      const letter = readDeadLetter(toMessageEvent(message));
      const fate = this.#walk.visit(letter);
      if (fate === 'drop') done.push(message);
      if (fate !== 'replay') continue;
      this.#publisher ??= await this.#openPublisher();
      copies.push(this.#copy(this.#publisher, message, letter).then(() => message));
    }
    const dropped = done.length;
    const confirmed = await Promise.allSettled(copies);
    if (this.#unroutable) throw this.#noRouterQueue();
    const replayed = confirmed.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    for (const message of [...done, ...replayed]) channel.ack(message);
    this.#tally = {
      total: this.#tally.total,
      visited: this.#tally.visited + visited,
      dropped: this.#tally.dropped + dropped,
      replayed: this.#tally.replayed + replayed.length,
    };
    const failed = confirmed.find((one) => one.status === 'rejected');
    if (failed === undefined) return;
    await this.#flush(channel);
    throw failed.reason;
  }

  async #openPublisher(): Promise<ConfirmChannel> {
    const { model, names } = this.#parts;
    if (this.#walk.queue !== 'events') {
      throw new BrokerError('broker_topology', 'reports to webhooks cannot be replayed');
    }
    const publisher = await this.#answer(model.createConfirmChannel());
    publisher.on('error', () => undefined);
    publisher.on('return', () => {
      this.#unroutable = true;
    });
    await this.#ask(
      publisher.checkQueue(names.routerEvents),
      `looking at queue ${names.routerEvents}`,
    );
    return publisher;
  }

  async #copy(
    publisher: ConfirmChannel,
    { properties }: ConsumeMessage,
    letter: DeadLetter,
  ): Promise<void> {
    const options: Options.Publish = {
      ...keptProperties(properties),
      persistent: true,
      mandatory: true,
      headers: replayHeaders(letter),
    };
    const confirmed = new Promise<void>((resolve, reject) => {
      const queue = this.#parts.names.routerEvents;
      publisher.publish('', queue, letter.event.body, options, (error: unknown) => {
        if (error === null) resolve();
        else reject(toBrokerError(error, `publishing to queue ${queue}`));
      });
    });
    await this.#answer(confirmed);
  }

  #noRouterQueue(): BrokerError {
    return new BrokerError(
      'broker_topology',
      `there is no queue ${this.#parts.names.routerEvents}`,
    );
  }

  /**
   * RabbitMQ holds back acknowledgements beyond 32 that are under way, and forgets these when the channel closes (seen on 3.10). An
   * operation that waits for the queue brings the first ones home, an answer from it has the rest sent, and the next one brings those
   * home. A letter that this consumer gets lies behind all others.
   */
  async #flush(channel: Channel): Promise<void> {
    if (this.#tally.dropped + this.#tally.replayed === 0) return;
    const consumerTag = 'page-99';
    await this.#ask(channel.prefetch(1), 'limiting what is in hand');
    await this.#ask(
      channel.consume(this.#queue, () => undefined, { consumerTag }),
      `reading queue ${this.#queue}`,
    );
    await this.#ask(channel.checkQueue(this.#queue), `looking at queue ${this.#queue}`);
    await this.#ask(channel.cancel(consumerTag), 'ending a page');
  }

  /** Letters are back some milliseconds after their channel has closed. */
  async #untilReturned(): Promise<void> {
    const { model, clock } = this.#parts;
    const { total, dropped, replayed } = this.#tally;
    if (total === dropped + replayed) return;
    const until = clock.monotonicMs() + returnMs;
    const watching = await this.#answer(model.createChannel());
    watching.on('error', () => undefined);
    for (;;) {
      const { messageCount } = await this.#ask(
        watching.checkQueue(this.#queue),
        `looking at queue ${this.#queue}`,
      );
      if (messageCount >= total - dropped - replayed || clock.monotonicMs() >= until) break;
      await delay(clock, 5);
    }
    await watching.close();
  }

  async #ask<T>(answer: PromiseLike<T>, what: string): Promise<T> {
    try {
      return await this.#answer(Promise.resolve(answer));
    } catch (error) {
      if (replyCodeOf(error) !== replyCode.notFound) throw toBrokerError(error, what);
      throw new BrokerError('broker_topology', `there is no queue (${what})`, error);
    }
  }

  /** A broker that does not answer is cut off, and everything in hand goes back. */
  async #answer<T>(answer: Promise<T>): Promise<T> {
    const { clock, confirmTimeoutMs, model } = this.#parts;
    const over = new AbortController();
    const late = delay(clock, confirmTimeoutMs, over.signal).then(() => {
      if (over.signal.aborted) return;
      destroy(model);
      throw this.#blocked
        ? new BrokerError(
            'broker_unavailable',
            'the broker refuses publishers (memory or disk alarm)',
          )
        : new BrokerError('broker_timeout', `no answer within ${confirmTimeoutMs} ms`);
    });
    late.catch(() => undefined);
    try {
      return (await Promise.race([answer, late])) as T;
    } finally {
      over.abort();
    }
  }
}
