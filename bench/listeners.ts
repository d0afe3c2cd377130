/**
 * Many WebSocket clients in one process of their own, as cheap as can be: frames are counted, not read. Talks to its parent by messages.
 * A client counts every frame with the bytes of `mark` in it, once each, so that loss and repeats show in the sum.
 */
import { connect, type Socket } from 'node:net';

export interface ListenersOrder {
  readonly port: number;
  readonly path: string;
  readonly count: number;
  /** Sent by each client once it is greeted; empty: it only listens. */
  readonly hello: string;
  /** What each client waits for before it counts as ready. */
  readonly ready: string;
  /** Text that only deliveries hold. */
  readonly mark: string;
}

export type ListenersReport =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'received';
      readonly deliveries: number;
      readonly latenciesMs: readonly number[];
    };

const openAtATime = 50;
/** One delivery of so many gives its latency. */
const sampled = 97;

class Listener {
  readonly ready: Promise<void>;
  readonly #order: ListenersOrder;
  readonly #socket: Socket;
  readonly #delivered: (payload: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);
  #upgraded = false;
  #isReady: () => void = () => undefined;

  constructor(order: ListenersOrder, delivered: (payload: Buffer) => void) {
    this.#order = order;
    this.#delivered = delivered;
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve;
    });
    this.#socket = connect(order.port, '127.0.0.1');
    this.#socket.setNoDelay(true);
    this.#socket.on('error', () => undefined);
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.write(
      `GET ${order.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        'Sec-WebSocket-Key: d2FycmVuIGJlbmNobWFyaw==\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
  }

  #take(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (!this.#upgraded) {
      const end = bytes.indexOf('\r\n\r\n');
      if (end < 0) {
        this.#rest = bytes;
        return;
      }
      this.#upgraded = true;
      bytes = bytes.subarray(end + 4);
      if (this.#order.hello !== '') this.#send(this.#order.hello);
      if (this.#order.ready === '') this.#isReady();
    }
    let at = 0;
    for (;;) {
      if (bytes.length - at < 2) break;
      const short = bytes[at + 1] ?? 0;
      const start = at + (short < 126 ? 2 : 4);
      if (bytes.length < start) break;
      const end = start + (short < 126 ? short : bytes.readUInt16BE(at + 2));
      if (bytes.length < end) break;
      this.#frame(bytes.subarray(start, end));
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }

  #frame(payload: Buffer): void {
    if (payload.includes(this.#order.mark)) this.#delivered(payload);
    else if (this.#order.ready !== '' && payload.includes(this.#order.ready)) this.#isReady();
    else if (payload.includes('"pusher:ping"')) this.#send('{"event":"pusher:pong","data":{}}');
  }

  /** Masked with zeros, which is legal and leaves the text as it is. */
  #send(text: string): void {
    const payload = Buffer.from(text);
    const header = payload.length < 126 ? Buffer.alloc(6) : Buffer.alloc(8);
    header[0] = 0x81;
    header[1] = 0x80 | Math.min(payload.length, 126);
    if (payload.length >= 126) header.writeUInt16BE(payload.length, 2);
    this.#socket.write(Buffer.concat([header, payload]));
  }
}

let deliveries = 0;
let latenciesMs: number[] = [];

function delivered(payload: Buffer): void {
  deliveries += 1;
  if (deliveries % sampled !== 0) return;
  const at = payload.indexOf('@');
  // `@` and 13 digits: when it was published, in ms since 1970.
  if (at >= 0) latenciesMs.push(Date.now() - Number(payload.subarray(at + 1, at + 14)));
}

const report = (message: ListenersReport) => void process.send?.(message);

async function listen(order: ListenersOrder): Promise<void> {
  for (let open = 0; open < order.count; open += openAtATime) {
    const batch = Math.min(openAtATime, order.count - open);
    const listeners = Array.from({ length: batch }, () => new Listener(order, delivered));
    await Promise.all(listeners.map(({ ready }) => ready));
  }
  report({ kind: 'ready' });
}

process.on('message', (message: ListenersOrder | 'report') => {
  if (message !== 'report') {
    void listen(message);
    return;
  }
  report({ kind: 'received', deliveries, latenciesMs });
  latenciesMs = [];
});
process.on('disconnect', () => process.exit(0));
