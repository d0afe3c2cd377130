/** Redis as a second way in: what it publishes becomes domain events on the exchange, from one router of all at a time. */
import { type RedisEvent, type RedisRefusal, redisEventOf } from '../../contracts/redis-event.ts';
import type { RedisIngress } from '../../contracts/warren-config.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Readiness, Role } from '../../runtime/lifecycle.ts';
import type { Log } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import type { Broker } from '../port.ts';
import { Drops } from './drops.ts';
import { Forwarder } from './forwarder.ts';
import { Gate } from './gate.ts';
import { claimLease, isLeaseName, leaseName, newToken, parseMark, releaseLease } from './lease.ts';
import { subscriptionPattern } from './pattern.ts';
import { openSession, type RedisSession, reasonOf } from './session.ts';

export interface RedisIngressParts {
  readonly broker: Pick<Broker, 'domainEvents' | 'status' | 'onStatus'>;
  readonly config: RedisIngress;
  /** Names the exchange that is published to: routers of one installation share the work, others do theirs. */
  readonly exchange: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Between attempts to reach Redis; full jitter. Default 100 ms to 5 s. */
  readonly backoff?: { readonly minimumMs: number; readonly maximumMs: number };
  /** Default 1,000. */
  readonly maxUnconfirmed?: number;
}

/** A quarter of the lease: three renewals may fail. */
const claimMs = 500;
/** How long letting go may take; a lease that was not given back ends by itself. */
const releaseMs = 1_000;
/** A connection that lasted less counts as a failure. */
const steadyMs = 5_000;
const maxWaitingBytes = 16 * 1_024 * 1_024;

type Outcome = 'forwarded' | 'overflow' | 'unconfirmed' | RedisRefusal;

interface Arrived {
  readonly event: RedisEvent;
  readonly bytes: number;
}

/** Returns at once and connects in the background, again and again until `stop`. Redis being away never makes the process unready. */
export function startRedisIngress(parts: RedisIngressParts): Role {
  return new Ingress(parts);
}

