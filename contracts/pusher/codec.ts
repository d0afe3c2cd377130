/** Frames that clients send: untrusted text to a typed value, or to the complaint that is sent back. */
import { type FrameCode, frameCodes } from '../errors.ts';
import { isJsonObject, maxJsonDepth, nestsDeeperThan, own } from '../json-guard.ts';
import { fail, ok, type Result } from '../result.ts';

export type ClientFrame =
  | { readonly kind: 'ping' }
  | { readonly kind: 'pong' }
  | {
      readonly kind: 'subscribe';
      /** Not yet parsed: its error names the channel. */
      readonly channel: string;
      readonly auth?: string;
      readonly channelData?: string;
    }
  | { readonly kind: 'unsubscribe'; readonly channel: string }
  | { readonly kind: 'signin'; readonly auth: string; readonly userData: string }
  | {
      readonly kind: 'client-event';
      readonly event: string;
      readonly channel: string;
      readonly data: unknown;
      /** The whole frame, as it came. */
      readonly text: string;
    };

export interface FrameError {
  readonly code: FrameCode;
  readonly text: string;
}

/** Decodes one text frame. Size is the socket's business: `maxPayload` has been applied before. */
export function decodeClientFrame(bytes: Buffer): Result<ClientFrame, FrameError> {
  if (nestsDeeperThan(bytes, maxJsonDepth)) return refuse('too_deep');
  const text = bytes.toString('utf8');
  const message = parse(text);
  if (!isJsonObject(message)) return refuse('invalid_frame');
  const event = own(message, 'event');
  if (typeof event !== 'string' || event === '' || !event.isWellFormed())
    return refuse('invalid_frame');
  switch (event) {
    case 'pusher:ping':
      return ok({ kind: 'ping' });
    case 'pusher:pong':
      return ok({ kind: 'pong' });
    case 'pusher:subscribe':
      return subscribe(dataObject(message));
    case 'pusher:unsubscribe':
      return unsubscribe(dataObject(message));
    case 'pusher:signin':
      return signin(dataObject(message));
    default:
      return event.startsWith('client-') ? clientEvent(event, message, text) : unknownEvent(event);
  }
}

function subscribe(data: Record<string, unknown> | undefined): Result<ClientFrame, FrameError> {
  const channel = data && own(data, 'channel');
  if (data === undefined || typeof channel !== 'string') {
    return refuse('invalid_frame', 'pusher:subscribe needs data.channel as text');
  }
  const auth = own(data, 'auth');
  const channelData = own(data, 'channel_data');
  if (!isSignableOrAbsent(auth) || !isSignableOrAbsent(channelData)) {
    return refuse(
      'invalid_frame',
      'pusher:subscribe needs data.auth and data.channel_data as text',
    );
  }
  return ok({
    kind: 'subscribe',
    channel,
    // Public subscriptions carry an empty auth: it means none.
    ...(typeof auth === 'string' && auth !== '' ? { auth } : {}),
    ...(typeof channelData === 'string' ? { channelData } : {}),
  });
}

function unsubscribe(data: Record<string, unknown> | undefined): Result<ClientFrame, FrameError> {
  const channel = data && own(data, 'channel');
  if (typeof channel !== 'string') {
    return refuse('invalid_frame', 'pusher:unsubscribe needs data.channel as text');
  }
  return ok({ kind: 'unsubscribe', channel });
}

function signin(data: Record<string, unknown> | undefined): Result<ClientFrame, FrameError> {
  const auth = data && own(data, 'auth');
  const userData = data && own(data, 'user_data');
  if (!isSignable(auth) || !isSignable(userData)) {
    return refuse('invalid_frame', 'pusher:signin needs data.auth and data.user_data as text');
  }
  return ok({ kind: 'signin', auth, userData });
}

function clientEvent(
  event: string,
  message: Record<string, unknown>,
  text: string,
): Result<ClientFrame, FrameError> {
  const channel = own(message, 'channel');
  if (typeof channel !== 'string') {
    return refuse('invalid_frame', 'a client event needs "channel" as text');
  }
  return ok({ kind: 'client-event', event, channel, data: own(message, 'data'), text });
}

/** pusher-js sends `data` as an object, other SDKs as a string of JSON. */
function dataObject(message: Record<string, unknown>): Record<string, unknown> | undefined {
  const data = own(message, 'data');
  const value = typeof data === 'string' ? parse(data) : data;
  return isJsonObject(value) ? value : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Signed text must be well-formed: in UTF-8, which is what a signature covers, all lone surrogates look the same. */
function isSignableOrAbsent(value: unknown): boolean {
  return value === undefined || value === null || isSignable(value);
}

function isSignable(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed();
}

function unknownEvent(event: string): Result<ClientFrame, FrameError> {
  return refuse('unknown_event', `unknown event ${JSON.stringify(event.slice(0, 60))}`);
}

function refuse(
  code: FrameCode,
  reason: string = frameCodes[code],
): Result<ClientFrame, FrameError> {
  return fail({ code, text: reason });
}
