import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { type BalancedLink, type Balancer, startBalancer } from '../support/balancer.ts';
import { eventually } from '../support/eventually.ts';

/** Says its name to whoever comes and keeps what it hears. */
class Backend {
  readonly name: string;
  readonly sockets: Socket[] = [];
  readonly heard: string[] = [];
  readonly ends: ('end' | 'reset' | 'close')[] = [];
  port = 0;
  readonly #server: Server;

  constructor(name: string) {
    this.name = name;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.push(socket);
      socket.on('data', (bytes) => this.heard.push(String(bytes)));
      socket.on('end', () => this.ends.push('end'));
      socket.on('error', () => this.ends.push('reset'));
      socket.write(name);
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    assert.ok(address !== null && typeof address === 'object');
    this.port = address.port;
    return this.port;
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
  }
}

class Client {
  readonly socket: Socket;
  text = '';
  end: 'end' | 'reset' | undefined;

  constructor(port: number) {
    this.socket = dial({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.on('data', (bytes) => {
      this.text += String(bytes);
    });
    this.socket.on('end', () => {
      this.end ??= 'end';
    });
    this.socket.on('error', () => {
      this.end ??= 'reset';
    });
  }
}

describe('the balancer of chaos runs', () => {
  const backends: Backend[] = [];
  const clients: Client[] = [];
  let balancer: Balancer;
  let pings = 0;

  beforeEach(async () => {
    for (const name of ['a', 'b', 'c']) backends.push(new Backend(name));
    balancer = await startBalancer(await Promise.all(backends.map((one) => one.listen())));
  });

  afterEach(async () => {
    for (const { socket } of clients.splice(0)) socket.destroy();
    for (const backend of backends.splice(0)) backend.close();
    await balancer.close();
  });

  const open = async (): Promise<Client> => {
    const client = new Client(balancer.port);
    clients.push(client);
    await eventually(() => assert.notEqual(client.text, ''));
    return client;
  };
  const backend = (n: number): Backend => {
    const found = backends[n];
    assert.ok(found !== undefined);
    return found;
  };
  const onlyLink = (): BalancedLink => {
    const [link, ...more] = balancer.links();
    assert.ok(link !== undefined && more.length === 0);
    return link;
  };
  /** Bytes of both directions arrive; whatever was sent before has then arrived or never will. */
  const roundTrip = async () => {
    const client = await open();
    pings += 1;
    const ping = `ping ${pings}`;
    client.socket.write(ping);
    await eventually(() => assert.ok(backends.some(({ heard }) => heard.includes(ping))));
  };

  it('goes round the backends, and passes bytes and ends both ways', async () => {
    const names = [];
    for (let n = 0; n < 6; n += 1) names.push((await open()).text);
    assert.deepEqual(names, ['a', 'b', 'c', 'a', 'b', 'c']);
    assert.deepEqual(
      balancer.links().map((link) => link.backend),
      [0, 1, 2, 0, 1, 2],
    );
    const [client] = clients;
    client?.socket.end('last words');
    await eventually(() =>
      assert.deepEqual([backend(0).heard, backend(0).ends], [['last words'], ['end']]),
    );
    backend(0).sockets[0]?.end(' goodbye');
    await eventually(() => assert.deepEqual([client?.text, client?.end], ['a goodbye', 'end']));
    await eventually(() => assert.equal(balancer.links().length, 5));
  });

  it('passes by backends that are away or refuse, and takes new ports', async () => {
    balancer.setBackend(0, undefined);
    backend(1).close();
    assert.deepEqual([(await open()).text, (await open()).text], ['c', 'c']);
    const replacement = new Backend('b2');
    backends.push(replacement);
    balancer.setBackend(1, await replacement.listen());
    const names = [];
    for (let n = 0; n < 4; n += 1) names.push((await open()).text);
    assert.deepEqual(names.sort(), ['b2', 'b2', 'c', 'c']);
  });

  it('resets a client for whom nobody is there', async () => {
    for (const n of [0, 1, 2]) balancer.setBackend(n, undefined);
    const client = new Client(balancer.port);
    clients.push(client);
    await eventually(() => assert.equal(client.end, 'reset'));
  });

  it('cuts one connection with a reset on both sides, and no other', async () => {
    const [first, second] = [await open(), await open()];
    balancer.links()[0]?.cut();
    await eventually(() => assert.deepEqual([first.end, backend(0).ends], ['reset', ['reset']]));
    await roundTrip();
    assert.deepEqual([second.end, backend(1).ends], [undefined, []]);
    assert.equal(balancer.links().length, 2);
  });

  it('a reset of one side is one for the other', async () => {
    const client = await open();
    backend(0).sockets[0]?.resetAndDestroy();
    await eventually(() => assert.equal(client.end, 'reset'));
  });

  it('leaves a connection half-open: neither bytes nor ends pass, and both sockets stay', async () => {
    const client = await open();
    onlyLink().blackhole();
    client.socket.write('into the void');
    backend(0).sockets[0]?.write('into the void');
    await roundTrip();
    assert.deepEqual([client.text, backend(0).heard], ['a', []]);
    client.socket.resetAndDestroy();
    await roundTrip();
    assert.deepEqual(backend(0).ends, []);
    assert.equal(backend(0).sockets[0]?.destroyed, false);
  });

  it('delays bytes and the end behind them, in order', async () => {
    const client = await open();
    const link = onlyLink();
    link.delay(80);
    const sentAt = performance.now();
    client.socket.write('1');
    await roundTrip();
    // Sent later with a shorter delay: it must not overtake.
    link.delay(1);
    client.socket.end('2');
    await eventually(() => assert.deepEqual(backend(0).ends, ['end']));
    assert.equal(backend(0).heard.join(''), '12');
    const tookMs = performance.now() - sentAt;
    assert.ok(tookMs >= 79, `it took ${tookMs} ms only`);
  });

  it('slows a sender down where the receiver does not read, and loses nothing', async () => {
    const client = await open();
    client.socket.pause();
    const [socket] = backend(0).sockets;
    assert.ok(socket !== undefined);
    const chunk = Buffer.alloc(65_536, 'x');
    const chunks = 400;
    for (let n = 0; n < chunks; n += 1) socket.write(chunk);
    // It stands still: because everything was taken, or because nobody takes any more.
    let waiting = -1;
    while (waiting !== socket.writableLength) {
      waiting = socket.writableLength;
      for (let n = 0; n < 10; n += 1) await roundTrip();
    }
    assert.ok(waiting > 0, 'the sender has to wait');
    client.socket.resume();
    await eventually(() => assert.equal(client.text.length, 1 + chunks * chunk.length));
  });
});