class Ingress implements Role {
  readonly #parts: RedisIngressParts;
  readonly #log: Log;
  readonly #name: string;
  readonly #stopped = new AbortController();
  readonly #drops: Drops;
  readonly #count: { message(outcome: Outcome): void; failure(): void };
  readonly #forwarder: Forwarder;
  readonly #gate: Gate<Arrived>;
  readonly #running: Promise<void>;
  #session: RedisSession | undefined;
  #token = '';
  #problem: string | undefined = 'connecting';
  #releasing: (() => void) | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: RedisIngressParts) {
    this.#parts = parts;
    const { config, clock } = parts;
    const { host, port } = config.server;
    this.#log = parts.log.child({ redis: `${host}:${port}` });
    this.#name = leaseName([parts.exchange, config.prefix, config.channels]);
    this.#drops = new Drops(clock, this.#log);
    this.#count = this.#expose(parts.metrics);
    const maxUnconfirmed = parts.maxUnconfirmed ?? 1_000;
    this.#forwarder = new Forwarder({
      broker: parts.broker,
      maxUnconfirmed,
      maxUnconfirmedBytes: maxWaitingBytes,
      forwarded: () => this.#count.message('forwarded'),
      dropped: (reason) => this.#dropped(reason),
    });
    this.#gate = new Gate<Arrived>(
      {
        forward: ({ event }) => this.#forwarder.push(event),
        overflowed: () => this.#dropped('overflow'),
      },
      { maxWaiting: maxUnconfirmed, maxWaitingBytes },
    );
    this.#running = this.#run();
  }

  readiness(): Readiness {
    const { host, port } = this.#parts.config.server;
    const state = this.#problem ?? (this.#gate.state === 'open' ? 'forwarding' : 'standing by');
    return { ready: true, note: `Redis at ${host}:${port}: ${state}` };
  }

  stop(drainMs: number): Promise<void> {
    this.#stopping ??= this.#stop(drainMs);
    return this.#stopping;
  }

  /** Lets go at a mark, up to which this router has forwarded everything and behind which it forwards nothing. */
  async #stop(drainMs: number): Promise<void> {
    const { clock } = this.#parts;
    const over = new AbortController();
    const session = this.#session;
    if (session !== undefined && this.#gate.state === 'open') {
      const marked = new Promise<void>((resolve) => {
        this.#releasing = resolve;
      });
      const released = releaseLease(session.commands, this.#name, this.#token).then(
        (held) => (held ? marked : undefined),
        () => undefined,
      );
      await Promise.race([released, delay(clock, Math.min(releaseMs, drainMs), over.signal)]);
    }
    this.#gate.reset(undefined);
    this.#stopped.abort();
    session?.end('stopping');
    await Promise.race([this.#forwarder.idle(), delay(clock, drainMs, over.signal)]);
    over.abort();
    this.#forwarder.close();
    this.#drops.stop();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts;
    const stopped = this.#stopped.signal;
    let failures = 0;
    while (!stopped.aborted) {
      const since = clock.monotonicMs();
      const reason = await this.#live();
      if (stopped.aborted) break;
      failures = clock.monotonicMs() - since < steadyMs ? failures + 1 : 0;
      this.#problem = `away (${reason}); what it publishes meanwhile is lost`;
      this.#log.warn({ reason, failures }, 'Redis is away: what it publishes meanwhile is lost');
      this.#count.failure();
      await delay(clock, this.#pauseMs(failures), stopped);
    }
  }

  /** Never rejects: resolves with the reason of the end. */
  async #live(): Promise<string> {
    const { config, clock } = this.#parts;
    const former = this.#token;
    try {
      const session = await openSession({
        server: config.server,
        connectionName: 'warren-router',
        clock,
        pattern: subscriptionPattern(config.prefix, config.channels),
        marks: this.#name,
        message: (channel, message) => this.#message(channel, message),
        mark: (text) => this.#mark(text),
      });
      if (this.#stopped.signal.aborted) session.end('stopping');
      this.#session = session;
      this.#token = newToken();
      this.#gate.reset(this.#token);
      this.#problem = undefined;
      this.#log.info({}, 'listening to Redis, which hands over each message at most once');
      const claim = () => this.#claim(session, former);
      const stopClaiming = clock.every(claimMs, claim);
      claim();
      const reason = await session.ended;
      stopClaiming();
      return reason;
    } catch (error) {
      return reasonOf(error);
    } finally {
      this.#session = undefined;
      this.#gate.reset(undefined);
      this.#releasing?.();
    }
  }

  #claim(session: RedisSession, former: string): void {
    if (this.#stopping !== undefined || this.#session !== session) return;
    claimLease(session.commands, this.#name, this.#token, former).catch((error: unknown) =>
      session.end(reasonOf(error)),
    );
  }

  #message(channel: Buffer, message: Buffer): void {
    // Another router has it, and most that is published may be no business of Warren: nothing is worth doing here.
    if (this.#gate.state === 'shut' || isLeaseName(channel)) return;
    const event = redisEventOf(channel, message, this.#parts.config.prefix);
    if (!event.ok) {
      if (this.#gate.state === 'open') this.#dropped(event.error);
      return;
    }
    this.#gate.message({ event: event.value, bytes: event.value.body.length });
  }

  #mark(text: string): void {
    const mark = parseMark(text);
    if (mark === undefined) return;
    const before = this.#gate.state;
    this.#gate.mark(mark);
    const after = this.#gate.state;
    if (after === 'open' && before !== 'open')
      this.#log.info({}, 'forwarding what Redis publishes');
    if (before === 'open' && after === 'shut') {
      this.#log.info({}, 'another router forwards what Redis publishes');
    }
    if (mark.kind !== 'free') return;
    if (mark.token === this.#token) this.#releasing?.();
    const session = this.#session;
    if (session !== undefined) this.#claim(session, '');
  }

  #dropped(reason: Exclude<Outcome, 'forwarded'>): void {
    this.#count.message(reason);
    this.#drops.add(reason);
  }

  #pauseMs(failures: number): number {
    const { minimumMs, maximumMs } = this.#parts.backoff ?? { minimumMs: 100, maximumMs: 5_000 };
    return Math.random() * Math.min(maximumMs, minimumMs * 2 ** Math.min(failures, 16));
  }

  #expose(metrics: Metrics): { message(outcome: Outcome): void; failure(): void } {
    const messages = metrics.counter(
      'warren_redis_messages_total',
      'Messages from Redis by outcome: forwarded, or dropped because of invalid_channel, invalid_json, invalid_event, too_large, overflow (too many unconfirmed) or unconfirmed (the broker did not confirm). Counted by the router that forwards.',
    );
    metrics.gauge('warren_redis_connected', '1 while this router is subscribed at Redis.', () =>
      Number(this.#problem === undefined),
    );
    metrics.gauge(
      'warren_redis_forwarding',
      '1 on the router that forwards; the sum over all routers should be 1.',
      () => Number(this.#gate.state === 'open'),
    );
    metrics.gauge(
      'warren_redis_unconfirmed',
      'Messages from Redis that wait for the broker or its confirm.',
      () => this.#forwarder.unconfirmed,
    );
    const failures = metrics.counter(
      'warren_redis_connection_failures_total',
      'Connections to Redis that failed or were lost; each is tried again.',
    );
    return {
      message: (outcome: Outcome) => messages.add(1, { outcome }),
      failure: () => failures.add(1),
    };
  }
}
