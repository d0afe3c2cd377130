/** Frames that the server sends (Pusher protocol 7): each function returns the JSON text of one frame. */
import type { FrameCode } from '../errors.ts';
import type { SocketId } from '../ids.ts';

/** `data` is a JSON *string*: SDKs other than pusher-js expect text. */
function frame(event: string, data: unknown, channel?: string): string {
  const named = channel === undefined ? '' : `,"channel":${JSON.stringify(channel)}`;
  return `{"event":${JSON.stringify(event)}${named},"data":${JSON.stringify(JSON.stringify(data))}}`;
}

/** Must be the first frame. `activityTimeoutSeconds` must be at least 1: pusher-js fails on 0. */
export function connectionEstablished(socketId: SocketId, activityTimeoutSeconds: number): string {
  return frame('pusher:connection_established', {
    socket_id: socketId,
    activity_timeout: activityTimeoutSeconds,
  });
}

export const ping = frame('pusher:ping', {});
export const pong = frame('pusher:pong', {});

/** Sent once per subscription, before any event of the channel; pusher-js emits it as `pusher:subscription_succeeded`. */
export function subscriptionSucceeded(channel: string, data: unknown = {}): string {
  return frame('pusher_internal:subscription_succeeded', data, channel);
}

export interface SubscriptionError {
  readonly type: 'AuthError' | 'InvalidChannel' | 'LimitReached';
  readonly error: string;
  readonly status: number;
}

/**
 * Refuses one channel and leaves the socket open. `data` is an object here, as the servers that have this frame send it.
 * pusher-js keeps a refused subscription pending until it reconnects, so a failure that may pass is never answered with it.
 */
export function subscriptionError(channel: string, error: SubscriptionError): string {
  return JSON.stringify({ event: 'pusher:subscription_error', channel, data: error });
}

/** A complaint about one client frame. Hosted Pusher sends `data` as an object; `code` is null where it names none. */
export function errorFrame(type: FrameCode, message: string, code: number | null = null): string {
  return JSON.stringify({ event: 'pusher:error', data: { code, message, type } });
}

/** Says what became of a session id: before the first `subscription_succeeded`. A window of 0 means there is no continuity. */
export function session(state: { resumed: boolean; windowSeconds: number }): string {
  return frame('warren:session', { resumed: state.resumed, window: state.windowSeconds });
}

/** Tells a page that its edge is about to close the socket on purpose. */
export const draining = frame('warren:draining', {});
