/** Liveness, on a clock that the test moves. */
import { expect } from 'chai';
import type { WebSocket } from 'ws';
import { startTestEdge, type TestEdge } from '../support/edge.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';

describe('edge heartbeat', () => {
  let test: TestEdge;
  let clock: ManualClock;

  beforeEach(async () => {
    clock = createManualClock();
    test = await startTestEdge({
      clock,
      settings: { activityTimeoutMs: 30_000, pongTimeoutMs: 10_000 },
    });
  });
  afterEach(() => test.close());

  it('answers a client ping at once', async () => {
    const client = await test.connect();
    client.send('pusher:ping', {});
    expect(await client.next('pusher:pong')).to.deep.equal({ event: 'pusher:pong', data: '{}' });
  });

  it('pings a silent client and closes it with 4201 when no sign of life follows', async () => {
    const client = await test.connect();
    clock.advance(29_000);
    await client.roundTrip();
    clock.advance(29_000);
    expect(client.frames.map(({ event }) => event)).not.to.include('pusher:ping');
    clock.advance(1_000);
    expect(await client.next('pusher:ping')).to.deep.equal({ event: 'pusher:ping', data: '{}' });
    clock.advance(9_000);
    expect(client.socket.readyState).to.equal(client.socket.OPEN);
    clock.advance(1_000);
    expect(await client.closed).to.deep.equal({ code: 4201, reason: 'Pong reply not received' });
    expect(await test.metric('warren_connections_closed_total', 'code="4201"')).to.equal(1);
  });

  for (const [what, send] of [
    ['a pusher:pong', (socket: WebSocket) => socket.send('{"event":"pusher:pong"}')],
    ['a WebSocket pong', (socket: WebSocket) => socket.pong()],
    ['nonsense', (socket: WebSocket) => socket.send('?')],
  ] as const) {
    it(`takes ${what} as a sign of life`, async () => {
      const client = await test.connect();
      clock.advance(30_000);
      await client.next('pusher:ping');
      send(client.socket);
      // What another client sent later has been read, so this has been read too.
      const bystander = await test.connect();
      await bystander.roundTrip();
      bystander.terminate();
      clock.advance(29_000);
      await client.roundTrip();
    });
  }

  it('destroys a socket that does not answer its close', async () => {
    const client = await test.connect();
    client.socket.pause();
    clock.advance(30_000);
    clock.advance(10_000);
    expect(await test.metric('warren_connections')).to.equal(1);
    clock.advance(5_000);
    client.socket.resume();
    await client.closed;
    expect(await test.metric('warren_connections')).to.equal(0);
  });
});
