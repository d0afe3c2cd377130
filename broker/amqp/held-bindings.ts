/**
 * The list of the router's bindings, and with it the lead among routers.
 *
 * The broker keeps the list as a message of a queue with a single active consumer. Whoever is handed it leads, and holds it
 * unacknowledged until its channel closes: then the broker hands it to the next consumer. To change it is to publish a new one and to
 * acknowledge the former ones only when the new one is confirmed, so at no time is there none. More than one at a time, as after a
 * crash between the two, count together.
 */
import { randomBytes } from 'node:crypto';
import type { Channel, ConsumeMessage } from 'amqplib';
import { delay } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import { type BindingList, decodeBindings, encodeBindings, union } from './binding-list.ts';
import { closeChannel } from './lane.ts';
import type { LinkSession } from './link.ts';
import type { OrderedConsumerHost } from './ordered-consumer.ts';

interface Held {
  readonly message: ConsumeMessage;
  readonly bindings: BindingList;
}

export interface HeldBindingsEvents {
  /** It leads from now on. Called once. */
  lead(): void;
  /** The channel is gone, and with it the lead. Called once, not for `close`. */
  lost(): void;
}

/** Between looks at whether somebody leads. */
const lookAgainMs = 100;

export class HeldBindings {
  readonly #queue: string;
  readonly #host: OrderedConsumerHost;
  readonly #channel: Channel;
  readonly #events: HeldBindingsEvents;
  readonly #gone = new AbortController();
  /** Oldest first. Empty: somebody else leads, or it is not known yet. */
  #held: readonly Held[] = [];
  /** Those that it published itself and that have not come back yet, by message id. */
  readonly #awaited = new Map<
    string,
    { readonly resolve: () => void; readonly reject: (error: Error) => void }
  >();

  #writtenMs = 0;

  /** Takes its place in line. The queue must exist. */
  static async open(
    session: LinkSession,
    queue: string,
    host: OrderedConsumerHost,
    events: HeldBindingsEvents,
  ): Promise<HeldBindings> {
    const channel = await session.model.createChannel();
    const held = new HeldBindings(channel, queue, host, events);
    try {
      await held.#wake();
      await channel.consume(queue, (message) => held.#delivered(message));
    } catch (error) {
      await held.close();
      throw error;
    }
    return held;
  }

  private constructor(
    channel: Channel,
    queue: string,
    host: OrderedConsumerHost,
    events: HeldBindingsEvents,
  ) {
    this.#channel = channel;
    this.#queue = queue;
    this.#host = host;
    this.#events = events;
    channel.on('error', (error) => host.log.warn({ err: error, queue }, 'lost the lead'));
    channel.on('handler-error', (error, event) => {
      host.log.error({ err: error, event }, 'channel event handler failed');
    });
    channel.on('close', () => {
      if (this.#gone.signal.aborted) return;
      this.#end();
      events.lost();
    });
  }

  get leads(): boolean {
    return this.#held.length > 0 && !this.#gone.signal.aborted;
  }

  /** What the router's queue may be bound to, so far as it was ever written down. */
  get bindings(): BindingList {
    return union(...this.#held.map(({ bindings }) => bindings));
  }

  /** True where the broker keeps exactly one list. */
  get single(): boolean {
    return this.#held.length === 1;
  }

  /** Since the last `write`. */
  get ageMs(): number {
    return this.#host.clock.monotonicMs() - this.#writtenMs;
  }

  /** Resolves with true when it leads, with false when somebody else does. Rejects where the channel closes. */
  async settled(): Promise<boolean> {
    while (!this.leads) {
      const { messageCount } = await this.#channel.checkQueue(this.#queue);
      if (messageCount === 0) {
        // Its own wake was handed out. What was handed to this consumer arrives before a further answer.
        await this.#channel.checkQueue(this.#queue);
        return this.leads;
      }
      await delay(this.#host.clock, lookAgainMs, this.#gone.signal);
    }
    return true;
  }

  /**
   * Puts this list in the place of those that it holds; resolves when the broker has confirmed that and everything that came before
   * has been read. Must lead, and must not be called while it is at work.
   */
  async write(bindings: BindingList): Promise<void> {
    const before = this.#held;
    const id = randomBytes(9).toString('base64url');
    const back = new Promise<void>((resolve, reject) => {
      this.#awaited.set(id, { resolve, reject });
    });
    back.catch(() => undefined);
    try {
      await this.#publish(bindings, id);
      if (this.#gone.signal.aborted) throw lostLead();
      await back;
    } finally {
      this.#awaited.delete(id);
    }
    this.#writtenMs = this.#host.clock.monotonicMs();
    this.#held = this.#held.filter((held) => !before.includes(held));
    for (const { message } of before) this.#acknowledge(message);
  }

  /** Gives the list back: the next one in line leads. */
  async close(): Promise<void> {
    this.#end();
    await closeChannel(this.#channel);
  }

  #end(): void {
    this.#gone.abort();
    for (const { reject } of this.#awaited.values()) reject(lostLead());
  }

  #delivered(message: ConsumeMessage | null): void {
    if (this.#gone.signal.aborted) return;
    if (message === null) {
      // Somebody deleted the queue.
      void closeChannel(this.#channel);
      return;
    }
    const bindings = decodeBindings(message.content);
    const id: unknown = message.properties.messageId;
    const awaited = typeof id === 'string' ? this.#awaited.get(id) : undefined;
    if (awaited === undefined && bindings.size === 0 && this.leads) {
      // Somebody has come to stand by.
      this.#acknowledge(message);
      return;
    }
    const first = !this.leads;
    this.#held = [...this.#held, { message, bindings }];
    awaited?.resolve();
    if (first) this.#events.lead();
  }

  #acknowledge(message: ConsumeMessage): void {
    try {
      this.#channel.ack(message);
    } catch {
      // The channel is closing; the list counts together with its successor.
    }
  }

  /** An empty list wakes the first one in line where there is no list yet; whoever leads takes it away. */
  async #wake(): Promise<void> {
    try {
      await this.#publish(new Set(), 'wake');
    } catch (error) {
      // A queue that is full needs none.
      if (!(error instanceof BrokerError && error.code === 'broker_refused')) throw error;
    }
  }

  async #publish(bindings: BindingList, messageId: string): Promise<void> {
    const { routed } = await this.#host.publisher.publish(
      '',
      this.#queue,
      encodeBindings(bindings),
      {
        persistent: true,
        mandatory: true,
        contentType: 'application/json',
        messageId,
      },
    );
    if (!routed) throw new BrokerError('broker_unavailable', `there is no queue ${this.#queue}`);
  }
}

function lostLead(): BrokerError {
  return new BrokerError('broker_unavailable', 'another router leads now');
}
