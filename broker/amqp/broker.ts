/** The AMQP adapter: two supervised connections, and the ports on top of them. */
import { randomBytes } from 'node:crypto';
import type { ChannelModel } from 'amqplib';
import { type TopologyNames, topology } from '../../contracts/topology.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { type Broker, type BrokerStatus, webhookLifetimeMs } from '../port.ts';
import { amqpChannelPublisher } from './channel-publisher.ts';
import { amqpClientEvents } from './client-events.ts';
import { ConfirmPublisher } from './confirm-publisher.ts';
import { ensureExchange } from './declare.ts';
import { AmqpDomainEvents } from './domain-events.ts';
import { AmqpEdgeBus } from './edge-bus.ts';
import { AmqpEdgeQueues } from './edge-queues.ts';
import { Lane } from './lane.ts';
import { type Backoff, Link, type LinkOptions } from './link.ts';
import { AmqpPublicationCache, ensureCacheStream } from './publication-cache.ts';
import { AmqpSessionQueues } from './session-queues.ts';
import { AmqpWebhookQueues } from './webhook-queues.ts';

export interface AmqpOptions {
  /** Tried in turn. Credentials in them are never logged. */
  readonly urls: readonly string[];
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly log: Log;
  /** A dead link is noticed within about three times this. */
  readonly heartbeatSeconds: number;
  readonly confirmTimeoutMs: number;
  /** Shown in the broker's list of connections. */
  readonly connectionName?: string;
  /** Publications that may await their confirm at a time; beyond it `broker_busy`. */
  readonly maxUnconfirmed?: number;
  readonly backoff?: Backoff;
  /** Channels of sessions that hold a message for as long as they live are renewed at a quiet moment after this. Default 15 minutes. */
  readonly renewSessionsAfterMs?: number;
  /** Between attempts to take up sources of domain events that are missing. Default 5 seconds. */
  readonly retrySourcesAfterMs?: number;
  /** Default `webhookLifetimeMs`. Like the next, it shapes only queues that do not exist yet. */
  readonly webhookLifetimeMs?: number;
  /** Reports that wait for one target. Default 10,000. */
  readonly maxWebhookReports?: number;
}

/** How long closing may wait for the broker's answers. */
const politeCloseMs = 2_000;

const defaults = {
  connectionName: 'warren',
  maxUnconfirmed: 10_000,
  maxWebhookReports: 10_000,
  renewSessionsAfterMs: 15 * 60_000,
  retrySourcesAfterMs: 5_000,
  backoff: { minimumMs: 100, maximumMs: 3_000 },
};

/**
 * Returns at once and connects in the background, again and again until `close()`; `status()` tells how it stands.
 * Publishing has a connection of its own: under a memory or disk alarm the broker stops reading from publishing connections, and a
 * bind or acknowledgement on the same one would hang with it.
 */
export function connectAmqp(options: AmqpOptions): Broker {
  const { names, clock, log } = options;
  const listeners = new Set<(status: BrokerStatus) => void>();
  let known: BrokerStatus = { ready: false, reason: 'connecting to the broker' };
  let publisher: ConfirmPublisher | undefined;

  const status = (): BrokerStatus => {
    const problem = consuming.problem ?? publishing.problem;
    if (problem !== undefined) return { ready: false, reason: problem };
    return publisher?.ready === true
      ? { ready: true }
      : { ready: false, reason: 'the publishing channel is being opened' };
  };
  const onChange = () => {
    if (publisher === undefined) return;
    const next = status();
    const changed = next.ready !== known.ready;
    known = next;
    if (changed) for (const listener of [...listeners]) listener(next);
  };
  /** What is published for the cache before an edge first reads it must not be lost; a broker without streams does all else. */
  const cacheStreamReady = (model: ChannelModel) =>
    ensureCacheStream(model, names).catch((error: unknown) => {
      log.warn({ err: error }, 'publications of cache channels are not kept by this broker');
    });
  const link = (purpose: LinkOptions['purpose']) =>
    new Link(
      {
        urls: options.urls,
        purpose,
        connectionName: options.connectionName ?? defaults.connectionName,
        heartbeatSeconds: options.heartbeatSeconds,
        backoff: options.backoff ?? defaults.backoff,
        clock,
        log,
        async prepare(model) {
          for (const exchange of topology(names).exchanges) await ensureExchange(model, exchange);
          if (purpose === 'publish') await cacheStreamReady(model);
        },
      },
      onChange,
    );
  const publishing = link('publish');
  const consuming = link('consume');
  publisher = new ConfirmPublisher(
    publishing,
    {
      clock,
      log,
      confirmTimeoutMs: options.confirmTimeoutMs,
      maxUnconfirmed: options.maxUnconfirmed ?? defaults.maxUnconfirmed,
    },
    onChange,
  );
  const confirmed = publisher;
  const toServices = new ConfirmPublisher(
    publishing,
    {
      clock,
      log,
      confirmTimeoutMs: options.confirmTimeoutMs,
      maxUnconfirmed: options.maxUnconfirmed ?? defaults.maxUnconfirmed,
      isolated: true,
    },
    () => undefined,
  );
  const shared = new Lane(consuming, undefined, log);
  const node = randomBytes(6).toString('hex');
  const sessionQueues = new AmqpSessionQueues({
    link: consuming,
    publisher: confirmed,
    names,
    clock,
    log,
    node,
    renewAfterMs: options.renewSessionsAfterMs ?? defaults.renewSessionsAfterMs,
  });
  const domainEvents = new AmqpDomainEvents({
    link: consuming,
    publisher: confirmed,
    names,
    clock,
    log,
    retryAfterMs: options.retrySourcesAfterMs ?? defaults.retrySourcesAfterMs,
  });
  const publicationCache = new AmqpPublicationCache({
    link: consuming,
    publisher: confirmed,
    names,
    clock,
    log,
    answerTimeoutMs: options.confirmTimeoutMs,
  });
  const webhookQueues = new AmqpWebhookQueues({
    link: consuming,
    publishing,
    publisher: confirmed,
    names,
    clock,
    log,
    bounds: {
      lifetimeMs: options.webhookLifetimeMs ?? webhookLifetimeMs,
      maxReports: options.maxWebhookReports ?? defaults.maxWebhookReports,
    },
    declareTimeoutMs: options.confirmTimeoutMs,
    maxWaiting: options.maxUnconfirmed ?? defaults.maxUnconfirmed,
  });
  let closing: Promise<void> | undefined;
  const close = async () => {
    const over = new AbortController();
    const polite = Promise.allSettled([
      domainEvents.closeAll(),
      publicationCache.closeAll(),
      webhookQueues.closeAll(),
      sessionQueues.closeAll(),
      shared.close(),
    ]);
    // A broker that has gone silent answers nothing; its connection takes everything along.
    await Promise.race([polite, delay(clock, politeCloseMs, over.signal)]);
    over.abort();
    confirmed.close();
    toServices.close();
    await Promise.all([consuming.close(), publishing.close()]);
  };
  return {
    domainEvents,
    channelPublisher: amqpChannelPublisher(confirmed, names.channels, clock),
    sessionQueues,
    edgeQueues: new AmqpEdgeQueues(shared, names),
    edgeBus: new AmqpEdgeBus(shared, confirmed, names),
    publicationCache,
    webhookQueues,
    clientEvents: amqpClientEvents(toServices, names.clients),
    status,
    onStatus(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      closing ??= close();
      return closing;
    },
  };
}
