/** The last event of a cache channel, as the HTTP API tells it. */
import { isJsonObject, own } from '../../contracts/json-guard.ts';

export interface CachedEvent {
  /** Text of the frame that subscribers get. */
  readonly body: Buffer;
  readonly publishedAtMs: number;
}

export interface CacheAnswer {
  /** As it was published. */
  readonly data: string;
  /** Whole seconds that are left of it, from 1. */
  readonly ttl: number;
}

/** Null where there is none any more. @param cacheSeconds how long an event is kept */
export function cacheAnswer(
  event: CachedEvent | undefined,
  nowMs: number,
  cacheSeconds: number,
): CacheAnswer | null {
  if (event === undefined) return null;
  const left = Math.ceil(cacheSeconds - (nowMs - event.publishedAtMs) / 1_000);
  const data = dataOf(event.body);
  // The publisher's clock may be ahead of this one.
  return left <= 0 || data === undefined ? null : { data, ttl: Math.min(left, cacheSeconds) };
}

/** Anybody who may publish at the broker can put there what is no frame. */
function dataOf(body: Buffer): string | undefined {
  try {
    const frame = JSON.parse(body.toString('utf8')) as unknown;
    const data = isJsonObject(frame) ? own(frame, 'data') : undefined;
    return typeof data === 'string' ? data : undefined;
  } catch {
    return undefined;
  }
}
