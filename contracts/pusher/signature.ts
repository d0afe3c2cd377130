/** Pusher's signatures: HMAC-SHA256 in lower-case hex, compared in constant time. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { SocketId } from '../ids.ts';
import { fail, ok, type Result } from '../result.ts';

export interface SigningKey {
  /** Public app key. */
  readonly key: string;
  readonly secret: string;
}

function sign(secret: string, text: string | Buffer): string {
  return createHmac('sha256', secret).update(text).digest('hex');
}

/** Constant time for equal lengths; both sides are hashed first, so a length mismatch leaks nothing and never throws. */
export function equalInConstantTime(left: string, right: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text, 'utf8').digest();
  return timingSafeEqual(digest(left), digest(right));
}

/**
 * The `auth` of a private or presence subscription: `key:hex`.
 *
 * @param channelData the exact string that the client will send; never re-serialised
 */
export function signChannel(
  app: SigningKey,
  socketId: SocketId,
  channel: string,
  channelData?: string,
): string {
  const suffix = channelData === undefined ? '' : `:${channelData}`;
  return `${app.key}:${sign(app.secret, `${socketId}:${channel}${suffix}`)}`;
}

/** True when one of the app's keys signed exactly this subscription; the key part is compared too. */
export function verifyChannel(
  apps: readonly SigningKey[],
  auth: string,
  socketId: SocketId,
  channel: string,
  channelData?: string,
): boolean {
  return apps.some((app) =>
    equalInConstantTime(auth, signChannel(app, socketId, channel, channelData)),
  );
}

/** The `auth` of `pusher:signin`: signs `socket_id::user::user_data`. */
export function signUser(app: SigningKey, socketId: SocketId, userData: string): string {
  return `${app.key}:${sign(app.secret, `${socketId}::user::${userData}`)}`;
}

/** True when one of the app's keys signed exactly this sign-in. */
export function verifyUser(
  apps: readonly SigningKey[],
  auth: string,
  socketId: SocketId,
  userData: string,
): boolean {
  return apps.some((app) => equalInConstantTime(auth, signUser(app, socketId, userData)));
}

export function bodyMd5(body: Buffer): string {
  return createHash('md5').update(body).digest('hex');
}

/** `X-Pusher-Signature` of a webhook: over the raw body. */
export function signWebhook(secret: string, body: Buffer): string {
  return sign(secret, body);
}

export type QueryParameters = ReadonlyMap<string, string>;

/** The string that `auth_signature` signs: method, path, and all other parameters sorted by lower-case key. */
export function httpSigningString(method: string, path: string, query: QueryParameters): string {
  const pairs = [...query]
    .filter(([name]) => name !== 'auth_signature')
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .sort(([left], [right]) => (left < right ? -1 : left > right ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`);
  return `${method}\n${path}\n${pairs.join('&')}`;
}

export function signHttp(
  secret: string,
  method: string,
  path: string,
  query: QueryParameters,
): string {
  return sign(secret, httpSigningString(method, path, query));
}

export interface SignedRequest {
  /** Upper case. */
  readonly method: string;
  /** The path as it was sent and percent-decoded: SDKs sign the raw text, others the encoded one. */
  readonly paths: readonly string[];
  /** Decoded parameters; a parameter that was given twice is refused before it comes here. */
  readonly query: QueryParameters;
  readonly body: Buffer;
  readonly nowSeconds: number;
}

/** Pusher accepts a timestamp within ten minutes either way. */
export const timestampToleranceSeconds = 600;

/**
 * Checks a request to the HTTP API: key, timestamp, body digest, then signature.
 * The error is a sentence for the caller that names the parameter at fault and never the expected value.
 */
export function verifyHttp(
  keys: readonly SigningKey[],
  request: SignedRequest,
): Result<SigningKey, string> {
  const parameter = (name: string) => request.query.get(name) ?? '';
  const app = keys.find((candidate) => equalInConstantTime(candidate.key, parameter('auth_key')));
  if (app === undefined) return fail('auth_key is not a key of this app');
  if (parameter('auth_version') !== '1.0') return fail('auth_version must be 1.0');
  const timestamp = parameter('auth_timestamp');
  if (!/^\d{1,12}$/.test(timestamp)) return fail('auth_timestamp must be seconds since 1970');
  const skew = Math.abs(Number(timestamp) - request.nowSeconds);
  if (skew > timestampToleranceSeconds) {
    return fail(
      `auth_timestamp is ${Math.round(skew)} s off this server's clock, at most ${timestampToleranceSeconds} s are accepted`,
    );
  }
  // A digest that was signed for a body must not pass for none: the body could be stripped on the way.
  const digestExpected = request.body.length > 0 || parameter('body_md5') !== '';
  if (digestExpected && !equalInConstantTime(parameter('body_md5'), bodyMd5(request.body))) {
    return fail('body_md5 is not the MD5 of the body');
  }
  const signature = parameter('auth_signature');
  const holds = request.paths.some((path) =>
    equalInConstantTime(signature, signHttp(app.secret, request.method, path, request.query)),
  );
  return holds ? ok(app) : fail('auth_signature does not hold');
}
