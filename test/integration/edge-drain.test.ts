/** Stopping: what a deploy looks like to those who are connected. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'chai';
import type { ChannelPublisher } from '../../broker/port.ts';
import { protocolPath, startTestEdge, type TestEdge } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('edge drain', () => {
  let test: TestEdge;
  afterEach(() => test.close());

  it('is not ready at once, refuses newcomers, and sends everybody away with 4200 at a pace', async () => {
    const clock = createManualClock();
    test = await startTestEdge({ clock });
    const clients = await Promise.all(Array.from({ length: 40 }, () => test.connect()));
    for (const client of clients) await client.subscribe('news');
    expect(test.edge.readiness()).to.deep.equal({ ready: true });

    const stopped = test.edge.stop(10_000);
    expect(test.edge.readiness()).to.deep.equal({ ready: false, reason: 'draining' });
    const late = test.open();
    await late.closed;
    expect(late.frames).to.deep.equal([]);

    const open = () => clients.filter(({ socket }) => socket.readyState === socket.OPEN).length;
    clock.advance(4_000);
    await eventually(() => expect(open()).to.be.within(15, 25));
    // Those who are still here are served.
    await clients.find(({ socket }) => socket.readyState === socket.OPEN)?.roundTrip();
    clock.advance(4_000);
    const closes = await Promise.all(clients.map((client) => client.closed));
    expect(new Set(closes.map(({ code }) => code))).to.deep.equal(new Set([4200]));
    for (const client of clients) {
      expect(client.frames.at(-1)).to.deep.equal({ event: 'warren:draining', data: '{}' });
    }
    await stopped;
    expect(test.broker.counts()).to.include({ queues: 0, bindings: 0 });
    expect(clock.pendingTimers).to.equal(0);
  });

  it('is over at once where nobody is connected, whatever idle connections there are', async () => {
    test = await startTestEdge({ clock: createManualClock() });
    const silent = connect(test.edge.port, '127.0.0.1');
    await once(silent, 'connect');
    const idle = connect(test.edge.port, '127.0.0.1');
    idle.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(idle, 'data');
    const gone = Promise.all([once(silent, 'close'), once(idle, 'close')]);
    await test.edge.stop(60_000);
    await gone;
  });

  it('is one and the same however often it is asked for', async () => {
    test = await startTestEdge();
    await test.connect();
    expect(test.edge.stop(1_000)).to.equal(test.edge.stop(5));
    await test.edge.stop(0);
  });

  it('is over in time although clients do not answer and the broker is away', async () => {
    const clock = createManualClock();
    test = await startTestEdge({ clock });
    const clients = await Promise.all([test.connect(), test.connect()]);
    for (const client of clients) {
      await client.subscribe('news');
      client.socket.pause();
    }
    test.broker.setOutage(true);
    const stopped = test.edge.stop(5_000);
    let over = false;
    void stopped.then(() => {
      over = true;
    });
    // A fifth of the time is kept for taking leave of the other edges, who cannot be reached here.
    await clock.advanceAsync(3_999);
    expect(await test.metric('warren_connections'), 'they have their time').to.equal(2);
    expect(over).to.equal(false);
    await clock.advanceAsync(1_001);
    await stopped;
    for (const client of clients) {
      client.socket.resume();
      await client.closed;
    }
    test.broker.setOutage(false);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('lets requests finish that have begun', async () => {
    let confirm = () => {};
    let asked = () => {};
    const begun = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const publisher: ChannelPublisher = {
      publish: () =>
        new Promise((resolve) => {
          confirm = () => resolve({ routed: true });
          asked();
        }),
    };
    test = await startTestEdge({
      channelPublisher: publisher,
      clock: createManualClock(Date.now()),
    });
    const answer = test.post('/apps/app-id/events', { name: 'e', channel: 'a', data: '' });
    await begun;
    let over = false;
    const stopped = test.edge.stop(60_000).finally(() => {
      over = true;
    });
    await test.open().closed;
    expect(over).to.equal(false);
    confirm();
    expect((await answer).status).to.equal(200);
    await stopped;
  });

  it('refuses a handshake on a connection that was there before, with the code to come back', async () => {
    const clock = createManualClock();
    test = await startTestEdge({ clock });
    const client = await test.connect();
    client.socket.pause();
    const early = connect(test.edge.port, '127.0.0.1');
    await once(early, 'connect');
    // Begun, so that stopping does not take it for idle.
    early.write(`GET ${protocolPath} HTTP/1.1\r\nHost: x\r\n`);
    await (await test.connect()).roundTrip();
    void test.edge.stop(60_000);
    early.write(
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
    );
    let bytes = Buffer.alloc(0);
    early.on('data', (data) => {
      bytes = Buffer.concat([bytes, data]);
    });
    await eventually(() => expect(bytes.toString('latin1')).to.include('Reconnect'));
    expect(bytes.includes(Buffer.from([0x88, 2 + 'Reconnect'.length, 0x10, 0x68]))).to.equal(true);
    early.destroy();
    client.socket.resume();
    clock.advance(60_000);
  });
});
