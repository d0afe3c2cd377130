/** What edges keep cluster-wide sums of: the subscribers of a channel, the sockets of a presence member, the sockets of a signed-in user. */
import type { AppId, ChannelName } from './ids.ts';

export type DirectoryKey =
  | { readonly kind: 'channel'; readonly app: AppId; readonly channel: ChannelName }
  | {
      readonly kind: 'member';
      readonly app: AppId;
      readonly channel: ChannelName;
      readonly user: string;
    }
  | { readonly kind: 'user'; readonly app: AppId; readonly user: string };

/** The same text for the same key, and for no other. */
export function directoryKeyText(key: DirectoryKey): string {
  switch (key.kind) {
    case 'channel':
      return JSON.stringify(['channel', key.app, key.channel]);
    case 'member':
      return JSON.stringify(['member', key.app, key.channel, key.user]);
    case 'user':
      return JSON.stringify(['user', key.app, key.user]);
  }
}

/** `undefined` for text that `directoryKeyText` does not make: two texts for one key would be two sums. */
export function parseDirectoryKey(text: string): DirectoryKey | undefined {
  let parts: unknown;
  try {
    parts = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(parts) || !parts.every((part) => typeof part === 'string')) return undefined;
  const key = keyOf(parts);
  return key !== undefined && directoryKeyText(key) === text ? key : undefined;
}

function keyOf([kind, app, ...rest]: readonly string[]): DirectoryKey | undefined {
  const [first = '', second = ''] = rest;
  if (kind === 'channel' && rest.length === 1) {
    return { kind, app: app as AppId, channel: first as ChannelName };
  }
  if (kind === 'member' && rest.length === 2) {
    return { kind, app: app as AppId, channel: first as ChannelName, user: second };
  }
  if (kind === 'user' && rest.length === 1) return { kind, app: app as AppId, user: first };
  return undefined;
}

/** Keys of one channel share it, so that one owner sees all that happens in a channel in one order. */
export function directoryShard(key: DirectoryKey): string {
  return key.kind === 'user'
    ? directoryKeyText(key)
    : directoryKeyText({ kind: 'channel', app: key.app, channel: key.channel });
}
