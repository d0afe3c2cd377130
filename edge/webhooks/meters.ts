/** What is counted of webhooks. A report costs an HTTP request, so counting it directly is not felt. */
import type { Counter, Labels, Metrics } from '../../runtime/metrics.ts';
import type { FailureCause } from './target-client.ts';

/** Why a report will not be sent any more: `expired`, `refused` (private address, bad URL), `gone` (app or webhook), `malformed`. */
export type GiveUpCause = 'expired' | 'refused' | 'gone' | 'malformed';

export interface WebhookMeters {
  /** Events that a target has answered with 2xx. */
  sent(events: number): void;
  attemptFailed(cause: FailureCause): void;
  deadLettered(cause: GiveUpCause): void;
  dropped(events: number): void;
}

/** Read when scraped. */
export interface WebhookFigures {
  /** Events on this edge that the broker has not taken yet. */
  waiting(): number;
  /** Targets whose breaker is not closed, per app. */
  breakersOpen(): readonly (readonly [number, Labels])[];
}

export function webhookMeters(
  metrics: Metrics | undefined,
  figures: WebhookFigures,
): WebhookMeters {
  const counter = (name: string, help: string): Counter | undefined => metrics?.counter(name, help);
  const sent = counter(
    'warren_webhook_events_sent_total',
    'Events that targets answered with 2xx.',
  );
  const failed = counter(
    'warren_webhook_attempts_failed_total',
    'Requests to targets that failed and are tried again, by cause: status (other than 2xx), timeout, connection.',
  );
  const deadLettered = counter(
    'warren_webhook_events_dead_lettered_total',
    'Events given up: expired (five minutes old), refused (private address, bad URL), gone (app or webhook), malformed.',
  );
  const dropped = counter(
    'warren_webhook_events_dropped_total',
    'Events lost because the broker was away for longer than this edge could keep them. Should stay 0.',
  );
  metrics?.gauge(
    'warren_webhook_events_waiting',
    'Events on this edge that the broker has not confirmed yet.',
    figures.waiting,
  );
  metrics?.gauge(
    'warren_webhook_breakers_open',
    'Targets that get no requests, or only trials, because most of the last ones failed, by app.',
    figures.breakersOpen,
  );
  return {
    sent: (events) => sent?.add(events),
    attemptFailed: (cause) => failed?.add(1, { cause }),
    deadLettered: (cause) => deadLettered?.add(1, { cause }),
    dropped: (events) => dropped?.add(events),
  };
}
