/** A message that Redis published, as the domain event it becomes. Pure: what is made of it here depends on its bytes alone. */
import { parseChannel } from './channel.ts';
import { defaultEnvelopeLimits } from './domain-event.ts';
import { parseSocketId } from './ids.ts';
import { isJsonObject, maxJsonDepth, nestsDeeperThan } from './json-guard.ts';
import { memberText } from './json-member.ts';
import { fail, ok, type Result } from './result.ts';
import { decodeWord, encodeWord, maxRoutingKeyBytes } from './routing-key.ts';

/** The first word of the routing key of what came from Redis. */
export const redisWord = 'redis';

/** AMQP headers of such an event. */
export const redisHeaders = {
  /** The channel's name without its prefix; only where that is a legal channel name of clients, too. */
  channel: 'x-redis-channel',
  /** The event name: that of a broadcast, else `App\Events\MessageSent`. */
  event: 'x-redis-event',
  /** The socket that a broadcast leaves out; only where it is a socket id. */
  socket: 'x-redis-socket',
} as const;

/** What a message without an event of its own is called: Echo listens to it as `MessageSent`. */
const plainMessageEvent = 'App\\Events\\MessageSent';

export interface RedisEvent {
  /** `redis.E(channel)`. */
  readonly routingKey: string;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON in UTF-8, byte for byte as it was published: the message, or the `data` of a broadcast. */
  readonly body: Buffer;
}

/** Why a message cannot become a domain event. */
export type RedisRefusal = 'invalid_channel' | 'too_large' | 'invalid_json' | 'invalid_event';

/** Of any app; longer ones could not travel as a header either. */
const maxEventNameLength = 1_000;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads what was published on a channel whose name begins with the prefix. A message is a broadcast of Laravel's if it is an object
 * with the keys `event` (text) and `data`, maybe `socket` (text or null), and no others; anything else is a plain message.
 */
export function redisEventOf(
  channel: Uint8Array,
  message: Buffer,
  prefix: string,
): Result<RedisEvent, RedisRefusal> {
  const fullName = decode(channel);
  if (fullName === undefined || !fullName.startsWith(prefix)) return fail('invalid_channel');
  const name = fullName.slice(prefix.length);
  if (name === '') return fail('invalid_channel');
  if (message.length > defaultEnvelopeLimits.maxBytes) return fail('too_large');
  if (nestsDeeperThan(message, maxJsonDepth)) return fail('invalid_json');
  const text = decode(message);
  const parsed = text === undefined ? undefined : parse(text);
  if (text === undefined || parsed === undefined) return fail('invalid_json');
  const headers: Record<string, string> = {};
  if (parseChannel(name).ok) headers[redisHeaders.channel] = name;
  const routingKey = `${redisWord}.${redisChannelWord(name)}`;
  const broadcast = broadcastOf(parsed.value);
  if (broadcast === undefined) {
    headers[redisHeaders.event] = plainMessageEvent;
    return ok({ routingKey, headers, body: message });
  }
  const { event } = broadcast;
  if (event === '' || event.length > maxEventNameLength || !event.isWellFormed()) {
    return fail('invalid_event');
  }
  headers[redisHeaders.event] = event;
  // Laravel passes on whatever the browser's X-Socket-ID header says, `undefined` for one. That must not keep the others from hearing.
  const socket = parseSocketId(broadcast.socket);
  if (socket !== undefined) headers[redisHeaders.socket] = socket;
  return ok({ routingKey, headers, body: Buffer.from(memberText(text, 'data') ?? 'null', 'utf8') });
}

/** E of the contract, so that the word and `redis.` fit into a routing key together. */
function redisChannelWord(name: string): string {
  return encodeWord(name, maxRoutingKeyBytes - redisWord.length - 1);
}

/** The headers of a plain message with this routing key; none where it is not that of a channel that clients can name. */
export function plainMessageHeaders(routingKey: string): Readonly<Record<string, string>> {
  const [first, word = '', ...rest] = routingKey.split('.');
  const name = first === redisWord && rest.length === 0 ? decodeWord(word) : undefined;
  if (name === undefined || !parseChannel(name).ok) return {};
  return { [redisHeaders.channel]: name, [redisHeaders.event]: plainMessageEvent };
}

const broadcastKeys: ReadonlySet<string> = new Set(['event', 'data', 'socket']);

function broadcastOf(
  value: unknown,
): { readonly event: string; readonly socket: unknown } | undefined {
  if (!isJsonObject(value)) return undefined;
  if (!Object.keys(value).every((key) => broadcastKeys.has(key))) return undefined;
  const { event, socket } = value;
  if (typeof event !== 'string' || !Object.hasOwn(value, 'data')) return undefined;
  const isSocket = socket === undefined || socket === null || typeof socket === 'string';
  return isSocket ? { event, socket } : undefined;
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

function parse(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}
