/**
 * Who a client is, as its application signed it: `channel_data` of a presence subscription and `user_data` of a sign-in. Read only
 * after the signature was found to hold.
 */
import { maxUserIdLength } from '../channel.ts';
import { isJsonObject, maxJsonDepth, nestsDeeperThan, own } from '../json-guard.ts';
import { fail, ok, type Result } from '../result.ts';

/** A member of a presence channel. */
export interface Member {
  readonly userId: string;
  /** JSON text of user_info; null where there is none. */
  readonly info: string | null;
}

/** A signed-in user. */
export interface SignedInUser extends Member {
  /** Users that it wants to hear of, each once. */
  readonly watchlist: readonly string[];
  /** Entries beyond the limit, which were left out. */
  readonly watchlistOverflow: number;
}

/** @param maxInfoBytes of user_info as JSON */
export function parseChannelData(text: string, maxInfoBytes: number): Result<Member, string> {
  const data = parse(text);
  if (data === undefined) return fail('channel_data is not a JSON object');
  const userId = userIdOf(own(data, 'user_id'));
  if (userId === undefined) return fail(`channel_data.user_id ${expectedId}`);
  return memberOf(userId, data, 'channel_data', maxInfoBytes);
}

/** @param maxInfoBytes of user_info as JSON */
export function parseUserData(
  text: string,
  maxInfoBytes: number,
  maxWatched: number,
): Result<SignedInUser, string> {
  const data = parse(text);
  if (data === undefined) return fail('user_data is not a JSON object');
  const id = own(data, 'id');
  // pusher-js throws on an id that is no text, so such a success would break the page.
  const userId = typeof id === 'string' ? userIdOf(id) : undefined;
  if (userId === undefined)
    return fail(`user_data.id ${expectedId.replace('text or a number', 'text')}`);
  const member = memberOf(userId, data, 'user_data', maxInfoBytes);
  if (!member.ok) return member;
  const watchlist = own(data, 'watchlist') ?? [];
  if (!Array.isArray(watchlist)) return fail('user_data.watchlist must be a list of user ids');
  const users = new Set<string>();
  for (const entry of watchlist as unknown[]) {
    const user = userIdOf(entry);
    if (user === undefined) return fail(`each id of user_data.watchlist ${expectedId}`);
    users.add(user);
  }
  const watched = [...users];
  return ok({
    ...member.value,
    watchlist: watched.slice(0, maxWatched),
    watchlistOverflow: Math.max(0, watched.length - maxWatched),
  });
}

const expectedId = `must be text or a number, of 1 to ${maxUserIdLength} characters`;

/** A number becomes the text that JavaScript clients make of it: pusher-js looks its own member up under that. */
function userIdOf(value: unknown): string | undefined {
  const text = typeof value === 'number' && Number.isFinite(value) ? String(value) : value;
  if (typeof text !== 'string' || text === '' || text.length > maxUserIdLength) return undefined;
  return text.isWellFormed() ? text : undefined;
}

function memberOf(
  userId: string,
  data: Record<string, unknown>,
  where: string,
  maxInfoBytes: number,
): Result<Member, string> {
  const value = own(data, 'user_info');
  const info = value === undefined || value === null ? null : JSON.stringify(value);
  const bytes = info === null ? 0 : Buffer.byteLength(info, 'utf8');
  if (bytes > maxInfoBytes) {
    return fail(`${where}.user_info has ${bytes} bytes, at most ${maxInfoBytes} are allowed`);
  }
  return ok({ userId, info });
}

function parse(text: string): Record<string, unknown> | undefined {
  if (nestsDeeperThan(Buffer.from(text, 'utf8'), maxJsonDepth)) return undefined;
  try {
    const value = JSON.parse(text) as unknown;
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
