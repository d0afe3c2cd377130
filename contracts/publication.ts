/**
 * A publication: one event for one channel, encoded once, by whoever publishes it (router or HTTP API).
 * Its body is the text of the WebSocket frame that browsers receive; nothing after this point parses or rebuilds it.
 */
import { randomUUID } from 'node:crypto';
import type { AppId, ChannelKey, ChannelName, SocketId } from './ids.ts';
import { channelKey } from './routing-key.ts';
import { socketKey } from './socket-target.ts';

export interface Publication {
  readonly appId: AppId;
  readonly channel: ChannelName;
  readonly key: ChannelKey;
  /** The publication id: the publisher's `message_id`, else random. Carried in the frame and as AMQP `message_id`. */
  readonly id: string;
  /** UTF-8 JSON text of the frame: event, channel, data, id. */
  readonly body: Buffer;
  /** This socket does not get it. */
  readonly except?: SocketId;
  /** The broker keeps it for those who subscribe later. */
  readonly cached?: boolean;
  /**
   * No event but a word to the edges, with an empty body: this user is taken off the channel. It travels as events do, so that it comes
   * behind what was published before it and before what is published after it, in parked sessions too.
   */
  readonly revokes?: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export interface PublicationInput {
  readonly appId: AppId;
  readonly channel: ChannelName;
  readonly event: string;
  /** The text that the client's `data` will be, byte for byte. */
  readonly data: string;
  readonly id?: string;
  readonly except?: SocketId;
  readonly cached?: boolean;
  /** It is for one socket, whose `SocketTarget.name` stands in `channel`: the frame names no channel. */
  readonly toSocket?: boolean;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

/** Longest id that is carried on, in bytes: AMQP's limit for `message_id`. A longer one is replaced by a random one. */
const maxPublicationIdBytes = 255;

/** Encodes the frame. All text must be well-formed, or it would not survive UTF-8. */
export function createPublication(input: PublicationInput): Publication {
  const id = isUsableId(input.id) ? input.id : randomUUID();
  const toSocket = input.toSocket === true;
  const channel = toSocket ? '' : `,"channel":${JSON.stringify(input.channel)}`;
  const frame =
    `{"event":${JSON.stringify(input.event)}${channel}` +
    `,"data":${JSON.stringify(input.data)},"id":${JSON.stringify(id)}}`;
  return {
    appId: input.appId,
    channel: input.channel,
    key: toSocket ? socketKey(input.appId) : channelKey(input.appId, input.channel),
    id,
    body: Buffer.from(frame, 'utf8'),
    ...(input.except === undefined ? {} : { except: input.except }),
    ...(input.cached === true ? { cached: true } : {}),
    ...(input.traceparent === undefined ? {} : { traceparent: input.traceparent }),
    ...(input.tracestate === undefined ? {} : { tracestate: input.tracestate }),
  };
}

export interface ClientEventInput {
  readonly appId: AppId;
  readonly channel: ChannelName;
  readonly event: string;
  /** JSON text of the data, which clients get as it is: not as a string of JSON. */
  readonly data: string;
  /** Who sent it, as its application signed; on presence channels only. */
  readonly userId?: string;
  /** The sender, which does not get it back. */
  readonly except: SocketId;
}

/** What one client sends to the others of a channel. Never kept for a cache channel. */
export function createClientEvent(input: ClientEventInput): Publication {
  const id = randomUUID();
  const user = input.userId === undefined ? '' : `,"user_id":${JSON.stringify(input.userId)}`;
  const frame =
    `{"event":${JSON.stringify(input.event)},"channel":${JSON.stringify(input.channel)}` +
    `,"data":${input.data}${user},"id":"${id}"}`;
  return {
    appId: input.appId,
    channel: input.channel,
    key: channelKey(input.appId, input.channel),
    id,
    body: Buffer.from(frame, 'utf8'),
    except: input.except,
  };
}

export interface RevocationInput {
  readonly appId: AppId;
  readonly channel: ChannelName;
  /** 1 to 128 characters, well-formed. */
  readonly user: string;
  readonly traceparent?: string;
  readonly tracestate?: string;
}

export function createRevocation(input: RevocationInput): Publication {
  return {
    appId: input.appId,
    channel: input.channel,
    key: channelKey(input.appId, input.channel),
    id: randomUUID(),
    body: Buffer.alloc(0),
    revokes: input.user,
    ...(input.traceparent === undefined ? {} : { traceparent: input.traceparent }),
    ...(input.tracestate === undefined ? {} : { tracestate: input.tracestate }),
  };
}

function isUsableId(id: string | undefined): id is string {
  if (id === undefined || id === '' || !id.isWellFormed()) return false;
  return Buffer.byteLength(id, 'utf8') <= maxPublicationIdBytes;
}

/** AMQP headers of a publication. `x-channel` lets an edge check the exact name where a long key was hashed. */
export const publicationHeaders = {
  channel: 'x-channel',
  except: 'x-except',
  /** A user id. Counts beside an empty body only. */
  revokes: 'x-revokes',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
} as const;
