/** A proxy before Redis that can break subscriptions alone, and leave the connections for commands as they are. */

import type { AddressInfo } from 'node:net';
import { createServer, connect as dial, type Socket } from 'node:net';

export interface SubscriptionProxy {
  readonly port: number;
  /** Subscriptions that are open stay open, and nothing comes through any more. */
  silence(): void;
  /** Resets the subscriptions that are open. */
  cut(): void;
  close(): void;
}

export async function startSubscriptionProxy(redisPort: number): Promise<SubscriptionProxy> {
  const sockets = new Set<Socket>();
  const subscriptions = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = dial(redisPort, '127.0.0.1');
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => other.destroy());
    }
    client.on('data', (bytes) => {
      if (/psubscribe/i.test(bytes.toString('latin1'))) subscriptions.add(client);
    });
    client.pipe(upstream);
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    silence() {
      for (const client of subscriptions) {
        client.unpipe();
        client.resume();
      }
      subscriptions.clear();
    },
    cut() {
      for (const client of subscriptions) client.resetAndDestroy();
      subscriptions.clear();
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
