/**
 * Reads the stream of cached publications from its first offset, and goes on from the last one it saw after every loss.
 *
 * What is new is found out with a marker: a message of our own in the stream, behind all that was confirmed before it was
 * published. Once it has come, so has everything before it.
 */
import { randomBytes } from 'node:crypto';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { cacheRoutingKey, type TopologyNames } from '../../contracts/topology.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';
import type { CacheReceiver } from '../port.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import type { Link, LinkMember, LinkSession } from './link.ts';
import { toCachedPublication } from './message.ts';

export interface CacheStreamFollowerHost {
  readonly link: Link;
  readonly publisher: ConfirmPublisher;
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a marker may be on its way. */
  readonly answerTimeoutMs: number;
  ensureStream(model: ChannelModel): Promise<void>;
}

/** A stream is consumed with credit only; enough for a round trip at full speed. */
const prefetch = 500;
/** Between attempts to consume on a connection that is itself alive: doubles from the first to the second. */
const shortestPauseMs = 200;
const longestPauseMs = 30_000;

const cause =
  'cached publications cannot be read, so cache channels have no last event. The broker needs stream queues (RabbitMQ 3.9 or ' +
  'later with the feature flag stream_queue enabled) and the stream queue named here; a queue of that name that is no stream ' +
  'has to be deleted, and a user who may not declare it needs an administrator to import infra/rabbitmq/definitions.json';

interface Marker {
  readonly id: string;
  resolve(): void;
  reject(error: BrokerError): void;
}

export class CacheStreamFollower implements LinkMember {
  readonly #host: CacheStreamFollowerHost;
  readonly #receiver: CacheReceiver;
  readonly #id = randomBytes(12).toString('base64url');
  /** Resolves when everything that was confirmed before was handed over; rejects with `closed`. */
  readonly started: Promise<void>;
  #startedNow: () => void = () => undefined;
  #givenUp: (error: BrokerError) => void = () => undefined;
  #channel: Channel | undefined;
  /** Where to go on; absent for the beginning. */
  #next: number | undefined;
  /** Messages of the stream that came, of any kind: tells a slow stream from a silent one. */
  #seen = 0;
  #unacknowledged: ConsumeMessage | undefined;
  #markers = 0;
  #marker: Marker | undefined;
  /** The round that is on its way, and the one that those who came later wait for. */
  #round: Promise<void> | undefined;
  #nextRound: Promise<void> | undefined;
  #pauseMs = shortestPauseMs;
  #closed = false;

  constructor(host: CacheStreamFollowerHost, receiver: CacheReceiver) {
    this.#host = host;
    this.#receiver = receiver;
    this.started = new Promise((resolve, reject) => {
      this.#startedNow = resolve;
      this.#givenUp = reject;
    });
    this.started.catch(() => undefined);
    host.link.add(this);
  }

  attached(session: LinkSession): void {
    this.#pauseMs = shortestPauseMs;
    void this.#open(session);
  }

  detached(): void {
    this.#letGo('the connection was lost');
  }

