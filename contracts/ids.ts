/** Branded ids: each is parsed once where it enters the process and trusted from there on. */

declare const brand: unique symbol;
type Branded<B extends string> = string & { readonly [brand]: B };

/** Names one tenant. `[A-Za-z0-9_\-=@,;]`, 1 to 64 characters: it is a word of every routing key. */
export type AppId = Branded<'AppId'>;
/** A channel name that passed the grammar of `contracts/channel.ts`. */
export type ChannelName = Branded<'ChannelName'>;
/** `<integer>.<integer>`, new for every connection (Pusher protocol, connection_established). */
export type SocketId = Branded<'SocketId'>;
/** Two words, `E(app).E(channel)`, at most 255 bytes (contracts/routing-key.ts). */
export type ChannelKey = Branded<'ChannelKey'>;
/** Names one edge process for as long as it lives: `[a-z0-9-]`, at most 64 characters. */
export type EdgeId = Branded<'EdgeId'>;

const appIdPattern = /^[A-Za-z0-9_\-=@,;]{1,64}$/;
const socketIdPattern = /^\d{1,20}\.\d{1,20}$/;

export function parseAppId(text: unknown): AppId | undefined {
  return typeof text === 'string' && appIdPattern.test(text) ? (text as AppId) : undefined;
}

/** Server SDKs refuse anything else than `\d+.\d+`, so we do too. */
export function parseSocketId(text: unknown): SocketId | undefined {
  return typeof text === 'string' && socketIdPattern.test(text) ? (text as SocketId) : undefined;
}
