/** A TCP proxy that a test puts between a client and its server, to break the network between them. */
import { createServer, connect as dial, type Server, type Socket } from 'node:net';

/** `pass`: bytes flow. `blackhole`: sockets stay open, bytes vanish. `refuse`: new connections are reset. */
export type ProxyMode = 'pass' | 'blackhole' | 'refuse';

export interface TcpProxy {
  readonly port: number;
  setMode(mode: ProxyMode): void;
  /** Resets every connection, on both sides. */
  cut(): void;
  close(): Promise<void>;
}

export async function startTcpProxy(target: {
  readonly host: string;
  readonly port: number;
}): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  let mode: ProxyMode = 'pass';

  function keep(socket: Socket, other: () => Socket | undefined): void {
    sockets.add(socket);
    socket.setNoDelay(true);
    // Errors end in `close`; without a listener they would end the process.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      if (mode !== 'blackhole') other()?.destroy();
    });
    socket.on('data', (bytes) => {
      if (mode === 'pass') other()?.write(bytes);
    });
  }

  const server = createServer((client) => {
    if (mode === 'refuse') {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const upstream = dial(target.port, target.host);
    keep(client, () => upstream);
    keep(upstream, () => client);
  });
  const port = await listen(server);
  return {
    port,
    setMode(next) {
      mode = next;
    },
    cut() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('no TCP port'));
      else resolve(address.port);
    });
  });
}
