/**
 * The grammar of channel names and the one place that decides what kind of channel a name means.
 *
 * The kind follows from an anchored prefix alone, longest prefix first; a name that the grammar does not know is refused.
 * Every question of the kind "does it need authorization" is answered from the parsed value, never from the text again.
 */
import type { ChannelName } from './ids.ts';
import { fail, ok, type Result } from './result.ts';

export type ChannelKind = 'public' | 'private' | 'presence' | 'server-to-user';

export interface Channel {
  readonly name: ChannelName;
  readonly kind: ChannelKind;
  /** The payload is encrypted end to end; client events make no sense on it. */
  readonly encrypted: boolean;
  /** The last published event is kept and replayed to new subscribers. */
  readonly cache: boolean;
  /** True for every kind but `public`. */
  readonly requiresAuthorization: boolean;
  /** The user that a `server-to-user` channel belongs to. */
  readonly userId?: string;
}

export interface ChannelNameError {
  readonly code: 'invalid_channel_name';
  readonly text: string;
}

interface Prefix {
  readonly prefix: string;
  readonly kind: ChannelKind;
  readonly encrypted: boolean;
  readonly cache: boolean;
}

/** Pusher protocol, channel types; longest prefix first, so that the first hit decides. */
const prefixes: readonly Prefix[] = [
  { prefix: 'private-encrypted-cache-', kind: 'private', encrypted: true, cache: true },
  { prefix: 'private-encrypted-', kind: 'private', encrypted: true, cache: false },
  { prefix: 'presence-cache-', kind: 'presence', encrypted: false, cache: true },
  { prefix: 'private-cache-', kind: 'private', encrypted: false, cache: true },
  { prefix: 'presence-', kind: 'presence', encrypted: false, cache: false },
  { prefix: 'private-', kind: 'private', encrypted: false, cache: false },
  { prefix: 'cache-', kind: 'public', encrypted: false, cache: true },
];

const namePattern = /^[A-Za-z0-9_\-=@,.;]+$/;
const serverToUserPrefix = '#server-to-user-';

/** Hosted Pusher documents 164, its SDKs accept 200. */
export const maxChannelNameLength = 200;
/** Hosted Pusher's limit on a user id, in characters. */
export const maxUserIdLength = 128;

/**
 * Parses a channel name.
 *
 * @param name untrusted; anything but a string is refused
 * @param maxLength characters, 1 to 200; does not count the prefix of a server-to-user channel
 */
export function parseChannel(
  name: unknown,
  maxLength: number = maxChannelNameLength,
): Result<Channel, ChannelNameError> {
  if (typeof name !== 'string' || name.length === 0) {
    return refuse('a channel name is a non-empty string');
  }
  if (name.startsWith('#')) return parseServerToUser(name);
  if (name.length > maxLength) {
    return refuse(
      `the channel name is ${name.length} characters long, at most ${maxLength} are allowed`,
    );
  }
  if (!namePattern.test(name)) {
    return refuse('a channel name may hold only letters, digits and _ - = @ , . ;');
  }
  for (const entry of prefixes) {
    if (!name.startsWith(entry.prefix)) continue;
    if (name.length === entry.prefix.length) {
      return refuse(`nothing follows the prefix ${entry.prefix}`);
    }
    return ok({
      name: name as ChannelName,
      kind: entry.kind,
      encrypted: entry.encrypted,
      cache: entry.cache,
      requiresAuthorization: entry.kind !== 'public',
    });
  }
  return ok({
    name: name as ChannelName,
    kind: 'public',
    encrypted: false,
    cache: false,
    requiresAuthorization: false,
  });
}

/** The id is free text (`auth0|42` is a real one); the routing key codec makes it harmless. */
function parseServerToUser(name: string): Result<Channel, ChannelNameError> {
  const userId = name.slice(serverToUserPrefix.length);
  if (!name.startsWith(serverToUserPrefix) || userId === '') {
    return refuse(`a name that starts with # must be ${serverToUserPrefix}<user id>`);
  }
  if (userId.length > maxUserIdLength || !userId.isWellFormed()) {
    return refuse(`a user id is well-formed text of at most ${maxUserIdLength} characters`);
  }
  return ok({
    name: name as ChannelName,
    kind: 'server-to-user',
    encrypted: false,
    cache: false,
    requiresAuthorization: true,
    userId,
  });
}

/** The channel that carries events for one user; refused where the id is empty, too long or ill-formed. */
export function serverToUserChannel(userId: string): Result<Channel, ChannelNameError> {
  return parseServerToUser(serverToUserPrefix + userId);
}

function refuse(text: string): Result<Channel, ChannelNameError> {
  return fail({ code: 'invalid_channel_name', text });
}
