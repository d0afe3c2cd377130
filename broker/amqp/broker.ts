/** The AMQP adapter: two supervised connections, and the five ports on top of them. */
import { randomBytes } from 'node:crypto';
import { type TopologyNames, topology } from '../../contracts/topology.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Broker, BrokerStatus } from '../port.ts';
import { amqpChannelPublisher } from './channel-publisher.ts';
import { ConfirmPublisher } from './confirm-publisher.ts';
import { ensureExchange } from './declare.ts';
import { AmqpDomainEvents } from './domain-events.ts';
import { AmqpEdgeBus } from './edge-bus.ts';
import { AmqpEdgeQueues } from './edge-queues.ts';
import { Lane } from './lane.ts';
import { type Backoff, Link, type LinkOptions } from './link.ts';
import { AmqpSessionQueues } from './session-queues.ts';

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
}

/** How long closing may wait for the broker's answers. */
const politeCloseMs = 2_000;

const defaults = {
  connectionName: 'warren',
  maxUnconfirmed: 10_000,
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
  const shared = new Lane(consuming, undefined, log);
  const node = randomBytes(6).toString('hex');
  const sessionQueues = new AmqpSessionQueues(consuming, names, node, log);
  const domainEvents = new AmqpDomainEvents({
    link: consuming,
    publisher: confirmed,
    names,
    clock,
    log,
  });
  let closing: Promise<void> | undefined;
  const close = async () => {
    const over = new AbortController();
    const polite = Promise.allSettled([
      domainEvents.closeAll(),
      sessionQueues.closeAll(),
      shared.close(),
    ]);
    // A broker that has gone silent answers nothing; its connection takes everything along.
    await Promise.race([polite, delay(clock, politeCloseMs, over.signal)]);
    over.abort();
    confirmed.close();
    await Promise.all([consuming.close(), publishing.close()]);
  };
  return {
    domainEvents,
    channelPublisher: amqpChannelPublisher(confirmed, names.channels),
    sessionQueues,
    edgeQueues: new AmqpEdgeQueues(shared, names),
    edgeBus: new AmqpEdgeBus(shared, confirmed, names),
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
