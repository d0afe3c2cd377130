/** The envelope of a domain event: plain JSON, or CloudEvents 1.0 in structured or binary mode. */
import type { Refusal } from './errors.ts';
import { isJsonObject, maxJsonDepth, nestsDeeperThan } from './json-guard.ts';
import { fail, ok, type Result } from './result.ts';

/** A message as it came from the broker; headers are own keys only, on an object without a prototype. */
export interface IncomingEvent {
  readonly exchange: string;
  readonly routingKey: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly messageId?: string;
  /** AMQP `type`. */
  readonly type?: string;
  /** AMQP `user-id`, verified by the broker when present. */
  readonly userId?: string;
  readonly body: Buffer;
  readonly redelivered: boolean;
}

export interface DomainEvent {
  /** The routing key that it was published with. */
  readonly key: string;
  /** CloudEvents `id`, else AMQP `message_id`; absent when the publisher gave none. */
  readonly id?: string;
  readonly source?: string;
  /** CloudEvents `type`, else AMQP `type`. */
  readonly type?: string;
  readonly partitionKey?: string;
  /** CloudEvents attributes, extensions included; empty for plain JSON. */
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, unknown>>;
  /** The parsed payload. */
  readonly data: unknown;
  /** The payload as it was published, byte for byte (re-serialised only in structured mode). */
  readonly payload: string;
  /** W3C trace context as the publisher sent it, syntactically valid. */
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export interface EnvelopeLimits {
  /** Bytes of the AMQP body. */
  readonly maxBytes: number;
}

/** A domain event may be larger than what a client gets: projections shrink it. */
export const defaultEnvelopeLimits: EnvelopeLimits = { maxBytes: 1024 * 1024 };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
/** W3C Trace Context, level 1: version ff and ids of zeros are invalid. */
const traceparentPattern =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const attributeName = /^[a-z0-9]{1,64}$/;
const binaryPrefixes = ['cloudEvents:', 'cloudEvents_', 'ce-'];

/** Reads the envelope. Refusals are permanent: the same bytes will never be accepted. */
export function decodeDomainEvent(
  raw: IncomingEvent,
  limits: EnvelopeLimits = defaultEnvelopeLimits,
): Result<DomainEvent, Refusal> {
  if (raw.body.length > limits.maxBytes) {
    return refuse(
      'too_large',
      `the body has ${raw.body.length} bytes, at most ${limits.maxBytes} are accepted`,
    );
  }
  const encoding = raw.contentEncoding?.toLowerCase();
  if (encoding !== undefined && !['', 'identity', 'utf-8', 'utf8'].includes(encoding)) {
    return refuse(
      'unsupported_encoding',
      `content-encoding ${JSON.stringify(encoding.slice(0, 40))}`,
    );
  }
  if (nestsDeeperThan(raw.body, maxJsonDepth)) {
    return refuse('too_deep', `the JSON nests deeper than ${maxJsonDepth} levels`);
  }
  const text = decodeText(raw.body);
  if (!text.ok) return text;
  const parsed = parseJson(text.value);
  if (!parsed.ok) return parsed;
  if (mediaType(raw.contentType) === 'application/cloudevents+json') {
    return structured(raw, parsed.value);
  }
  const attributes = binaryAttributes(raw);
  if (!attributes.ok) return attributes;
  return ok(assemble(raw, attributes.value, parsed.value, text.value));
}

function decodeText(body: Buffer): Result<string, Refusal> {
  try {
    return ok(utf8.decode(body));
  } catch {
    return refuse('invalid_utf8', 'the body is not UTF-8');
  }
}

function parseJson(text: string): Result<unknown, Refusal> {
  try {
    return ok(JSON.parse(text) as unknown);
  } catch {
    return refuse('invalid_json', 'the body is not JSON');
  }
}

function structured(raw: IncomingEvent, envelope: unknown): Result<DomainEvent, Refusal> {
  if (!isJsonObject(envelope)) return refuse('invalid_cloudevent', 'the envelope is not an object');
  const attributes: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(envelope)) {
    if (name === 'data' || name === 'data_base64') continue;
    if (attributeName.test(name)) attributes[name] = value;
  }
  const problem = attributesProblem(attributes);
  if (problem !== undefined) return refuse('invalid_cloudevent', problem);
  if (Object.hasOwn(envelope, 'data_base64'))
    return base64Data(raw, attributes, envelope['data_base64']);
  const data = Object.hasOwn(envelope, 'data') ? envelope['data'] : null;
  return ok(assemble(raw, attributes, data, JSON.stringify(data)));
}

