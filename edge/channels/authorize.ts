/** Whether a socket may subscribe to a channel: decided from the parsed name, so a name that needs a signature never gets by without. */
import type { Channel } from '../../contracts/channel.ts';
import type { SocketId } from '../../contracts/ids.ts';
import type { SubscriptionError } from '../../contracts/pusher/frames.ts';
import { type SigningKey, verifyChannel } from '../../contracts/pusher/signature.ts';

export interface SubscriptionClaim {
  readonly auth?: string;
  /** The exact text that was signed; nothing here parses it. */
  readonly channelData?: string;
}

/** The refusal, or nothing where the subscription is allowed. */
export function authorize(
  channel: Channel,
  claim: SubscriptionClaim,
  socketId: SocketId,
  keys: readonly SigningKey[],
): SubscriptionError | undefined {
  switch (channel.kind) {
    case 'public':
      return undefined;
    case 'private': {
      const { auth, channelData } = claim;
      const signed =
        auth !== undefined && verifyChannel(keys, auth, socketId, channel.name, channelData);
      return signed ? undefined : unsigned;
    }
    case 'presence':
    case 'server-to-user':
      return notAvailable;
  }
}

const unsigned: SubscriptionError = {
  type: 'AuthError',
  error: 'The auth signature does not hold for this socket and channel.',
  status: 401,
};

const notAvailable: SubscriptionError = {
  type: 'InvalidChannel',
  error: 'This kind of channel is not available in this version.',
  status: 501,
};
