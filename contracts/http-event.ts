/** A domain event that came over HTTP: CloudEvents 1.0 (HTTP binding, structured or binary) or plain JSON, as the message that it becomes. */
import { decodeDomainEvent, type IncomingEvent } from './domain-event.ts';
import { fail, ok, type Result } from './result.ts';
import { maxRoutingKeyBytes } from './routing-key.ts';

/** AMQP header: an event that carries it reaches rules of this app only, whatever their patterns match. */
export const appHeader = 'x-warren-app';

export interface HttpEventRequest {
  /** Whose secret signed it. */
  readonly appId: string;
  /** Query `key`. */
  readonly key: string | undefined;
  /** Query `id`. */
  readonly id: string | undefined;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: Buffer;
}

export interface HttpEvent {
  /** What the router will know it by. */
  readonly id: string;
  readonly message: HttpEventMessage;
}

export interface HttpEventMessage {
  readonly routingKey: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly contentType: string;
  /** Of plain JSON; a CloudEvent carries its id itself, and that may be too long for AMQP. */
  readonly messageId?: string;
  readonly body: Buffer;
}

export interface HttpEventError {
  readonly code: 'bad_request' | 'too_large';
  readonly text: string;
}

const structuredType = 'application/cloudevents+json';
/** Bytes: AMQP has room for 255. */
const maxIdBytes = 200;
/** Control characters, which no key needs and many tools stumble over. */
const control = /[\p{Cc}\u2028\u2029]/u;
const attributePattern = /^ce-[a-z0-9]{1,64}$/;

/**
 * Whatever is accepted here, the router can decode.
 *
 * @param newId called where the request names no id
 */
export function parseHttpEvent(
  request: HttpEventRequest,
  newId: () => string,
): Result<HttpEvent, HttpEventError> {
  const media = text(request.headers['content-type'])?.split(';', 1)[0]?.trim().toLowerCase();
  if (media?.startsWith('application/cloudevents') === true && media !== structuredType) {
    return bad(
      `the content type ${JSON.stringify(media.slice(0, 60))} is not read: send one event as ${structuredType}`,
    );
  }
  const structured = media === structuredType;
  const attributes = structured ? ok({}) : binaryAttributes(request.headers);
  if (!attributes.ok) return attributes;
  const binary = Object.keys(attributes.value).length > 0;
  const { id } = request;
  if (
    id !== undefined &&
    (id === '' || Buffer.byteLength(id, 'utf8') > maxIdBytes || !id.isWellFormed())
  ) {
    return bad(`"id" must be text of 1 to ${maxIdBytes} bytes`);
  }
  if (id !== undefined && (structured || binary)) {
    return bad('a CloudEvent has an id of its own: leave "id" out of the query');
  }
  if (binary && request.key === undefined) {
    return bad(
      '"key" is missing: in binary mode the type is a header, which the signature does not cover',
    );
  }
  const headers: Record<string, string> = { ...attributes.value, ...trace(request.headers) };
  headers[appHeader] = request.appId;
  const raw: IncomingEvent = {
    exchange: '',
    routingKey: request.key ?? '',
    headers,
    contentType: structured ? structuredType : 'application/json',
    body: request.body,
    redelivered: false,
  };
  const decoded = decodeDomainEvent(raw);
  if (!decoded.ok) {
    const { code, text: reason } = decoded.error;
    return fail({ code: code === 'too_large' ? code : 'bad_request', text: reason });
  }
  const event = decoded.value;
  const key = request.key ?? event.type;
  if (key === undefined) return bad('"key" is missing: the routing key of the event');
  const problem = keyProblem(key);
  if (problem !== undefined) return bad(`the routing key ${problem}`);
  const message = {
    routingKey: key,
    headers,
    contentType: raw.contentType ?? 'application/json',
    body: request.body,
  };
  if (event.id !== undefined) return ok({ id: event.id, message });
  const messageId = id ?? newId();
  return ok({ id: messageId, message: { ...message, messageId } });
}

function keyProblem(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (!key.isWellFormed() || control.test(key)) return 'holds control characters';
  const bytes = Buffer.byteLength(key, 'utf8');
  return bytes > maxRoutingKeyBytes
    ? `has ${bytes} bytes, at most ${maxRoutingKeyBytes} are allowed`
    : undefined;
}

/** `ce-…` headers, decoded as the HTTP binding (3.1.3.2) has it. */
function binaryAttributes(
  headers: HttpEventRequest['headers'],
): Result<Readonly<Record<string, string>>, HttpEventError> {
  const attributes: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith('ce-')) continue;
    const raw = text(value);
    if (!attributePattern.test(name) || raw === undefined) {
      return bad(`the header ${JSON.stringify(name.slice(0, 60))} is not a CloudEvents attribute`);
    }
    const decoded = percentDecoded(unquoted(raw));
    if (decoded === undefined) {
      return bad(`the header ${JSON.stringify(name)} is not percent-encoded UTF-8`);
    }
    attributes[name] = decoded;
  }
  return ok(attributes);
}

function unquoted(value: string): string {
  const inner = /^"((?:[^"\\]|\\.)*)"$/.exec(value)?.[1];
  return inner === undefined ? value : inner.replace(/\\(.)/g, '$1');
}

function percentDecoded(value: string): string | undefined {
  // Anything beyond ASCII has to be encoded; Node shows such bytes as Latin-1, which they may not be.
  if (/[^\x20-\x7e]/.test(value)) return undefined;
  try {
    return decodeURIComponent(value.replace(/%(?![0-9A-Fa-f]{2})/g, '%25'));
  } catch {
    return undefined;
  }
}

function trace(headers: HttpEventRequest['headers']): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of ['traceparent', 'tracestate']) {
    const value = text(headers[name]);
    if (value !== undefined) found[name] = value;
  }
  return found;
}

function text(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function bad(reason: string): { readonly ok: false; readonly error: HttpEventError } {
  return fail({ code: 'bad_request', text: reason });
}
