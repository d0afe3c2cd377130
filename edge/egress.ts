/**
 * What services hear of clients: what happened on this edge, or was found out by it for the cluster, becomes a CloudEvent at the
 * broker. Whoever reports something here never waits for it.
 */
import type { BrokerError } from '../broker/errors.ts';
import type { ClientEvents } from '../broker/port.ts';
import { type Channel, parseChannel } from '../contracts/channel.ts';
import { createEgressEvent, type EgressEvent } from '../contracts/egress-event.ts';
import type { SocketId } from '../contracts/ids.ts';
import type { WebhookEvent } from '../contracts/pusher/webhook.ts';
import type { AppConfig, EgressConfig } from '../contracts/warren-config.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Counter, Metrics } from '../runtime/metrics.ts';
import { ConfirmedBuffer, type ConfirmedBufferLimits } from './confirmed-buffer.ts';

export interface EgressOptions {
  readonly port: ClientEvents;
  readonly config: EgressConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly limits?: Partial<ConfirmedBufferLimits>;
}

/** A client event that the broker has taken for the other clients. */
export interface AcceptedClientEvent {
  /** The publication id that the other clients got. */
  readonly id: string;
  readonly channel: Channel;
  readonly event: string;
  /** JSON text, as the client sent it. */
  readonly data: string;
  readonly timeMs: number;
  readonly socketId: SocketId;
  /** As the application signed it. */
  readonly userId: string | undefined;
}

const defaultLimits: ConfirmedBufferLimits = {
  maxWaiting: 10_000,
  maxWaitingBytes: 16 * 1_048_576,
  maxUnconfirmed: 256,
  republishMs: 1_000,
};

export class Egress {
  readonly #options: EgressOptions;
  readonly #buffer: ConfirmedBuffer<EgressEvent>;
  readonly #sent: Counter;
  readonly #dropped: Counter;
  #config: EgressConfig;

  constructor(options: EgressOptions) {
    const { clock, metrics } = options;
    const log = options.log.child({ part: 'egress' });
    this.#options = options;
    this.#config = options.config;
    this.#buffer = new ConfirmedBuffer(
      { publish: (event) => this.#publish(event), bytes: ({ body }) => body.length },
      clock,
      { ...defaultLimits, ...options.limits },
      {
        interrupted: (error) =>
          log.warn({ err: error }, 'events for services wait for the broker on this edge'),
        restored: (dropped) => log.info({ dropped }, 'events for services reach the broker again'),
        dropped: (events) => this.#dropped.add(events, { reason: 'overflow' }),
      },
    );
    this.#sent = metrics.counter(
      'warren_egress_events_total',
      'Events for services that the broker has confirmed.',
    );
    this.#dropped = metrics.counter(
      'warren_egress_events_dropped_total',
      'Events for services that were lost: overflow (the broker was away for longer than this edge could keep them), refused (a queue of a service is full and refuses).',
    );
    metrics.gauge(
      'warren_egress_events_waiting',
      'Events for services that the broker has not confirmed yet.',
      () => this.#buffer.size,
    );
  }

  get config(): EgressConfig {
    return this.#config;
  }

  /** In the order of the calls; while the broker is away up to 10,000 (16 MiB) are kept, then the oldest are dropped and counted. */
  clientEvent(app: AppConfig, accepted: AcceptedClientEvent): void {
    const { id, channel, event, data, timeMs, socketId, userId } = accepted;
    this.#buffer.push(
      createEgressEvent({
        appId: app.id,
        id,
        channel,
        type: event,
        data,
        timeMs,
        socketId,
        ...(userId === undefined ? {} : { userId }),
      }),
    );
  }

  /** Tells of transitions, where services want to hear of them; other events it leaves alone. */
  emit(app: AppConfig, event: WebhookEvent): void {
    switch (event.name) {
      case 'channel_occupied':
      case 'channel_vacated':
        if (this.#config.occupancy) this.#transition(app, event);
        return;
      case 'member_added':
      case 'member_removed':
        if (this.#config.presence) this.#transition(app, event, event.user_id);
        return;
      case 'client_event':
      case 'cache_miss':
      case 'subscription_count':
        return;
    }
  }

  reload(config: EgressConfig): void {
    this.#config = config;
  }

  /** Hands over what waits here, until the deadline. What is left then is lost, and the log says so. */
  async stop(deadlineMs: number): Promise<void> {
    const { clock, log } = this.#options;
    const over = new AbortController();
    await Promise.race([delay(clock, deadlineMs, over.signal), this.#buffer.emptied()]);
    over.abort();
    const lost = this.#buffer.size;
    if (lost > 0) log.warn({ lost }, 'events for services are lost: the broker is away');
    this.#buffer.close();
  }

  #transition(app: AppConfig, { name, ...data }: WebhookEvent, userId?: string): void {
    const channel = parseChannel(data.channel);
    if (!channel.ok) return;
    this.#buffer.push(
      createEgressEvent({
        appId: app.id,
        channel: channel.value,
        type: name,
        data: JSON.stringify(data),
        timeMs: this.#options.clock.now(),
        ...(userId === undefined ? {} : { userId }),
      }),
    );
  }

  async #publish(event: EgressEvent): Promise<void> {
    try {
      await this.#options.port.publish(event);
    } catch (error) {
      // Whoever owns the queue had it refuse. The others have their copy, and another try would double it.
      if ((error as Partial<BrokerError> | null)?.code !== 'broker_refused') throw error;
      this.#dropped.add(1, { reason: 'refused' });
      return;
    }
    this.#sent.add(1);
  }
}
