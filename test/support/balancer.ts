/**
 * A small TCP balancer for tests: round robin over the backends that accept, whose ports may change while it runs, and faults for
 * each connection. With one backend it is a link that can be broken like a real one: what is cut or frozen stays so, new connections
 * go through.
 */
import { createServer, connect as dial, type Server, type Socket } from 'node:net';

export interface Balancer {
  readonly port: number;
  /** `undefined`: the backend is away. Connections that are open stay with the old port. */
  setBackend(index: number, port: number | undefined): void;
  /** Connections that reach a backend now. */
  links(): readonly BalancedLink[];
  close(): Promise<void>;
}

export interface BalancedLink {
  /** Index of its backend. */
  readonly backend: number;
  /** Resets both sides. */
  cut(): void;
  /** Half-open from now on: both sockets stay as they are, bytes and ends of either side vanish. */
  blackhole(): void;
  /** Holds bytes and ends of both directions back for so long, in order. At most 1 MiB waits; then the sender is slowed down. */
  delay(ms: number): void;
}

/** More connections than this are reset: a client in a loop must not eat the test. */
const maxLinks = 2_000;
const maxDelayedBytes = 1_048_576;
/** Where no backend accepts, a client waits so long for its reset, so that it does not try again in a tight loop. */
const refusalMs = 200;

export async function startBalancer(
  backends: readonly (number | undefined)[],
  host = '127.0.0.1',
): Promise<Balancer> {
  const ports = [...backends];
  const links = new Set<Link>();
  /** Clients without a backend yet. */
  const waiting = new Set<Socket>();
  let turn = 0;

  /** Tries each backend once, from the next in turn. */
  function place(client: Socket, tries: number): void {
    if (client.destroyed) return;
    if (tries === ports.length) {
      refuse(client);
      return;
    }
    const index = turn % ports.length;
    turn += 1;
    const port = ports[index];
    if (port === undefined) {
      place(client, tries + 1);
      return;
    }
    const upstream = dial({ port, host });
    const failed = () => place(client, tries + 1);
    const gone = () => upstream.destroy();
    upstream.once('error', failed);
    client.once('close', gone);
    upstream.once('connect', () => {
      upstream.off('error', failed);
      client.off('close', gone);
      waiting.delete(client);
      const link = new Link(index, client, upstream, () => links.delete(link));
      links.add(link);
    });
  }

  function refuse(client: Socket): void {
    const timer = setTimeout(() => client.resetAndDestroy(), refusalMs);
    client.once('close', () => clearTimeout(timer));
  }

  // A half is closed when the other side closes it: an end is passed on as an end, never as a reset.
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    // Errors end in `close`; without a listener they would end the process.
    client.on('error', () => undefined);
    if (links.size + waiting.size >= maxLinks) {
      client.resetAndDestroy();
      return;
    }
    waiting.add(client);
    client.once('close', () => waiting.delete(client));
    place(client, 0);
  });
  const port = await listen(server, host);
  return {
    port,
    setBackend(index, next) {
      ports[index] = next;
    },
    links: () => [...links],
    close() {
      for (const client of waiting) client.destroy();
      for (const link of [...links]) link.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** One client and its backend. */
class Link implements BalancedLink {
  readonly backend: number;
  readonly #pipes: readonly [Pipe, Pipe];
  readonly #sockets: readonly [Socket, Socket];

  constructor(backend: number, client: Socket, upstream: Socket, ended: () => void) {
    this.backend = backend;
    this.#sockets = [client, upstream];
    for (const socket of this.#sockets) {
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
    }
    this.#pipes = [new Pipe(client, upstream), new Pipe(upstream, client)];
    let open = 2;
    for (const socket of this.#sockets) {
      socket.on('close', () => {
        open -= 1;
        if (open === 0) ended();
      });
    }
    client.resume();
  }

  cut(): void {
    for (const pipe of this.#pipes) pipe.drop();
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  blackhole(): void {
    for (const pipe of this.#pipes) pipe.drop();
  }

  delay(ms: number): void {
    for (const pipe of this.#pipes) pipe.delayMs = ms;
  }

  destroy(): void {
    for (const pipe of this.#pipes) pipe.drop();
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** One direction. */
class Pipe {
  delayMs = 0;
  readonly #from: Socket;
  readonly #to: Socket;
  /** What is held back, in order. */
  #held: { readonly dueAt: number; readonly bytes: number; run(): void }[] = [];
  #heldBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #dropping = false;

  constructor(from: Socket, to: Socket) {
    this.#from = from;
    this.#to = to;
    from.on('data', (chunk: Buffer) => this.#pass(chunk.length, () => this.#write(chunk)));
    from.on('end', () => this.#pass(0, () => to.end()));
    from.on('close', (hadError) => {
      if (hadError) this.#pass(0, () => to.resetAndDestroy());
      else this.#pass(0, () => to.end());
    });
    to.on('drain', () => from.resume());
    to.on('close', () => this.drop());
  }

  /** Nothing passes any more; what is held back is forgotten. */
  drop(): void {
    this.#dropping = true;
    this.#held = [];
    this.#heldBytes = 0;
    clearTimeout(this.#timer);
    this.#from.resume();
  }

  #pass(bytes: number, run: () => void): void {
    if (this.#dropping) return;
    if (this.delayMs === 0 && this.#held.length === 0) {
      run();
      return;
    }
    this.#held.push({ dueAt: performance.now() + this.delayMs, bytes, run });
    this.#heldBytes += bytes;
    if (this.#heldBytes >= maxDelayedBytes) this.#from.pause();
    if (this.#held.length === 1) this.#wait();
  }

  #wait(): void {
    const [next] = this.#held;
    if (next === undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#held.shift();
        this.#heldBytes -= next.bytes;
        next.run();
        if (this.#heldBytes < maxDelayedBytes && !this.#to.writableNeedDrain) this.#from.resume();
        this.#wait();
      },
      Math.max(0, next.dueAt - performance.now()),
    );
  }

  #write(chunk: Buffer): void {
    if (!this.#to.destroyed && !this.#to.write(chunk)) this.#from.pause();
  }
}

function listen(server: Server, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('no TCP port'));
      else resolve(address.port);
    });
  });
}
