/** Socket ids: two random integers, as server SDKs demand, new for every connection and hard to guess. */
import { randomInt } from 'node:crypto';
import type { SocketId } from '../../contracts/ids.ts';

/** A random integer from `minimum` to `maximum`, both included; both positive and below 2^47. */
export type RandomInteger = (minimum: number, maximum: number) => number;

export const secureRandom: RandomInteger = (minimum, maximum) => randomInt(minimum, maximum + 1);

/** Pusher protocol 7: `^\d+\.\d+$`; the range is that of Reverb and its ancestors. */
const largestPart = 1_000_000_000;

/**
 * @param taken tells whether an open connection has the id; channel signatures bind to it, so no two may share one
 * @param first the first number, where it is not to be random
 */
export function newSocketId(
  random: RandomInteger,
  taken: (id: SocketId) => boolean,
  first?: number,
): SocketId {
  for (;;) {
    const id = `${first ?? random(1, largestPart)}.${random(1, largestPart)}` as SocketId;
    if (!taken(id)) return id;
  }
}
