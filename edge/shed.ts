/**
 * After a scale-up the new edge is idle and the old ones are full, since sockets stay where they are. Shedding closes a few connections
 * a second on an edge that has clearly more than its share, with a code that clients answer by coming back: to whichever edge the load
 * balancer picks. Off unless it is asked for.
 */
import { closeCodes } from '../contracts/pusher/close-codes.ts';
import { draining } from '../contracts/pusher/frames.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Connection } from './socket/connection.ts';
import type { RandomInteger } from './socket/socket-id.ts';

export interface ShedOptions {
  /** Connections to close per second at most; 0 sheds nothing. */
  readonly perSecond: number;
  readonly clock: Clock;
  readonly random: RandomInteger;
  /** Open connections of this edge, and of all edges together. */
  figures(): { readonly own: number; readonly all: number; readonly edges: number };
  connections(): readonly Pick<Connection, 'send' | 'close'>[];
}

const periodMs = 1_000;
/** An edge is left alone up to so much above its share: closing has a price too. */
const tolerance = 1.2;
/** And for so many connections it is not worth it. */
const negligible = 10;

/** How many connections to close now. */
export function excess(own: number, all: number, edges: number, perSecond: number): number {
  if (edges < 2) return 0;
  const share = all / edges;
  if (own <= share * tolerance + negligible) return 0;
  return Math.min(perSecond, Math.floor(own - share));
}

/** Returns the way to stop it. */
export function startShedding(options: ShedOptions): () => void {
  if (options.perSecond === 0) return () => undefined;
  return options.clock.every(periodMs, () => {
    const { own, all, edges } = options.figures();
    let left = excess(own, all, edges, options.perSecond);
    if (left === 0) return;
    const connections = [...options.connections()];
    for (; left > 0 && connections.length > 0; left -= 1) {
      const at = options.random(0, connections.length - 1);
      const [connection] = connections.splice(at, 1);
      connection?.send(draining);
      connection?.close(closeCodes.reconnect);
    }
  });
}
