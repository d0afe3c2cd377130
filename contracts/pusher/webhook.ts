/** Webhooks (Pusher protocol): what the server reports to an app's HTTP targets, and how a report waits for its turn. */
import { isJsonObject, maxJsonDepth, nestsDeeperThan, own } from '../json-guard.ts';
import { fail, ok, type Result } from '../result.ts';

export const webhookEventNames = [
  'channel_occupied',
  'channel_vacated',
  'member_added',
  'member_removed',
  'client_event',
  'cache_miss',
  'subscription_count',
] as const;

export type WebhookEventName = (typeof webhookEventNames)[number];

/** One event as it stands in the body's `events`. */
export type WebhookEvent =
  | {
      readonly name: 'channel_occupied' | 'channel_vacated' | 'cache_miss';
      readonly channel: string;
    }
  | {
      readonly name: 'member_added' | 'member_removed';
      readonly channel: string;
      readonly user_id: string;
    }
  | {
      readonly name: 'client_event';
      readonly channel: string;
      readonly event: string;
      /** Text; what was no text when it was sent is JSON. */
      readonly data: string;
      readonly socket_id: string;
      /** On presence channels. */
      readonly user_id?: string;
    }
  | {
      readonly name: 'subscription_count';
      readonly channel: string;
      readonly subscription_count: number;
    };

/**
 * The body of one request.
 *
 * @param timeMs when the newest of the events happened, in ms since 1970: a receiver sees by it how late it hears, and a repeated
 *   request with the same events has the same bytes and so the same signature
 */
export function webhookBody(timeMs: number, events: readonly WebhookEvent[]): Buffer {
  return Buffer.from(JSON.stringify({ time_ms: timeMs, events }), 'utf8');
}

/** One event on its way to one target, as it waits in the broker between the edge that saw it and the edge that sends it. */
export interface QueuedWebhook {
  /** Unique for each event and target: a report that reached the broker twice is sent once. */
  readonly id: string;
  readonly app: string;
  /** For people who read dead letters: scheme, host and port. Path and query may be what protects the target. */
  readonly target: string;
  /** When it happened, in ms since 1970. */
  readonly timeMs: number;
  readonly event: WebhookEvent;
}

export function encodeQueuedWebhook(webhook: QueuedWebhook): Buffer {
  return Buffer.from(JSON.stringify(webhook), 'utf8');
}

/** The error is a sentence about what is missing; it quotes nothing of the report. */
export function decodeQueuedWebhook(body: Buffer): Result<QueuedWebhook, string> {
  const value = nestsDeeperThan(body, maxJsonDepth) ? undefined : parse(body);
  if (!isJsonObject(value)) return fail('the report is no JSON object');
  const id = own(value, 'id');
  const app = own(value, 'app');
  const target = own(value, 'target');
  const timeMs = own(value, 'timeMs');
  if (typeof id !== 'string' || id === '') return fail('the report has no id');
  if (typeof app !== 'string') return fail('the report names no app');
  if (typeof target !== 'string') return fail('the report names no target');
  if (!isCount(timeMs)) return fail('the report has no time');
  const event = eventOf(own(value, 'event'));
  return event === undefined
    ? fail('the report holds no webhook event')
    : ok({ id, app, target, timeMs, event });
}

/** Picks the fields of the protocol, so that nothing else can be signed in an app's name. */
function eventOf(value: unknown): WebhookEvent | undefined {
  if (!isJsonObject(value)) return undefined;
  const name = webhookEventNames.find((known) => known === own(value, 'name'));
  const channel = own(value, 'channel');
  if (name === undefined || typeof channel !== 'string') return undefined;
  switch (name) {
    case 'channel_occupied':
    case 'channel_vacated':
    case 'cache_miss':
      return { name, channel };
    case 'member_added':
    case 'member_removed': {
      const user = own(value, 'user_id');
      return typeof user === 'string' ? { name, channel, user_id: user } : undefined;
    }
    case 'subscription_count': {
      const count = own(value, 'subscription_count');
      return isCount(count) ? { name, channel, subscription_count: count } : undefined;
    }
    case 'client_event':
      return clientEventOf(value, channel);
  }
}

function clientEventOf(value: Record<string, unknown>, channel: string): WebhookEvent | undefined {
  const event = own(value, 'event');
  const data = own(value, 'data');
  const socket = own(value, 'socket_id');
  const user = own(value, 'user_id');
  if (typeof event !== 'string' || typeof data !== 'string' || typeof socket !== 'string') {
    return undefined;
  }
  if (user !== undefined && typeof user !== 'string') return undefined;
  const known = { name: 'client_event', channel, event, data, socket_id: socket } as const;
  return user === undefined ? known : { ...known, user_id: user };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
