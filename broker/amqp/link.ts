/**
 * One supervised AMQP connection: several URLs, full-jitter back-off, and a fresh session for its members after every loss.
 *
 * Supervision is our own because amqplib's recovery was seen to wedge when the socket dies during its set-up
 * (docs/adr/0002-own-supervision.md).
 */
import type { Duplex } from 'node:stream';
import { type ChannelModel, connect } from 'amqplib';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';

export interface Backoff {
  readonly minimumMs: number;
  readonly maximumMs: number;
}

export interface LinkOptions {
  readonly urls: readonly string[];
  readonly purpose: 'publish' | 'consume';
  readonly connectionName: string;
  readonly heartbeatSeconds: number;
  readonly backoff: Backoff;
  readonly clock: Clock;
  readonly log: Log;
  /** Declares what every session needs, before members see it. */
  prepare(model: ChannelModel): Promise<void>;
}

/** One life of the connection. */
export interface LinkSession {
  /** Counts up from 1; names made from it cannot collide with those that a dead connection may still own. */
  readonly epoch: number;
  readonly model: ChannelModel;
  /** Aborts when the connection is gone. */
  readonly ended: AbortSignal;
  /** Gives this connection up, so that a new one replays everything. */
  abandon(reason: string): void;
}

/** Something that lives on the connection and must be set up anew for each session. */
export interface LinkMember {
  attached(session: LinkSession): void;
  /** Called once for every `attached`; everything of that session is dead by then. */
  detached(): void;
}

/** A TCP connect and AMQP handshake that takes longer than this has failed. */
const connectTimeoutMs = 10_000;
/** A connection that lasted less counts as a failure: accept-and-drop must not become a tight loop. */
const steadyMs = 5_000;
/** How long a closing handshake may take before the socket is destroyed. */
const closeTimeoutMs = 1_000;

export class Link {
  readonly #options: LinkOptions;
  readonly #members = new Set<LinkMember>();
  readonly #stopped = new AbortController();
  readonly #onChange: () => void;
  readonly #running: Promise<void>;
  #session: LinkSession | undefined;
  #reason = 'connecting to the broker';
  #blocked: string | undefined;

  constructor(options: LinkOptions, onChange: () => void) {
    this.#options = options;
    this.#onChange = onChange;
    this.#running = this.#run();
  }

  get session(): LinkSession | undefined {
    return this.#session;
  }

