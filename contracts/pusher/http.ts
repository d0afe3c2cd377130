/** What callers of the HTTP API send: the bodies of its publishing calls and what they ask to know of channels, as typed values. */
import { isUtf8 } from 'node:buffer';
import { type Channel, maxChannelNameLength, parseChannel } from '../channel.ts';
import { parseSocketId, type SocketId } from '../ids.ts';
import { isJsonObject, maxJsonDepth, nestsDeeperThan, own } from '../json-guard.ts';
import { fail, ok, type Result } from '../result.ts';
import type { AppLimits } from './limits.ts';

export interface Trigger {
  readonly event: string;
  /** Text for the clients, byte for byte as published; JSON values that are not text are serialised. */
  readonly data: string;
  readonly channels: readonly Channel[];
  readonly except?: SocketId;
  /** What the caller wants to know of the channels; mostly nothing. */
  readonly info: ReadonlySet<ChannelAttribute>;
}

/** What a caller may ask to know of a channel (HTTP API, `info`). */
export type ChannelAttribute = 'user_count' | 'subscription_count' | 'cache';

/** What a publish and a list of channels can tell. */
export const countAttributes: readonly ChannelAttribute[] = ['user_count', 'subscription_count'];
/** What can be asked about one channel. */
export const channelAttributes: readonly ChannelAttribute[] = [...countAttributes, 'cache'];

export interface BodyError {
  readonly code: 'bad_request' | 'too_large';
  readonly text: string;
}

/** The largest body that a legal call can have; anything longer is refused unread. */
export function maxRequestBytes(limits: AppLimits): number {
  const names = limits.eventNameLength + limits.channelsPerEvent * maxChannelNameLength;
  // JSON escapes a byte as six at worst (PHP escapes every non-ASCII letter); the rest is keys and punctuation.
  return limits.eventsPerBatch * ((limits.eventPayloadBytes + names) * 6 + 4 * 1024);
}

/** `POST /events`: 1 to `channelsPerEvent` channels, all checked before anything is published. */
export function parseTrigger(body: Buffer, limits: AppLimits): Result<Trigger, BodyError> {
  const parsed = parseBody(body);
  return parsed.ok ? triggerOf(parsed.value, limits, '') : parsed;
}

/** `POST /batch_events`: all events are checked before the first is published. */
export function parseBatch(body: Buffer, limits: AppLimits): Result<readonly Trigger[], BodyError> {
  const parsed = parseBody(body);
  if (!parsed.ok) return parsed;
  const batch = own(parsed.value, 'batch');
  if (!Array.isArray(batch)) return bad('"batch" must be a list of events');
  if (batch.length === 0) return bad('"batch" is empty');
  if (batch.length > limits.eventsPerBatch) {
    return bad(
      `the batch holds ${batch.length} events, at most ${limits.eventsPerBatch} are allowed`,
    );
  }
  const triggers: Trigger[] = [];
  for (const [index, item] of batch.entries()) {
    if (!isJsonObject(item)) return bad(`batch[${index}] must be an object`);
    const trigger = triggerOf(item, limits, `batch[${index}]: `);
    if (!trigger.ok) return trigger;
    // The answer has one place for each event.
    if (trigger.value.info.size > 0 && trigger.value.channels.length > 1) {
      return bad(`batch[${index}]: "info" is about one channel, the event names several`);
    }
    triggers.push(trigger.value);
  }
  return ok(triggers);
}

function parseBody(body: Buffer): Result<Record<string, unknown>, BodyError> {
  if (nestsDeeperThan(body, maxJsonDepth))
    return bad(`the JSON nests deeper than ${maxJsonDepth} levels`);
  if (!isUtf8(body)) return bad('the body is not UTF-8');
  try {
    const value = JSON.parse(body.toString('utf8')) as unknown;
    return isJsonObject(value) ? ok(value) : bad('the body must be a JSON object');
  } catch {
    return bad('the body is not JSON');
  }
}

