/**
 * Which of several routers forwards what Redis publishes: a lease in Redis itself, of which every change is published as a mark on the
 * same server. Redis hands all subscribers one order, so a mark divides the messages before it from those behind it at the same place
 * for every router (docs/adr/0010-one-router-forwards-redis.md).
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';

/** How long a router that was killed keeps the others from taking its place. */
export const leaseMs = 2_000;

/** What the scripts publish: `taken <token>`, `free <token>`. */
export type Mark =
  | { readonly kind: 'taken'; readonly token: string }
  | { readonly kind: 'free'; readonly token: string };

/** Extends the lease of its holder; takes one that is free, or held under the former token of the same router. */
const claimScript = `
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return 1
end
if holder and holder ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
redis.call('PUBLISH', KEYS[1], 'taken ' .. ARGV[1])
return 1`;

const releaseScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', KEYS[1], 'free ' .. ARGV[1])
return 1`;

/** Keys and channels that no message comes from, whoever's they are. */
const namePrefix = 'warren:ingress:';

/** The key of the lease and the channel of its marks: the same for routers that do the same work. */
export function leaseName(work: readonly string[]): string {
  const hash = createHash('sha256').update(JSON.stringify(work), 'utf8').digest('base64url');
  return `${namePrefix}${hash}`;
}

export function isLeaseName(channel: Buffer): boolean {
  return channel.subarray(0, namePrefix.length).toString('latin1') === namePrefix;
}

/** A new one for each life of the connection: a mark of an earlier life must not open the gate of this one. */
export function newToken(): string {
  return randomBytes(16).toString('hex');
}

export function parseMark(text: string): Mark | undefined {
  const [kind, token, ...rest] = text.split(' ');
  if (token === undefined || rest.length > 0) return undefined;
  return kind === 'taken' || kind === 'free' ? { kind, token } : undefined;
}

/** @returns whether the lease is held under the token now */
export async function claimLease(
  redis: Redis,
  name: string,
  token: string,
  former: string,
): Promise<boolean> {
  return (await redis.eval(claimScript, 1, name, token, former, leaseMs)) === 1;
}

/** @returns false where it was not held under the token; else the mark is on its way */
export async function releaseLease(redis: Redis, name: string, token: string): Promise<boolean> {
  return (await redis.eval(releaseScript, 1, name, token)) === 1;
}