  /** Why the link cannot be used now, or undefined. */
  get problem(): string | undefined {
    if (this.#session === undefined) return this.#reason;
    return this.#blocked === undefined
      ? undefined
      : `the broker refuses publishers (${this.#blocked} alarm)`;
  }

  get blocked(): boolean {
    return this.#blocked !== undefined;
  }

  get stopped(): AbortSignal {
    return this.#stopped.signal;
  }

  add(member: LinkMember): void {
    this.#members.add(member);
    if (this.#session !== undefined) member.attached(this.#session);
  }

  /** The member hears nothing more, not even of the end of the session it is in. */
  remove(member: LinkMember): void {
    this.#members.delete(member);
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    let failures = 0;
    let epoch = 0;
    while (!this.#stopped.signal.aborted) {
      const url = this.#options.urls[(epoch + failures) % this.#options.urls.length] ?? '';
      try {
        const model = await this.#open(url);
        epoch += 1;
        const since = this.#options.clock.monotonicMs();
        await this.#live(model, epoch);
        const lived = this.#options.clock.monotonicMs() - since;
        failures = lived < steadyMs ? failures + 1 : 0;
      } catch (error) {
        failures += 1;
        this.#reason = `cannot use the broker at ${withoutCredentials(url)}: ${messageOf(error)}`;
        this.#options.log.warn(
          { purpose: this.#options.purpose, url: withoutCredentials(url), err: error, failures },
          'broker connection failed',
        );
        this.#onChange();
      }
      await delay(this.#options.clock, this.#pauseMs(failures), this.#stopped.signal);
    }
  }

  /** Full jitter: anything from nothing to the exponential bound, so that a fleet does not come back in step. */
  #pauseMs(failures: number): number {
    const { minimumMs, maximumMs } = this.#options.backoff;
    const bound = Math.min(maximumMs, minimumMs * 2 ** Math.min(failures, 16));
    return Math.random() * bound;
  }

  async #open(url: string): Promise<ChannelModel> {
    const target = new URL(url);
    target.searchParams.set('heartbeat', String(this.#options.heartbeatSeconds));
    const model = await connect(target.href, {
      noDelay: true,
      keepAlive: true,
      keepAliveDelay: this.#options.heartbeatSeconds * 1_000,
      timeout: connectTimeoutMs,
      clientProperties: {
        product: 'warren',
        connection_name: `${this.#options.connectionName} ${this.#options.purpose}`,
      },
    });
    // From here on an error without a listener would end the process.
    model.on('error', () => undefined);
    model.on('handler-error', (error, event) => {
      this.#options.log.error({ err: error, event }, 'broker event handler failed');
    });
    return model;
  }

  /** Resolves when the session is over. */
  async #live(model: ChannelModel, epoch: number): Promise<void> {
    const ended = new AbortController();
    let cause: unknown;
    const over = new Promise<void>((resolve) => {
      const end = (error?: unknown) => {
        cause ??= error;
        ended.abort();
        resolve();
      };
      // A forced close emits only `close`; a dead socket emits `error` first.
      model.on('close', end);
      model.on('error', end);
      model.on('blocked', (reason) => this.#setBlocked(reason));
      model.on('unblocked', () => this.#setBlocked(undefined));
      this.#stopped.signal.addEventListener('abort', () => end(), { once: true });
      if (this.#stopped.signal.aborted) end();
    });
    const session: LinkSession = {
      epoch,
      model,
      ended: ended.signal,
      abandon: (reason) => {
        this.#options.log.warn(
          { purpose: this.#options.purpose, reason },
          'abandoning the broker connection',
        );
        cause ??= new Error(reason);
        destroy(model);
      },
    };
    try {
      await Promise.race([this.#options.prepare(model), over]);
      if (!ended.signal.aborted) {
        this.#session = session;
        this.#options.log.info(
          { purpose: this.#options.purpose, epoch },
          'connected to the broker',
        );
        this.#onChange();
        for (const member of [...this.#members]) member.attached(session);
        await over;
        for (const member of [...this.#members]) member.detached();
      }
    } finally {
      this.#session = undefined;
      this.#blocked = undefined;
      ended.abort();
      await this.#shut(model);
      if (!this.#stopped.signal.aborted) {
        this.#reason = `lost the broker: ${messageOf(cause ?? 'connection closed')}`;
        this.#options.log.warn(
          { purpose: this.#options.purpose, err: cause },
          'broker connection lost',
        );
      } else {
        this.#reason = 'closed';
      }
      this.#onChange();
    }
  }

  #setBlocked(reason: string | undefined): void {
    this.#blocked = reason;
    this.#options.log.warn(
      { purpose: this.#options.purpose, reason },
      reason === undefined ? 'broker takes publishers again' : 'broker refuses publishers',
    );
    this.#onChange();
  }

  /** Politely where the peer still answers; a half-open socket is destroyed, or it would linger for minutes. */
  async #shut(model: ChannelModel): Promise<void> {
    const polite = this.#stopped.signal.aborted;
    if (polite) {
      const closed = model.close().catch(() => undefined);
      await Promise.race([closed, delay(this.#options.clock, closeTimeoutMs)]);
    }
    destroy(model);
  }
}

export function destroy(model: ChannelModel): void {
  // The types show only the public part of the connection; the stream is where a dead peer has to be cut off.
  const { stream } = model.connection as unknown as { readonly stream?: Duplex };
  // With an error, so that amqplib ends its channels and timers too.
  stream?.destroy(new Error('connection given up'));
}

export function withoutCredentials(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return 'an unreadable URL';
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** AMQP reply codes that come as `error.code`. */
export const replyCode = { accessRefused: 403, notFound: 404, preconditionFailed: 406 } as const;

export function replyCodeOf(error: unknown): number | undefined {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === 'number' ? code : undefined;
}

/** What the broker said to a declaration or binding, as an error of the port. */
export function toBrokerError(error: unknown, what: string): BrokerError {
  if (error instanceof BrokerError) return error;
  switch (replyCodeOf(error)) {
    case replyCode.accessRefused:
      return new BrokerError('broker_forbidden', `the broker forbids: ${what}`, error);
    case replyCode.notFound:
    case replyCode.preconditionFailed:
      return new BrokerError(
        'broker_topology',
        `the broker refuses: ${what}: ${messageOf(error)}`,
        error,
      );
    default:
      return new BrokerError('broker_unavailable', `the broker is not available: ${what}`, error);
  }
}
