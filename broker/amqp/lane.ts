/**
 * A lane: one control channel and one consuming channel of the consuming connection, lent to any number of queues. An error closes
 * an AMQP channel with all that is on it, so lanes bound what one mistake can touch, and control errors touch no consumer.
 */
import type { Channel } from 'amqplib';
import type { Log } from '../../runtime/log.ts';
import type { Link, LinkMember, LinkSession } from './link.ts';

/** The two channels that a lane lends to its queues. Each may be replaced while the other lives on. */
export interface LaneChannels {
  readonly session: LinkSession;
  /** Declares and binds; an error here costs no consumer. */
  readonly control: Channel;
  readonly consumer: Channel;
}

export interface LaneQueue {
  /** Called with every new consuming channel. Rejects where a channel broke meanwhile: then it is called again. */
  attach(channels: LaneChannels): Promise<void>;
  connectionLost(): void;
  /** The lane's consuming channel is gone; `attach` follows. */
  consumerLost(): void;
  controlReplaced(channels: LaneChannels): Promise<void>;
  /** The lane closes. */
  close(): Promise<void>;
}

export class Lane implements LinkMember {
  readonly #link: Link;
  readonly #prefetch: number | undefined;
  readonly #log: Log;
  readonly #queues = new Set<LaneQueue>();
  #channels: LaneChannels | undefined;
  #closed = false;

  /** @param prefetch unacknowledged messages per consumer; absent for consumers that do not acknowledge */
  constructor(link: Link, prefetch: number | undefined, log: Log) {
    this.#link = link;
    this.#prefetch = prefetch;
    this.#log = log;
    link.add(this);
  }

  /** The lane attaches the queue as soon as it can, and again after every loss. */
  add(queue: LaneQueue): void {
    this.#queues.add(queue);
    if (this.#channels !== undefined) void this.#attach(queue, this.#channels);
  }

  remove(queue: LaneQueue): void {
    this.#queues.delete(queue);
  }

  /** Closes both channels: what their consumers have not acknowledged goes back to the head of the queues, in order. */
  async close(): Promise<void> {
    this.#closed = true;
    // Whoever still waits for one of these queues is told.
    await Promise.allSettled([...this.#queues].map((queue) => queue.close()));
    this.#link.remove(this);
    const channels = this.#channels;
    this.#channels = undefined;
    if (channels === undefined) return;
    await Promise.all([closeChannel(channels.consumer), closeChannel(channels.control)]);
  }

  attached(session: LinkSession): void {
    void this.#open(session);
  }

  detached(): void {
    this.#channels = undefined;
    for (const queue of [...this.#queues]) queue.connectionLost();
  }

  async #open(session: LinkSession): Promise<void> {
    try {
      const [control, consumer] = await Promise.all([
        this.#channel(session),
        this.#consumerChannel(session),
      ]);
      if (this.#over(session)) return;
      this.#use({ session, control, consumer });
      const { ended } = session;
      control.on('close', () => void this.#controlClosed(session, control));
      consumer.on('close', () => void this.#consumerClosed(session, consumer));
      if (!ended.aborted) for (const queue of [...this.#queues]) this.#attachCurrent(queue);
    } catch (error) {
      this.#giveUp(session, 'cannot open a channel', error);
    }
  }

  async #controlClosed(session: LinkSession, closed: Channel): Promise<void> {
    if (this.#over(session) || this.#channels?.control !== closed) return;
    try {
      const control = await this.#channel(session);
      if (this.#over(session) || this.#channels?.control !== closed) return;
      control.on('close', () => void this.#controlClosed(session, control));
      const channels = this.#use({ ...this.#channels, control });
      for (const queue of [...this.#queues]) {
        queue.controlReplaced(channels).catch((error) => this.#note(error));
      }
    } catch (error) {
      this.#giveUp(session, 'cannot reopen the control channel', error);
    }
  }

  /** Rare: an operator's or our own mistake. The queues live on; their consumers start again. */
  async #consumerClosed(session: LinkSession, closed: Channel): Promise<void> {
    if (this.#over(session) || this.#channels?.consumer !== closed) return;
    for (const queue of [...this.#queues]) queue.consumerLost();
    try {
      const consumer = await this.#consumerChannel(session);
      if (this.#over(session) || this.#channels?.consumer !== closed) return;
      consumer.on('close', () => void this.#consumerClosed(session, consumer));
      this.#use({ ...this.#channels, consumer });
      for (const queue of [...this.#queues]) this.#attachCurrent(queue);
    } catch (error) {
      this.#giveUp(session, 'cannot reopen the consuming channel', error);
    }
  }

  #attachCurrent(queue: LaneQueue): void {
    if (this.#channels !== undefined) void this.#attach(queue, this.#channels);
  }

  /** Whatever made it fail closed a channel as well, and its replacement attaches again. */
  async #attach(queue: LaneQueue, channels: LaneChannels): Promise<void> {
    await queue.attach(channels).catch((error) => this.#note(error));
  }

  #use(channels: LaneChannels): LaneChannels {
    this.#channels = channels;
    return channels;
  }

  #over(session: LinkSession): boolean {
    return this.#closed || session.ended.aborted;
  }

  #giveUp(session: LinkSession, reason: string, error: unknown): void {
    this.#note(error);
    if (!this.#over(session)) session.abandon(reason);
  }

  #note(error: unknown): void {
    this.#log.debug({ err: error }, 'a channel broke while a queue was being set up');
  }

  async #consumerChannel(session: LinkSession): Promise<Channel> {
    const channel = await this.#channel(session);
    if (this.#prefetch !== undefined) await channel.prefetch(this.#prefetch);
    return channel;
  }

  async #channel(session: LinkSession): Promise<Channel> {
    const channel = await session.model.createChannel();
    channel.on('error', (error) => {
      this.#log.warn({ err: error }, 'channel closed by the broker');
    });
    channel.on('handler-error', (error, event) => {
      this.#log.error({ err: error, event }, 'channel event handler failed');
    });
    return channel;
  }
}

/** Resolves when it is closed, in whatever way: amqplib's own promise never settles where the connection dies meanwhile. */
export function closeChannel(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.once('close', () => resolve());
    channel.close().then(resolve, () => resolve());
  });
}
