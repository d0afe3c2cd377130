/** Publishing with confirms on one AMQP channel of the publishing connection: one order, one bound, one deadline. */
import type { ConfirmChannel, Message, Options } from 'amqplib';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';
import { type Link, type LinkMember, type LinkSession, messageOf } from './link.ts';

export interface ConfirmPublisherOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly confirmTimeoutMs: number;
  /** Publications that may await their confirm at a time. */
  readonly maxUnconfirmed: number;
  /** What is not confirmed in time ends this publisher's channel, and not the connection that it shares. */
  readonly isolated?: boolean;
}

export interface Confirmation {
  /** False where `mandatory` was asked for and no queue was bound. */
  readonly routed: boolean;
}

interface Pending {
  readonly since: number;
  settled: boolean;
  returned: boolean;
  resolve(confirmation: Confirmation): void;
  reject(error: BrokerError): void;
}

/** Between failed attempts to open the channel on a connection that is itself alive. */
const reopenMs = 500;

export class ConfirmPublisher implements LinkMember {
  readonly #link: Link;
  readonly #options: ConfirmPublisherOptions;
  readonly #onChange: () => void;
  /** By sequence number, which is also their order. */
  readonly #pending = new Map<number, Pending>();
  readonly #stopSweep: () => void;
  #channel: ConfirmChannel | undefined;
  #sequence = 0;
  #closed = false;

  constructor(link: Link, options: ConfirmPublisherOptions, onChange: () => void) {
    this.#link = link;
    this.#options = options;
    this.#onChange = onChange;
    this.#stopSweep = options.clock.every(Math.max(50, options.confirmTimeoutMs / 4), () =>
      this.#sweep(),
    );
    link.add(this);
  }

  get ready(): boolean {
    return this.#channel !== undefined && !this.#link.blocked;
  }

  get unconfirmed(): number {
    return this.#pending.size;
  }

  /**
   * Resolves with the broker's confirm. Rejects at once where the broker is away, blocked or the bound is reached.
   * Calls reach the broker in call order.
   */
  publish(
    exchange: string,
    routingKey: string,
    body: Buffer,
    properties: Options.Publish,
  ): Promise<Confirmation> {
    const channel = this.#channel;
    if (this.#closed) return Promise.reject(new BrokerError('closed', 'the publisher is closed'));
    if (channel === undefined || this.#link.blocked) {
      const reason = this.#link.problem ?? 'the publishing channel is being opened';
      return Promise.reject(new BrokerError('broker_unavailable', reason));
    }
    if (this.#pending.size >= this.#options.maxUnconfirmed) {
      return Promise.reject(
        new BrokerError('broker_busy', `${this.#pending.size} publications await their confirm`),
      );
    }
    return new Promise((resolve, reject) => {
      this.#sequence += 1;
      const sequence = this.#sequence;
      const pending: Pending = {
        since: this.#options.clock.monotonicMs(),
        settled: false,
        returned: false,
        resolve,
        reject,
      };
      const options =
        properties.mandatory === true
          ? { ...properties, correlationId: String(sequence) }
          : properties;
      try {
        channel.publish(exchange, routingKey, body, options, (error: unknown) => {
          this.#pending.delete(sequence);
          if (pending.settled) return;
          pending.settled = true;
          if (error === null) resolve({ routed: !pending.returned });
          else reject(confirmError(error));
        });
        this.#pending.set(sequence, pending);
      } catch (error) {
        reject(new BrokerError('broker_unavailable', messageOf(error), error));
      }
    });
  }

  attached(session: LinkSession): void {
    void this.#open(session);
  }

  detached(): void {
    this.#lose('broker_unavailable', 'the connection broke before the broker confirmed');
  }

  close(): void {
    this.#closed = true;
    this.#stopSweep();
    this.#link.remove(this);
    this.#lose('closed', 'the publisher was closed before the broker confirmed');
  }

  async #open(session: LinkSession): Promise<void> {
    try {
      const channel = await session.model.createConfirmChannel();
      channel.on('error', (error) => {
        this.#options.log.warn({ err: error }, 'publishing channel closed by the broker');
      });
      channel.on('return', (message) => this.#returned(message));
      channel.on('close', () => {
        if (this.#channel !== channel) return;
        this.#lose('broker_unavailable', 'the publishing channel was closed');
        if (!session.ended.aborted) this.#reopenLater(session);
      });
      if (session.ended.aborted || this.#closed) return;
      this.#channel = channel;
      this.#onChange();
    } catch (error) {
      if (session.ended.aborted) return;
      this.#options.log.warn({ err: error }, 'cannot open the publishing channel');
      this.#reopenLater(session);
    }
  }

  #reopenLater(session: LinkSession): void {
    const cancel = this.#options.clock.after(reopenMs, () => {
      if (!session.ended.aborted && !this.#closed) void this.#open(session);
    });
    session.ended.addEventListener('abort', cancel, { once: true });
  }

  /** The broker sends a return before the confirm of the same message. */
  #returned(message: Message): void {
    const pending = this.#pending.get(Number(message.properties.correlationId));
    if (pending !== undefined) pending.returned = true;
  }

  /** Every pending call fails before a new channel can serve a later one: that is what keeps the order. */
  #lose(code: 'broker_unavailable' | 'broker_timeout' | 'closed', reason: string): void {
    this.#channel = undefined;
    this.#rejectAll(code, reason);
    this.#onChange();
  }

  #rejectAll(code: 'broker_unavailable' | 'broker_timeout' | 'closed', reason: string): void {
    for (const pending of this.#pending.values()) {
      if (pending.settled) continue;
      pending.settled = true;
      pending.reject(new BrokerError(code, reason));
    }
    if (this.#channel === undefined) this.#pending.clear();
  }

  #sweep(): void {
    const oldest = this.#pending.values().next().value;
    if (oldest === undefined) return;
    if (this.#options.clock.monotonicMs() - oldest.since < this.#options.confirmTimeoutMs) return;
    const reason = `the broker did not confirm within ${this.#options.confirmTimeoutMs} ms`;
    if (this.#link.blocked) {
      // Closing would not help: a new connection learns of the alarm only by publishing into it.
      this.#rejectAll('broker_timeout', reason);
      return;
    }
    const session = this.#link.session;
    const channel = this.#channel;
    this.#lose('broker_timeout', reason);
    if (this.#options.isolated !== true || session === undefined) {
      session?.abandon(reason);
      return;
    }
    // A connection that is dead as a whole takes this call along when it is found out.
    channel?.close().catch(() => undefined);
    this.#reopenLater(session);
  }
}

function confirmError(error: unknown): BrokerError {
  const refused = messageOf(error) === 'message nacked';
  return refused
    ? new BrokerError('broker_refused', 'the broker refused the publication', error)
    : new BrokerError(
        'broker_unavailable',
        'the connection broke before the broker confirmed',
        error,
      );
}
