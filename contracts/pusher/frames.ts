/** Frames that the server sends (Pusher protocol 7): each function returns the JSON text of one frame. */
import type { FrameCode } from '../errors.ts';
import type { SocketId } from '../ids.ts';

/** `data` is a JSON *string*: SDKs other than pusher-js expect text. */
function frame(event: string, data: unknown, channel?: string): string {
  return textFrame(event, JSON.stringify(data), channel);
}

/** @param data JSON text */
function textFrame(event: string, data: string, channel?: string): string {
  const named = channel === undefined ? '' : `,"channel":${JSON.stringify(channel)}`;
  return `{"event":${JSON.stringify(event)}${named},"data":${JSON.stringify(data)}}`;
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

/**
 * Success on a presence channel, with its members. pusher-js reads `hash` and `count` only; `hash` must be an object, so the text is
 * put together by hand: no id, however odd, becomes anything but a key of it.
 *
 * @param members user id and user_info as JSON text, each user once
 */
export function presenceSucceeded(
  channel: string,
  members: Iterable<readonly [user: string, info: string | null]>,
): string {
  const ids: string[] = [];
  const hash: string[] = [];
  for (const [user, info] of members) {
    const id = JSON.stringify(user);
    ids.push(id);
    hash.push(`${id}:${info ?? 'null'}`);
  }
  const data = `{"presence":{"count":${ids.length},"ids":[${ids.join()}],"hash":{${hash.join()}}}}`;
  return textFrame('pusher_internal:subscription_succeeded', data, channel);
}

/** To the other sockets of a presence channel, once per user. */
export function memberAdded(channel: string, user: string, info: string | null): string {
  const detail = info === null ? '' : `,"user_info":${info}`;
  const data = `{"user_id":${JSON.stringify(user)}${detail}}`;
  return textFrame('pusher_internal:member_added', data, channel);
}

export function memberRemoved(channel: string, user: string): string {
  return frame('pusher_internal:member_removed', { user_id: user }, channel);
}

/** How many subscribers a channel has, cluster-wide; pusher-js emits it as `pusher:subscription_count`. */
export function subscriptionCount(channel: string, count: number): string {
  return frame('pusher_internal:subscription_count', { subscription_count: count }, channel);
}

/** Nothing is kept of a cache channel. Comes after the success, in place of the last event. */
export function cacheMiss(channel: string): string {
  return frame('pusher:cache_miss', {}, channel);
}

/** @param userData as the client sent it: it is echoed verbatim, and pusher-js parses it */
export function signinSuccess(userData: string): string {
  return frame('pusher:signin_success', { user_data: userData });
}

/** Who of the watched users came and went; an empty list is left out. */
export function watchlistEvents(online: readonly string[], offline: readonly string[]): string {
  const events = [
    { name: 'online', user_ids: online },
    { name: 'offline', user_ids: offline },
  ].filter(({ user_ids: users }) => users.length > 0);
  return frame('pusher_internal:watchlist_events', { events });
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

/**
 * Events of the channel may be missing before what comes next. `overflow`: more came than the session holds. `unknown`: the broker, or
 * the client's long absence, lost track. `unauthorized`: the channel is not the client's any more.
 */
export function continuityLost(
  channel: string,
  reason: 'overflow' | 'unknown' | 'unauthorized',
): string {
  return frame('warren:continuity_lost', { reason }, channel);
}

/** Tells a page that its edge is about to close the socket on purpose. */
export const draining = frame('warren:draining', {});
