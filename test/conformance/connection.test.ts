/** A connection's life: greeting, signs of life, the end; with stock pusher-js where it can play the part. */
import { expect } from 'chai';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import { connected, openPusher } from '../support/clients.ts';
import { type Stage, startStage } from '../support/stage.ts';

describe('conformance: connection', function () {
  this.timeout(20_000);
  let stage: Stage;
  afterEach(() => stage.close());

  it('1, 2: the first frame is connection_established, data is text, activity_timeout truthy', async () => {
    stage = await startStage(1);
    const raw = await stage.edge(0).connect();
    expect(raw.texts[0]).to.match(
      /^\{"event":"pusher:connection_established","data":"\{\\"socket_id\\":\\"\d+\.\d+\\",\\"activity_timeout\\":30\}"\}$/,
    );
    const client = openPusher(stage.port(0));
    expect(await connected(client)).to.match(/^\d+\.\d+$/);
    client.disconnect();
  });

  it('1: unknown query parameters, a wsPath and no subprotocol are fine', async () => {
    stage = await startStage(1);
    for (const options of [{ wsPath: '/some/where' }, { wsPath: `/~s/${'a'.repeat(22)}` }]) {
      const client = openPusher(stage.port(0), options);
      await connected(client);
      client.disconnect();
    }
    const raw = await stage
      .edge(0)
      .connect('/app/app-key?protocol=7&client=x&version=y&flash=false&z=1');
    raw.terminate();
  });

  it('3: a ping is answered with a pong, whatever data it has', async () => {
    stage = await startStage(1);
    const raw = await stage.edge(0).connect();
    for (const frame of [
      '{"event":"pusher:ping","data":{}}',
      '{"event":"pusher:ping","data":"{}"}',
      '{"event":"pusher:ping"}',
    ]) {
      raw.socket.send(frame);
      expect(await raw.next('pusher:pong')).to.deep.equal({ event: 'pusher:pong', data: '{}' });
    }
  });

  it('3: pusher-js that pings by itself stays connected', async () => {
    stage = await startStage(1);
    const client = openPusher(stage.port(0), { activityTimeout: 200, pongTimeout: 1_000 });
    const id = await connected(client);
    let pongs = 0;
    await new Promise<void>((resolve) => {
      client.connection.bind('message', ({ event }: { event: string }) => {
        if (event === 'pusher:pong') pongs += 1;
        if (pongs === 3) resolve();
      });
    });
    expect(client.connection.socket_id).to.equal(id);
    client.disconnect();
  });

  it('4, 5: a silent client is pinged, and closed with 4201 where it does not answer; pusher-js answers', async () => {
    stage = await startStage(1, { settings: { activityTimeoutMs: 300, pongTimeoutMs: 600 } });
    const client = openPusher(stage.port(0), { activityTimeout: 60_000 });
    const id = await connected(client);
    let pings = 0;
    const answered = new Promise<void>((resolve) => {
      client.connection.bind('message', ({ event }: { event: string }) => {
        if (event === 'pusher:ping') pings += 1;
        if (pings === 3) resolve();
      });
    });
    const raw = await stage.edge(0).connect();
    expect(await raw.next('pusher:ping')).to.deep.equal({ event: 'pusher:ping', data: '{}' });
    expect((await raw.closed).code).to.equal(4201);
    await answered;
    expect(client.connection.socket_id).to.equal(id);
    client.disconnect();
  });

  it('29: no close code is one that stock clients take for final by mistake', () => {
    // 4000 to 4099 mean never come back unchanged; 4300 and above are for frames only.
    for (const { code, reason } of Object.values(closeCodes)) {
      expect(code, reason).to.be.within(4000, 4299);
      expect(Buffer.byteLength(reason), reason).to.be.below(124);
    }
  });

  it('29, 30: a drain is announced, paced and retryable: pusher-js comes back by itself', async () => {
    stage = await startStage(1);
    const sockets = await Promise.all(Array.from({ length: 40 }, () => stage.edge(0).connect()));
    const client = openPusher(stage.port(0));
    await connected(client);
    const states: string[] = [];
    client.connection.bind('state_change', ({ current }: { current: string }) =>
      states.push(current),
    );
    const times: number[] = [];
    const closes = sockets.map(async (socket) => {
      const { code } = await socket.closed;
      times.push(performance.now());
      return code;
    });
    const stopped = stage.edge(0).edge.stop(2_500);
    expect(new Set(await Promise.all(closes))).to.deep.equal(new Set([4200]));
    await stopped;
    for (const socket of sockets) {
      expect(socket.frames.at(-1)).to.deep.equal({ event: 'warren:draining', data: '{}' });
    }
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).to.be.above(800);
    // Neither "disconnected" nor "failed": it goes on trying.
    expect(states[0]).to.equal('connecting');
    expect(states).not.to.include('disconnected');
    client.disconnect();
  });
});
