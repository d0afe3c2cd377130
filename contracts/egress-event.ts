/** What services hear of clients, on the exchange `warren.clients`: CloudEvents 1.0, in binary mode over AMQP. */
import { randomUUID } from 'node:crypto';
import type { Channel } from './channel.ts';
import type { AppId, SocketId } from './ids.ts';
import { encodeWord, maxRoutingKeyBytes } from './routing-key.ts';

export interface EgressEvent {
  /** Three words: `E(app).<channel kind>.E(type)`. */
  readonly key: string;
  /** CloudEvents `id`, and AMQP `message_id`; the same however often the event is published. */
  readonly id: string;
  readonly timeMs: number;
  /** The attributes, `cloudEvents:` before each name. */
  readonly headers: Readonly<Record<string, string>>;
  /** A JSON text. */
  readonly body: Buffer;
}

export interface EgressInput {
  readonly appId: AppId;
  readonly channel: Pick<Channel, 'name' | 'kind'>;
  /** The event's name: `client-…` as the client sent it, else `member_added`, `member_removed`, `channel_occupied` or `channel_vacated`. */
  readonly type: string;
  /** When it happened, in ms since 1970. */
  readonly timeMs: number;
  /** JSON text. */
  readonly data: string;
  /** Random by default. */
  readonly id?: string;
  /** The socket that caused it. */
  readonly socketId?: SocketId;
  /** Only what the application has signed: never what a client says of itself. */
  readonly userId?: string;
}

export const egressContentType = 'application/json';
const prefix = 'cloudEvents:';

export function createEgressEvent(input: EgressInput): EgressEvent {
  const { appId, channel, type, timeMs, data, socketId, userId } = input;
  const id = input.id ?? randomUUID();
  const headers: Record<string, string> = {
    [`${prefix}specversion`]: '1.0',
    [`${prefix}id`]: id,
    [`${prefix}source`]: `/apps/${appId}`,
    [`${prefix}type`]: type,
    [`${prefix}time`]: rfc3339(timeMs),
    [`${prefix}datacontenttype`]: egressContentType,
    [`${prefix}app`]: appId,
    [`${prefix}channel`]: channel.name,
  };
  if (socketId !== undefined) headers[`${prefix}socketid`] = socketId;
  if (userId !== undefined) headers[`${prefix}userid`] = userId;
  return {
    key: egressKey(appId, channel.kind, type),
    id,
    timeMs,
    headers,
    body: Buffer.from(data),
  };
}

/** At most 255 bytes; a type that is too long for it becomes a hash, as in `encodeWord`. */
function egressKey(appId: AppId, kind: Channel['kind'], type: string): string {
  const start = `${encodeWord(appId)}.${kind}.`;
  return start + encodeWord(type, maxRoutingKeyBytes - start.length);
}

function rfc3339(timeMs: number): string {
  // biome-ignore lint/style/noRestrictedGlobals: it writes a given time and reads no clock
  return new Date(timeMs).toISOString();
}
