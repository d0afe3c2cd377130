/**
 * Whether a socket may subscribe to a channel, and as whom: decided from the parsed name, so a name that needs a signature never gets
 * by without. Nothing that a client sent is parsed before its signature was found to hold.
 */
import type { Channel } from '../../contracts/channel.ts';
import type { SocketId } from '../../contracts/ids.ts';
import type { SubscriptionError } from '../../contracts/pusher/frames.ts';
import { type Member, parseChannelData } from '../../contracts/pusher/identity.ts';
import { type SigningKey, verifyChannel } from '../../contracts/pusher/signature.ts';
import { fail, ok, type Result } from '../../contracts/result.ts';

export interface SubscriptionClaim {
  readonly auth?: string;
  /** The exact text that was signed. */
  readonly channelData?: string;
}

/** The socket that asks. */
export interface Claimant {
  readonly socketId: SocketId;
  /** Where it is signed in. */
  readonly user: Member | undefined;
}

export interface AuthorizationRules {
  readonly keys: readonly SigningKey[];
  /** Bytes of user_info as JSON. */
  readonly maxInfoBytes: number;
}

export interface Authorization {
  /** Whom it joins a presence channel as. */
  readonly member?: Member;
}

export function authorize(
  channel: Channel,
  claim: SubscriptionClaim,
  { socketId, user }: Claimant,
  { keys, maxInfoBytes }: AuthorizationRules,
): Result<Authorization, SubscriptionError> {
  if (channel.kind === 'public') return ok({});
  if (channel.kind === 'server-to-user') {
    return user !== undefined && user.userId === channel.userId ? ok({}) : fail(notTheUser);
  }
  const { auth, channelData } = claim;
  const isSigned =
    auth !== undefined && verifyChannel(keys, auth, socketId, channel.name, channelData);
  if (!isSigned) return fail(unsigned);
  if (channel.kind === 'private') return ok({});
  if (channelData === undefined) return user === undefined ? fail(nobody) : ok({ member: user });
  const member = parseChannelData(channelData, maxInfoBytes);
  return member.ok
    ? ok({ member: member.value })
    : fail({ type: 'AuthError', error: `${member.error}.`, status: 400 });
}

const unsigned: SubscriptionError = {
  type: 'AuthError',
  error: 'The auth signature does not hold for this socket and channel.',
  status: 401,
};

const nobody: SubscriptionError = {
  type: 'AuthError',
  error: 'A presence channel needs channel_data with a user_id, or a socket that is signed in.',
  status: 401,
};

const notTheUser: SubscriptionError = {
  type: 'AuthError',
  error:
    'Only a socket that is signed in as this user may subscribe to its channel: send pusher:signin first.',
  status: 401,
};