function triggerOf(
  body: Record<string, unknown>,
  limits: AppLimits,
  where: string,
): Result<Trigger, BodyError> {
  const event = own(body, 'name');
  if (typeof event !== 'string' || event === '' || !event.isWellFormed()) {
    return bad(`${where}"name" must be non-empty text`);
  }
  if (event.length > limits.eventNameLength) {
    return bad(
      `${where}the event name has ${event.length} characters, at most ${limits.eventNameLength} are allowed`,
    );
  }
  if (isReservedEvent(event)) {
    return bad(
      `${where}event names that start with pusher:, pusher_internal: or warren: belong to the protocol`,
    );
  }
  const data = dataText(own(body, 'data'));
  if (data === undefined) return bad(`${where}"data" is missing`);
  if (!data.isWellFormed()) return bad(`${where}"data" holds a lone surrogate`);
  const bytes = Buffer.byteLength(data, 'utf8');
  if (bytes > limits.eventPayloadBytes) {
    return fail({
      code: 'too_large',
      text: `${where}the data has ${bytes} bytes, at most ${limits.eventPayloadBytes} are allowed`,
    });
  }
  const channels = channelsOf(body, limits, where);
  if (!channels.ok) return channels;
  const socket = own(body, 'socket_id');
  const except = parseSocketId(socket);
  if (socket !== undefined && socket !== null && except === undefined) {
    return bad(`${where}"socket_id" must be of the form 123.456`);
  }
  const info = parseInfo(own(body, 'info'), countAttributes);
  if (!info.ok) return bad(`${where}${info.error}`);
  return ok({
    event,
    data,
    channels: channels.value,
    ...(except === undefined ? {} : { except }),
    info: info.value,
  });
}

/** All attributes together have 36 characters. */
const maxInfoLength = 256;

/**
 * @param info as text with commas, or a list; absent, null and empty ask for nothing
 * @param known attributes that this call can tell
 */
export function parseInfo(
  info: unknown,
  known: readonly ChannelAttribute[],
): Result<ReadonlySet<ChannelAttribute>, string> {
  const isList = Array.isArray(info) && info.every((name) => typeof name === 'string');
  const text: unknown = info === undefined || info === null ? '' : isList ? info.join(',') : info;
  if (typeof text !== 'string' || text.length > maxInfoLength) {
    return fail(`"info" must be one or more of ${known.join(', ')}`);
  }
  const attributes = new Set<ChannelAttribute>();
  for (const piece of text.split(',')) {
    const name = piece.trim();
    if (name === '') continue;
    const attribute = known.find((candidate) => candidate === name);
    if (attribute === undefined) {
      return fail(
        `"info" asks for ${JSON.stringify(name.slice(0, 40))}, here it may be ${known.join(', ')}`,
      );
    }
    attributes.add(attribute);
  }
  return ok(attributes);
}

/** Names that would let a publisher forge protocol frames. */
export function isReservedEvent(event: string): boolean {
  return (
    event.startsWith('pusher:') ||
    event.startsWith('pusher_internal:') ||
    event.startsWith('warren:')
  );
}

function channelsOf(
  body: Record<string, unknown>,
  limits: AppLimits,
  where: string,
): Result<readonly Channel[], BodyError> {
  const many = own(body, 'channels');
  const one = own(body, 'channel');
  const names: unknown = many ?? (one === undefined ? undefined : [one]);
  if (!Array.isArray(names) || names.length === 0) {
    return bad(
      `${where}"channels" must be a list of 1 to ${limits.channelsPerEvent} channel names`,
    );
  }
  if (names.length > limits.channelsPerEvent) {
    return bad(
      `${where}the event names ${names.length} channels, at most ${limits.channelsPerEvent} are allowed`,
    );
  }
  const channels = new Map<string, Channel>();
  for (const name of names as unknown[]) {
    const channel = parseChannel(name, limits.channelNameLength);
    if (!channel.ok) return bad(`${where}${channel.error.text}`);
    channels.set(channel.value.name, channel.value);
  }
  return ok([...channels.values()]);
}

function dataText(data: unknown): string | undefined {
  if (data === undefined) return undefined;
  return typeof data === 'string' ? data : JSON.stringify(data);
}

function bad(text: string): { ok: false; error: BodyError } {
  return fail({ code: 'bad_request', text });
}
