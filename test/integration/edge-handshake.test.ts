/** The way in: greeting, refusals, requests that are not what they should be. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import { createMemoryBroker } from '../../broker/memory/broker.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { systemClock } from '../../runtime/clock.ts';
import {
  protocolPath,
  startTestEdge,
  type TestEdge,
  type TestEdgeOptions,
} from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';

describe('edge handshake', () => {
  let test: TestEdge;
  const start = async (options?: TestEdgeOptions) => {
    test = await startTestEdge(options);
    return test;
  };
  afterEach(() => test.close());

  it('greets with a socket id and the activity timeout in seconds, as text in data', async () => {
    await start({ settings: { activityTimeoutMs: 25_000 } });
    const client = await test.connect();
    expect(client.texts).to.have.length(1);
    const frame = client.frames[0];
    expect(frame?.event).to.equal('pusher:connection_established');
    expect(JSON.parse(String(frame?.data))).to.deep.equal({
      socket_id: client.socketId,
      activity_timeout: 25,
    });
    expect(client.socketId).to.match(/^\d+\.\d+$/);
  });

  it('never says an activity timeout of 0, which stock clients cannot take', async () => {
    await start({ settings: { activityTimeoutMs: 100 } });
    const client = await test.connect();
    expect(client.texts[0]).to.include('activity_timeout\\":1}');
  });

  it('refuses with a close code after accepting the socket, and sends nothing before', async () => {
    await start({ apps: [{ allowedOrigins: ['https://good.com'] }] });
    const refusals: readonly (readonly [string, number, string?])[] = [
      ['/app/unknown?protocol=7', 4001],
      ['/app/app-key', 4008],
      ['/app/app-key?protocol=8', 4007],
      ['/elsewhere?protocol=7', 4005],
      ['/~s/short/app/app-key?protocol=7', 4005],
      [protocolPath, 4009, 'https://good.com.evil'],
    ];
    for (const [path, code, origin] of refusals) {
      const client = test.open(path, origin === undefined ? {} : { origin });
      expect((await client.closed).code, path).to.equal(code);
      expect(client.texts).to.deep.equal([]);
    }
    await (await test.connect(protocolPath, { origin: 'https://good.com' })).roundTrip();
    expect(await test.metric('warren_connections_closed_total')).to.equal(refusals.length);
  });

  it('refuses with the retryable 4100 above the limit of connections, and lets in who comes later', async () => {
    await start({ apps: [{ limits: { ...defaultLimits, connections: 1 } }] });
    const first = await test.connect();
    expect((await test.open().closed).code).to.equal(4100);
    first.socket.close();
    await first.closed;
    await eventually(async () => expect(await test.metric('warren_connections')).to.equal(0));
    await test.connect();
  });

  it('listens and greets while the broker is away', async () => {
    const broker = createMemoryBroker({ clock: systemClock });
    broker.setOutage(true);
    await start({ broker });
    await (await test.connect()).roundTrip();
    await broker.close();
  });

  it('never gives two connections one socket id', async () => {
    await start();
    const clients = await Promise.all(Array.from({ length: 50 }, () => test.connect()));
    expect(new Set(clients.map((client) => client.socketId)).size).to.equal(50);
  });

  it('answers requests that are no WebSocket handshake, and ends them', async () => {
    await start();
    const raw = async (request: string): Promise<string> => {
      const socket = connect(test.edge.port, '127.0.0.1');
      socket.on('error', () => {});
      let text = '';
      socket.on('data', (data) => {
        text += String(data);
      });
      socket.write(request);
      await once(socket, 'close');
      return text;
    };
    const head = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
    expect(await raw(`POST /app/app-key HTTP/1.1\r\n${head}\r\n`)).to.include(' 405 ');
    expect(await raw(`GET ${protocolPath} HTTP/1.1\r\n${head}\r\n`)).to.include(' 400 ');
    expect(await raw('nonsense\r\n\r\n')).to.include(' 400 ');
    expect(await raw(`GET / HTTP/1.1\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`)).to.include(' 431 ');
    await (await test.connect()).roundTrip();
  });

  it('serves a request that offers another protocol as the plain request that it is', async () => {
    await start();
    const socket = connect(test.edge.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => {
      text += String(data);
    });
    const body = '{"name":"e"}';
    socket.write(
      'POST /apps/nobody/events HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n' +
        `Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    await eventually(() => expect(text).to.include('unknown_app'));
    expect(text).to.match(/^HTTP\/1.1 404 /);
    socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await once(socket, 'close');
    expect(text).to.include('{"status":"ok"}');
  });

  it('says what became of a session as soon as it is open, before the first success', async () => {
    await start();
    const client = await test.connect(`/~s/${'a'.repeat(22)}/app/app-key?protocol=7`);
    await client.subscribe('one');
    await client.subscribe('two');
    expect(client.frames.map(({ event }) => event)).to.deep.equal([
      'pusher:connection_established',
      'warren:session',
      'pusher_internal:subscription_succeeded',
      'pusher_internal:subscription_succeeded',
    ]);
    expect(client.frames[1]?.data).to.equal('{"resumed":false,"window":60}');
  });
});
