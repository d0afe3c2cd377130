/** Refused messages as dead-letter queues keep them: the headers that Warren adds, and how to read them back. */
import { createHash } from 'node:crypto';
import type { IncomingEvent } from './domain-event.ts';
import { maxRoutingKeyBytes } from './routing-key.ts';

/** Headers that a refused event carries in `router.events.dlq`, beside its own. */
export const deadLetterHeaders = {
  /** `<code>: <text>` */
  reason: 'x-warren-reason',
  code: 'x-warren-reason-code',
  /** Where it was published to. */
  exchange: 'x-warren-exchange',
  routingKey: 'x-warren-routing-key',
  /** ISO 8601. */
  at: 'x-warren-dead-at',
} as const;

export interface DeadLetter {
  /**
   * Ten characters that stay the same as long as the letter is in the queue. Two letters share it only where message id, routing key,
   * time and body are the same, so that it does not matter which is which.
   */
  readonly id: string;
  /** As it was before it was refused, and as a rule would see it again: without the headers that dead-lettering added. */
  readonly event: IncomingEvent;
  /** For people; of events `<code>: <text>`. */
  readonly reason: string;
  /** A stable code: Warren's, or what RabbitMQ says of what it dead-lettered itself (`delivery_limit`, `expired`, `maxlen`, …). */
  readonly code: string;
  /** When it was refused, in ms since 1970; absent where nobody said. */
  readonly atMs?: number;
}

/** Added by the broker on the way; what is published again must not carry them. */
const brokerHeaders =
  /^(x-death|x-(first|last)-death-(reason|queue|exchange)|x-delivery-count|x-acquired-count)$/;
const ownHeaders: ReadonlySet<string> = new Set(Object.values(deadLetterHeaders));

/**
 * Where a message was published to. A dead letter that was put back comes through the default exchange, and carries the exchange and
 * routing key that it first had; on any other way these headers are not believed.
 */
export function originalRoute({ exchange, routingKey, headers }: Route): Route {
  const was = headers[deadLetterHeaders.routingKey];
  if (exchange !== '' || !isRoutingKey(was)) return { exchange, routingKey, headers };
  const from = headers[deadLetterHeaders.exchange];
  return {
    exchange: typeof from === 'string' ? from : exchange,
    routingKey: was,
    headers: withoutDeadLetterHeaders(headers),
  };
}

type Route = Pick<IncomingEvent, 'exchange' | 'routingKey' | 'headers'>;

/** @param message as it lies in the dead-letter queue */
export function readDeadLetter(message: IncomingEvent): DeadLetter {
  const { headers } = message;
  const death = firstDeath(headers);
  const ownKey = headers[deadLetterHeaders.routingKey];
  const from = headers[deadLetterHeaders.exchange];
  const event: IncomingEvent = {
    ...message,
    exchange: typeof from === 'string' ? from : (death?.exchange ?? message.exchange),
    routingKey: isRoutingKey(ownKey) ? ownKey : (death?.routingKey ?? message.routingKey),
    headers: withoutDeadLetterHeaders(headers),
    redelivered: false,
  };
  const atMs = timeOf(headers[deadLetterHeaders.at]) ?? death?.atMs;
  return {
    id: idOf(event, atMs),
    event,
    ...reasonOf(headers, death),
    ...(atMs === undefined ? {} : { atMs }),
  };
}

/** What a letter is published with when it is put back: its own headers, and the way that it first came. */
export function replayHeaders({ event }: DeadLetter): Readonly<Record<string, unknown>> {
  return {
    ...event.headers,
    [deadLetterHeaders.exchange]: event.exchange,
    [deadLetterHeaders.routingKey]: event.routingKey,
  };
}

function withoutDeadLetterHeaders(
  headers: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  const kept = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(headers)) {
    if (!ownHeaders.has(name) && !brokerHeaders.test(name)) kept[name] = value;
  }
  return kept;
}

function isRoutingKey(value: unknown): value is string {
  return typeof value === 'string' && Buffer.byteLength(value, 'utf8') <= maxRoutingKeyBytes;
}

function reasonOf(
  headers: Readonly<Record<string, unknown>>,
  death: Death | undefined,
): Pick<DeadLetter, 'reason' | 'code'> {
  const reason = headers[deadLetterHeaders.reason];
  const code = headers[deadLetterHeaders.code];
  if (typeof reason === 'string') {
    return { reason, code: typeof code === 'string' ? code : 'unknown' };
  }
  if (death === undefined) return { reason: 'nobody said why', code: 'unknown' };
  return { reason: `the broker dead-lettered it: ${death.reason}`, code: death.reason };
}

interface Death {
  readonly reason: string;
  readonly exchange?: string;
  readonly routingKey?: string;
  readonly atMs?: number;
}

/** RabbitMQ's account of why it dead-lettered a message itself. */
function firstDeath(headers: Readonly<Record<string, unknown>>): Death | undefined {
  const deaths = headers['x-death'];
  // The newest comes first.
  const death: unknown = Array.isArray(deaths) ? deaths.at(-1) : undefined;
  if (typeof death !== 'object' || death === null) return undefined;
  const { reason, exchange, time, 'routing-keys': keys } = death as Record<string, unknown>;
  const key: unknown = Array.isArray(keys) ? keys[0] : undefined;
  const seconds = (time as { readonly value?: unknown } | undefined)?.value;
  return {
    reason: typeof reason === 'string' ? reason : 'unknown',
    ...(typeof exchange === 'string' ? { exchange } : {}),
    ...(isRoutingKey(key) ? { routingKey: key } : {}),
    ...(typeof seconds === 'number' ? { atMs: seconds * 1_000 } : {}),
  };
}

function timeOf(value: unknown): number | undefined {
  // biome-ignore lint/style/noRestrictedGlobals: it reads a text, not the time
  const atMs = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(atMs) ? undefined : atMs;
}

/** Crockford's base 32: nothing in it is mistaken for something else when it is read out. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const idLength = 10;

function idOf(event: IncomingEvent, atMs: number | undefined): string {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([event.messageId ?? null, event.routingKey, atMs ?? null]));
  hash.update(event.body);
  const bytes = hash.digest().subarray(0, idLength);
  return [...bytes].map((byte) => alphabet[byte & 31]).join('');
}
