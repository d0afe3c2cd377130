/**
 * What the edge counts. Hot paths add to plain numbers; the metrics are brought up to date when somebody scrapes them, so counting
 * costs nothing per message. Labels come from fixed lists, never from clients.
 */
import type { Counter, Labels, Metrics } from '../runtime/metrics.ts';

/** One number per label value. */
class LabelledCount {
  readonly #values = new Map<string, number>();

  add(label: string, amount = 1): void {
    this.#values.set(label, (this.#values.get(label) ?? 0) + amount);
  }

  get(label: string): number {
    return this.#values.get(label) ?? 0;
  }

  entries(): Iterable<[string, number]> {
    return this.#values;
  }
}

export class EdgeTally {
  /** Events written to sockets. */
  deliveries = 0;
  /** Subscriptions that a revocation has ended. */
  revocations = 0;
  /** By reason: `late` (unsubscribed meanwhile), `excluded` (its own sender), `foreign` (another channel behind a
   * hashed key), `covered` (a cache channel’s replay was newer), `repeated` (written on this socket before). */
  readonly dropped = new LabelledCount();
  /** Frames from clients, by kind; `invalid` for those that are none. */
  readonly frames = new LabelledCount();
  /** Error frames and refused subscriptions, by code. */
  readonly errors = new LabelledCount();
  /** Connections refused or closed by this edge by close code; `client` for all that ended otherwise. */
  readonly closes = new LabelledCount();
  /** Notices that a session lost something, by reason. */
  readonly losses = new LabelledCount();
  /** HTTP answers, by status. */
  readonly http = new LabelledCount();
}

/** Read when scraped. */
export interface LiveFigures {
  connections(): number;
  subscriptions(): number;
  channels(): number;
  bufferedBytes(): number;
  users(): number;
  edges(): number;
  cachedChannels(): number;
  sessions(): number;
}

/** Registers the edge's metrics. */
export function exposeTally(metrics: Metrics, tally: EdgeTally, live: LiveFigures): void {
  const deliveries = metrics.counter(
    'warren_deliveries_total',
    'Events written to sockets, one per event and subscriber.',
  );
  const labelled = [
    byLabel(
      tally.dropped,
      'reason',
      metrics.counter('warren_deliveries_dropped_total', droppedHelp),
    ),
    byLabel(tally.frames, 'kind', metrics.counter('warren_frames_received_total', framesHelp)),
    byLabel(tally.errors, 'code', metrics.counter('warren_client_errors_total', errorsHelp)),
    byLabel(tally.closes, 'code', metrics.counter('warren_connections_closed_total', closesHelp)),
    byLabel(tally.losses, 'reason', metrics.counter('warren_session_losses_total', lossesHelp)),
    byLabel(tally.http, 'status', metrics.counter('warren_http_requests_total', httpHelp)),
  ];
  const revocations = metrics.counter(
    'warren_revocations_total',
    'Subscriptions that a domain event has ended (`unsubscribe` in warren.yaml).',
  );
  let delivered = 0;
  let revoked = 0;
  // Observable gauges are read before counters are collected, so what the callback adds is in the same scrape.
  metrics.gauge('warren_connections', 'Open WebSocket connections.', () => {
    deliveries.add(tally.deliveries - delivered);
    delivered = tally.deliveries;
    revocations.add(tally.revocations - revoked);
    revoked = tally.revocations;
    for (const bringUpToDate of labelled) bringUpToDate();
    return live.connections();
  });
  metrics.gauge(
    'warren_subscriptions',
    'Channels that sockets are subscribed to, summed over sockets.',
    () => live.subscriptions(),
  );
  metrics.gauge('warren_channels', 'Distinct channels with a subscriber on this edge.', () =>
    live.channels(),
  );
  metrics.gauge(
    'warren_socket_buffered_bytes',
    'Bytes waiting for clients to read them, summed over sockets. Rising means slow clients.',
    () => live.bufferedBytes(),
  );
  metrics.gauge('warren_signed_in_connections', 'Connections that are signed in as a user.', () =>
    live.users(),
  );
  metrics.gauge(
    'warren_cluster_edges',
    'Edges that this one counts as alive, itself included. All edges should say the same.',
    () => live.edges(),
  );
  metrics.gauge(
    'warren_cached_channels',
    'Cache channels of which this edge knows the last event.',
    () => live.cachedChannels(),
  );
  metrics.gauge('warren_sessions', 'Open connections with continuity.', () => live.sessions());
}

const droppedHelp =
  'Events not written: late (unsubscribed meanwhile), excluded (their own sender), foreign (must stay 0), covered (a cache channel’s replay was newer), repeated (published twice under one id).';
const framesHelp = 'Frames from clients by kind.';
const errorsHelp = 'Error frames and refused subscriptions by code.';
const closesHelp =
  'Ended connections by the close code this edge chose; "client" where it did not choose.';
const lossesHelp =
  'Sessions that were told of a gap, by reason: overflow (more came than a session holds), unknown (the broker lost it).';
const httpHelp = 'HTTP answers by status.';

function byLabel(count: LabelledCount, label: string, counter: Counter): () => void {
  const known = new Map<string, number>();
  return () => {
    for (const [value, total] of count.entries()) {
      const labels: Labels = { [label]: value };
      counter.add(total - (known.get(value) ?? 0), labels);
      known.set(value, total);
    }
  };
}