  /** A marker that is on its way may be ahead of what was confirmed since, so a call never joins it but the one after it. */
  caughtUp(): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    this.#nextRound ??= this.#caughtUp();
    return this.#nextRound;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.link.remove(this);
    this.#marker?.reject(closedError());
    this.#givenUp(closedError());
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.close().catch(() => undefined);
  }

  async #caughtUp(): Promise<void> {
    // Also where there is none, so that calls of one turn share a marker.
    await this.#round?.catch(() => undefined);
    this.#round = this.#nextRound;
    this.#nextRound = undefined;
    await this.#mark();
  }

  async #mark(): Promise<void> {
    const { publisher, names, clock, answerTimeoutMs } = this.#host;
    if (this.#closed) throw closedError();
    const channel = this.#channel;
    const before = this.#seen;
    if (channel === undefined) {
      throw new BrokerError(
        'broker_unavailable',
        this.#host.link.problem ?? 'the stream of cached publications is not being read',
      );
    }
    this.#markers += 1;
    const id = `${this.#id}.${this.#markers}`;
    const over = new AbortController();
    const seen = new Promise<void>((resolve, reject) => {
      this.#marker = { id, resolve, reject };
    });
    // It may be rejected while the confirm is awaited.
    seen.catch(() => undefined);
    try {
      const { routed } = await publisher.publish(names.channels, cacheRoutingKey, Buffer.alloc(0), {
        messageId: id,
        persistent: false,
        mandatory: true,
      });
      if (!routed) {
        this.#restart(channel, 'the stream of cached publications is not bound');
        throw new BrokerError(
          'broker_unavailable',
          'the stream of cached publications was not bound',
        );
      }
      const tooLate = delay(clock, answerTimeoutMs, over.signal).then(() => {
        if (over.signal.aborted) return;
        if (this.#seen === before) this.#restart(channel, 'the stream is silent');
        throw new BrokerError('broker_timeout', `no answer within ${answerTimeoutMs} ms`);
      });
      tooLate.catch(() => undefined);
      await Promise.race([seen, tooLate]);
    } finally {
      over.abort();
      this.#marker = undefined;
    }
  }

  async #open(session: LinkSession): Promise<void> {
    let channel: Channel | undefined;
    try {
      await this.#host.ensureStream(session.model);
      channel = await session.model.createChannel();
      const opened = channel;
      channel.on('error', (error) => {
        this.#host.log.debug({ err: error }, 'stream channel closed by the broker');
      });
      channel.on('handler-error', (error, event) => {
        this.#host.log.error({ err: error, event }, 'channel event handler failed');
      });
      let established = false;
      channel.on('close', () => {
        if (this.#channel !== opened) return;
        this.#letGo('the stream channel was closed');
        // Before that, the request that it took along is rejected, and that leads to the next attempt: two would compete.
        if (established) void this.#reopen(session);
      });
      await channel.prefetch(prefetch);
      if (this.#over(session)) {
        await channel.close().catch(() => undefined);
        return;
      }
      await this.#consume(channel);
      if (this.#channel !== channel) throw new Error('the channel closed at once');
      established = true;
      this.#pauseMs = shortestPauseMs;
      void this.#verify(session, channel);
    } catch (error) {
      if (this.#over(session)) return;
      this.#host.log.error({ err: error, stream: this.#host.names.publicationCache }, cause);
      this.#letGo('the stream cannot be read');
      await channel?.close().catch(() => undefined);
      await this.#reopen(session);
    }
  }

  async #consume(channel: Channel): Promise<void> {
    this.#channel = channel;
    await channel.consume(
      this.#host.names.publicationCache,
      (message) => this.#delivered(channel, message),
      { arguments: { 'x-stream-offset': this.#next ?? 'first' } },
    );
  }

  async #reopen(session: LinkSession): Promise<void> {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(longestPauseMs, pauseMs * 2);
    await delay(this.#host.clock, pauseMs, session.ended);
    if (!this.#over(session)) await this.#open(session);
  }

  /** Shows that this consumer hears what is published now. */
  async #verify(session: LinkSession, channel: Channel): Promise<void> {
    while (!this.#over(session) && this.#channel === channel) {
      try {
        await this.caughtUp();
        this.#startedNow();
        return;
      } catch {
        // The next session or channel verifies itself; on this one it is a matter of time.
        await delay(this.#host.clock, shortestPauseMs, session.ended);
      }
    }
  }

  /**
   * A consumer that was started at an offset which the stream has not reached, because somebody made it anew, would hear nothing
   * until then; one whose stream is not bound, never.
   */
  #restart(channel: Channel, reason: string): void {
    if (this.#channel !== channel) return;
    this.#host.log.warn({ reason }, 'reading the cached publications from the beginning');
    this.#next = undefined;
    void channel.close().catch(() => undefined);
  }

  #over(session: LinkSession): boolean {
    return this.#closed || session.ended.aborted;
  }

  #delivered(channel: Channel, message: ConsumeMessage | null): void {
    if (this.#channel !== channel) return;
    if (message === null) {
      // Somebody deleted the stream: the next one begins anew.
      this.#next = undefined;
      void channel.close().catch(() => undefined);
      return;
    }
    const offset = (message.properties.headers as Readonly<Record<string, unknown>> | undefined)?.[
      'x-stream-offset'
    ];
    if (typeof offset === 'number') this.#next = offset + 1;
    this.#seen += 1;
    this.#acknowledgeLater(message);
    if (message.fields.routingKey !== cacheRoutingKey) {
      this.#receiver.published(toCachedPublication(message));
    } else if (message.properties.messageId === this.#marker?.id) {
      this.#marker?.resolve();
    }
  }

  /** One acknowledgement for all that came in a turn of the event loop. */
  #acknowledgeLater(message: ConsumeMessage): void {
    if (this.#unacknowledged === undefined) setImmediate(() => this.#acknowledge());
    this.#unacknowledged = message;
  }

  #acknowledge(): void {
    const message = this.#unacknowledged;
    this.#unacknowledged = undefined;
    if (message === undefined) return;
    try {
      this.#channel?.ack(message, true);
    } catch {
      // The channel is closing; the next one begins with credit of its own.
      return;
    }
  }

  #letGo(reason: string): void {
    this.#channel = undefined;
    this.#unacknowledged = undefined;
    this.#marker?.reject(new BrokerError('broker_unavailable', reason));
  }
}

function closedError(): BrokerError {
  return new BrokerError('closed', 'the follower was closed');
}
