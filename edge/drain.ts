/**
 * Closes all connections politely: in random order, spread over most of the time there is. Stock clients come back at once and
 * without jitter, so the pace at which they are sent away is the pace at which the other edges must take them.
 */
import { closeCodes } from '../contracts/pusher/close-codes.ts';
import { draining } from '../contracts/pusher/frames.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Connection } from './socket/connection.ts';
import type { RandomInteger } from './socket/socket-id.ts';

/** The rest is for closing handshakes and queues. */
const spreadShare = 0.8;
const shortestTickMs = 10;

/** Resolves when every connection was told to close. Each hears `warren:draining` right before. */
export function closePaced(
  connections: readonly Pick<Connection, 'send' | 'close'>[],
  drainMs: number,
  clock: Clock,
  random: RandomInteger,
): Promise<void> {
  const order = shuffled(connections, random);
  const spreadMs = drainMs * spreadShare;
  const startMs = clock.monotonicMs();
  let closed = 0;
  const closeUpTo = (count: number) => {
    for (; closed < count; closed += 1) {
      const connection = order[closed];
      connection?.send(draining);
      connection?.close(closeCodes.reconnect);
    }
  };
  const tickMs = Math.max(shortestTickMs, spreadMs / Math.max(1, order.length));
  if (order.length <= 1 || spreadMs < tickMs) {
    closeUpTo(order.length);
    return Promise.resolve();
  }
  closeUpTo(1);
  return new Promise((resolve) => {
    const stop = clock.every(tickMs, () => {
      const elapsedMs = clock.monotonicMs() - startMs;
      closeUpTo(Math.min(order.length, Math.ceil((elapsedMs / spreadMs) * order.length)));
      if (closed < order.length) return;
      stop();
      resolve();
    });
  });
}

function shuffled<T>(items: readonly T[], random: RandomInteger): T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = random(0, last);
    const moved = order[last] as T;
    order[last] = order[other] as T;
    order[other] = moved;
  }
  return order;
}