function base64Data(
  raw: IncomingEvent,
  attributes: Record<string, unknown>,
  encoded: unknown,
): Result<DomainEvent, Refusal> {
  if (typeof encoded !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) {
    return refuse('invalid_cloudevent', 'data_base64 is not base64');
  }
  const bytes = Buffer.from(encoded, 'base64');
  if (nestsDeeperThan(bytes, maxJsonDepth)) {
    return refuse('too_deep', `the JSON nests deeper than ${maxJsonDepth} levels`);
  }
  const text = decodeText(bytes);
  if (!text.ok) return text;
  const parsed = parseJson(text.value);
  if (!parsed.ok) return parsed;
  return ok(assemble(raw, attributes, parsed.value, text.value));
}

function binaryAttributes(raw: IncomingEvent): Result<Record<string, unknown>, Refusal> {
  const attributes: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  let found = false;
  for (const [header, value] of Object.entries(raw.headers)) {
    const prefix = binaryPrefixes.find((candidate) => header.startsWith(candidate));
    if (prefix === undefined) continue;
    const name = header.slice(prefix.length).toLowerCase();
    if (!attributeName.test(name)) continue;
    attributes[name] = value;
    found = true;
  }
  if (!found) return ok(attributes);
  const problem = attributesProblem(attributes);
  return problem === undefined ? ok(attributes) : refuse('invalid_cloudevent', problem);
}

function attributesProblem(attributes: Record<string, unknown>): string | undefined {
  for (const name of ['id', 'source', 'type', 'specversion']) {
    const value = attributes[name];
    if (typeof value !== 'string' || value === '')
      return `the attribute "${name}" is missing or not text`;
  }
  if (attributes['specversion'] !== '1.0') return 'specversion must be "1.0"';
  for (const name of ['partitionkey', 'subject', 'time', 'traceparent', 'tracestate']) {
    const value = attributes[name];
    if (value !== undefined && typeof value !== 'string')
      return `the attribute "${name}" is not text`;
  }
  return undefined;
}

function assemble(
  raw: IncomingEvent,
  attributes: Record<string, unknown>,
  data: unknown,
  payload: string,
): DomainEvent {
  const traceparent = text(raw.headers['traceparent']) ?? text(attributes['traceparent']);
  const valid = traceparent !== undefined && traceparentPattern.test(traceparent);
  const tracestate = text(raw.headers['tracestate']) ?? text(attributes['tracestate']);
  return {
    key: raw.routingKey,
    attributes,
    headers: raw.headers,
    data,
    payload,
    ...present('id', text(attributes['id']) ?? text(raw.messageId)),
    ...present('source', text(attributes['source'])),
    ...present('type', text(attributes['type']) ?? text(raw.type)),
    ...present('partitionKey', text(attributes['partitionkey'])),
    ...(valid ? { traceparent, ...present('tracestate', tracestate) } : {}),
  };
}

function present<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]?: string });
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function mediaType(contentType: string | undefined): string | undefined {
  return contentType?.split(';', 1)[0]?.trim().toLowerCase();
}

function refuse(code: Refusal['code'], reason: string): { ok: false; error: Refusal } {
  return fail({ code, text: reason });
}
