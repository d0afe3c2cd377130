/** Cache channels: the last event survives whoever published or held it. */
import { expect } from 'chai';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { first, openPusher, signedBy, subscribed } from '../support/clients.ts';
import type { TestClient } from '../support/edge.ts';
import { type Stage, startStage } from '../support/stage.ts';

const miss = 'pusher:cache_miss';

for (const edges of [1, 2]) {
  describe(`conformance: cache channels, ${edges === 1 ? 'one edge' : `${edges} edges`}`, function () {
    this.timeout(20_000);
    let stage: Stage;
    const sockets: TestClient[] = [];
    before(async () => {
      stage = await startStage(edges, {
        apps: [{ limits: { ...defaultLimits, cacheSeconds: 60 } }],
      });
    });
    after(() => stage.close());
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.terminate();
    });
    async function raw(n: number): Promise<TestClient> {
      const socket = await stage.edge(n).connect();
      sockets.push(socket);
      return socket;
    }
    async function publish(n: number, channel: string, name: string, more: object = {}) {
      const answer = await stage.edge(n).post('/apps/app-id/events', {
        name,
        channel,
        data: '{"n": 1}',
        ...more,
      });
      expect(answer.status, await answer.text()).to.equal(200);
    }
    const eventsOf = (socket: TestClient, channel: string) =>
      socket.frames.filter((frame) => frame.channel === channel).map(({ event }) => event);

    it('14: success, then cache_miss where nothing was published', async () => {
      for (const channel of ['cache-e', 'private-cache-e', 'private-encrypted-cache-e']) {
        const socket = await raw(0);
        await socket.subscribe(channel, stage.app);
        const frame = await socket.next(miss, channel);
        expect(frame).to.deep.equal({ event: miss, channel, data: '{}' });
      }
      const member = await raw(1);
      await member.subscribe('presence-cache-e', stage.app, '{"user_id":"u"}');
      await member.next(miss, 'presence-cache-e');
    });

    it('14: success, then the last event, byte for byte, then what is live', async () => {
      for (const channel of ['cache-l', 'private-cache-l', 'presence-cache-l']) {
        await publish(0, channel, 'old');
        await publish(1, channel, 'last');
        const socket = await raw(1);
        const data = channel.startsWith('presence-') ? '{"user_id":"u"}' : undefined;
        await socket.subscribe(channel, stage.app, data);
        const replayed = await socket.next('last', channel);
        expect(replayed.data).to.equal('{"n": 1}');
        expect(replayed['id']).to.be.a('string');
        await publish(0, channel, 'live');
        await socket.next('live', channel);
        expect(eventsOf(socket, channel)).to.deep.equal([
          'pusher_internal:subscription_succeeded',
          'last',
          'live',
        ]);
      }
    });

    it('14: pusher-js sees the replay as an ordinary event, and cache_miss as its own', async () => {
      await publish(0, 'cache-p', 'price');
      const client = openPusher(stage.port(1), signedBy(stage.app));
      try {
        const channel = client.subscribe('cache-p');
        expect(await first(channel, 'price')).to.deep.equal({ n: 1 });
        const empty = client.subscribe('cache-p-empty');
        const missed = first(empty, miss);
        await subscribed(empty);
        await missed;
      } finally {
        client.disconnect();
      }
    });

    it('14: subscribing again replays nothing; unsubscribing and coming back does', async () => {
      await publish(0, 'cache-again', 'last');
      const socket = await raw(1);
      await socket.subscribe('cache-again');
      await socket.next('last');
      await socket.subscribe('cache-again');
      await socket.roundTrip();
      expect(eventsOf(socket, 'cache-again').filter((event) => event === 'last')).to.have.length(1);
      socket.send('pusher:unsubscribe', { channel: 'cache-again' });
      await socket.subscribe('cache-again');
      await socket.next('last');
    });

    it('14: socket_id does not keep a socket from the cached copy', async () => {
      const socket = await raw(0);
      await publish(1, 'cache-ex', 'last', { socket_id: socket.socketId });
      await socket.subscribe('cache-ex');
      await socket.next('last', 'cache-ex');
    });

    it('the seam: whoever joins during a stream of events sees it from some event on, without gap or repeat', async () => {
      const channel = 'cache-seam';
      await publish(0, channel, 'e', { data: '0' });
      let running = true;
      let published = 0;
      const storm = (async () => {
        while (running) {
          published += 1;
          await publish(0, channel, 'e', { data: String(published) });
        }
      })();
      const seen: TestClient[] = [];
      for (let n = 0; n < 25; n += 1) {
        const socket = await raw(n);
        await socket.subscribe(channel);
        seen.push(socket);
      }
      running = false;
      await storm;
      await publish(0, channel, 'end');
      for (const socket of seen) {
        await socket.next('end', channel);
        const numbers = socket
          .events(channel)
          .filter(({ event }) => event === 'e')
          .map(({ data }) => Number(data));
        const [from = Number.NaN] = numbers;
        expect(numbers).to.deep.equal(
          Array.from({ length: published - from + 1 }, (_, at) => from + at),
        );
      }
      expect(published).to.be.above(25);
    });

    it('GET shows the cached event with the seconds it still has', async () => {
      await publish(0, 'cache-get', 'last');
      const socket = await raw(1);
      await socket.subscribe('cache-get');
      await socket.next('last');
      const answer = await stage.edge(1).get('/apps/app-id/channels/cache-get', { info: 'cache' });
      const body = (await answer.json()) as {
        occupied: boolean;
        cache: { data: string; ttl: number };
      };
      expect(body.occupied).to.equal(true);
      expect(body.cache.data).to.equal('{"n": 1}');
      expect(body.cache.ttl).to.be.within(1, 60);
    });
  });
}

describe('conformance: cache channels outlive every edge', function () {
  this.timeout(30_000);

  it('14: a new edge replays what was published before the former ones ended', async () => {
    const stage = await startStage(1);
    try {
      await stage.edge(0).post('/apps/app-id/events', {
        name: 'last',
        channel: 'cache-survives',
        data: 'still here',
      });
      await stage.edge(0).edge.stop(0);
      const next = await stage.start();
      const socket = await next.connect();
      await socket.subscribe('cache-survives');
      expect((await socket.next('last')).data).to.equal('still here');
      socket.terminate();
    } finally {
      await stage.close();
    }
  });
});
