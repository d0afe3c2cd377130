/** One socket as the target of a publication, where otherwise a channel stands. */
import {
  type AppId,
  type ChannelKey,
  type ChannelName,
  parseSocketId,
  type SocketId,
} from './ids.ts';
import { encodeWord } from './routing-key.ts';

export interface SocketTarget {
  readonly kind: 'socket';
  readonly socketId: SocketId;
  /** `socket:<id>`, in the place of a channel's name: no channel can have it, as a name holds no colon. */
  readonly name: ChannelName;
  /** A socket that comes later is another one. */
  readonly cache: false;
}

const prefix = 'socket:';

export function socketTarget(socketId: SocketId): SocketTarget {
  return { kind: 'socket', socketId, name: `${prefix}${socketId}` as ChannelName, cache: false };
}

/** The socket that a publication is for, by the name in it; `undefined` where it names a channel. */
export function socketOf(name: string): SocketId | undefined {
  return name.startsWith(prefix) ? parseSocketId(name.slice(prefix.length)) : undefined;
}

/**
 * What every edge is bound to for the sockets of an app. `!` is outside the alphabet of channel keys, so it is no channel's, and the
 * app's word stands first as in theirs, so topic permissions mean the same here.
 */
export function socketKey(appId: AppId): ChannelKey {
  return `${encodeWord(appId)}.!socket` as ChannelKey;
}
