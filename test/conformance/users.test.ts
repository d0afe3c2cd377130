/** Sign-in, events to one user, watchlists and termination, cluster-wide. */
import { expect } from 'chai';
import PusherServer from 'pusher';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { signUser } from '../../contracts/pusher/signature.ts';
import { connected, openPusher, type PusherClient, signedBy } from '../support/clients.ts';
import type { TestClient } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { type Stage, startStage } from '../support/stage.ts';

interface WatchlistEvent {
  readonly name: 'online' | 'offline';
  readonly user_ids: string[];
}

for (const edges of [1, 3]) {
  describe(`conformance: users, ${edges === 1 ? 'one edge' : `${edges} edges`}`, function () {
    this.timeout(20_000);
    let stage: Stage;
    const clients: PusherClient[] = [];
    const sockets: TestClient[] = [];
    before(async () => {
      stage = await startStage(edges, {
        apps: [{ limits: { ...defaultLimits, watchlistUsers: 3 } }],
      });
    });
    after(() => stage.close());
    afterEach(() => {
      for (const client of clients.splice(0)) client.disconnect();
      for (const socket of sockets.splice(0)) socket.terminate();
    });

    async function signedIn(n: number, user: object): Promise<PusherClient> {
      const client = openPusher(stage.port(n), signedBy(stage.app, { user }));
      clients.push(client);
      await connected(client);
      client.signin();
      await client.user.signinDonePromise;
      return client;
    }

    async function raw(n: number): Promise<TestClient> {
      const socket = await stage.edge(n).connect();
      sockets.push(socket);
      return socket;
    }

    const sdk = (n: number) =>
      new PusherServer({
        appId: stage.app.id,
        key: stage.app.key,
        secret: stage.app.secret,
        host: '127.0.0.1',
        port: String(stage.port(n)),
        useTLS: false,
      });

    it('18: sign-in echoes user_data verbatim and pusher-js knows its user', async () => {
      const socket = await raw(0);
      const userData = '{ "id" : "12345", "user_info": {"n":1} }';
      const auth = signUser(stage.app, socket.socketId, userData);
      socket.send('pusher:signin', { auth, user_data: userData });
      const success = await socket.next('pusher:signin_success');
      expect(success.data).to.equal(JSON.stringify({ user_data: userData }));
      const client = await signedIn(1, { id: '12345' });
      expect(client.user.user_data).to.deep.equal({ id: '12345' });
    });

    it('18: a bad signature, bad data or another user is refused; the socket stays open', async () => {
      const socket = await raw(0);
      const attempt = async (userData: string, auth?: string) => {
        socket.send('pusher:signin', {
          auth: auth ?? signUser(stage.app, socket.socketId, userData),
          user_data: userData,
        });
        const error = await socket.next('pusher:error');
        expect(error.data, userData).to.include({ code: 4009, type: 'signin_refused' });
      };
      await attempt('{"id":"1"}', 'app-key:0');
      await attempt(
        '{"id":"1"}',
        signUser(stage.app, '1.1' as typeof socket.socketId, '{"id":"1"}'),
      );
      await attempt('{');
      await attempt('{"id":1}');
      await attempt('{"id":""}');
      await attempt('{"id":"1","watchlist":"all"}');
      await socket.signin(stage.app, { id: '1' });
      await attempt('{"id":"2"}');
      await socket.signin(stage.app, { id: '1' });
      await socket.roundTrip();
    });

    it('18: #server-to-user- is for the signed-in user alone', async () => {
      const socket = await raw(0);
      const subscribe = async (channel: string) => {
        socket.send('pusher:subscribe', { channel, auth: '' });
        return (await socket.next('pusher:subscription_error', channel)).data;
      };
      expect(await subscribe('#server-to-user-7')).to.include({ type: 'AuthError', status: 401 });
      await socket.signin(stage.app, { id: '8' });
      expect(await subscribe('#server-to-user-7')).to.include({ status: 401 });
      await socket.subscribe('#server-to-user-8');
    });

    it('18: events to a user reach all of its sockets on all edges, and nobody else', async () => {
      const id = 'auth0|u ser/é';
      const mine = [
        await signedIn(0, { id }),
        await signedIn(1, { id }),
        await signedIn(2, { id }),
      ];
      const other = await signedIn(1, { id: 'other' });
      const heard: unknown[] = [];
      other.user.bind('note', (data: unknown) => heard.push(data));
      const notes = mine.map(
        (client) => new Promise((resolve) => client.user.bind('note', resolve)),
      );
      await eventually(async () => {
        const answer = await stage.edge(0).get('/apps/app-id/channels', {
          filter_by_prefix: '#server-to-user-',
          info: 'subscription_count',
        });
        const { channels } = (await answer.json()) as {
          channels: Record<string, { subscription_count: number }>;
        };
        expect(channels[`#server-to-user-${id}`]).to.deep.equal({ subscription_count: 3 });
      });
      const answer = await sdk(2).sendToUser(id, 'note', { text: 'hi' });
      expect(answer.status).to.equal(200);
      expect(await Promise.all(notes)).to.deep.equal(mine.map(() => ({ text: 'hi' })));
      await sdk(0).sendToUser('other', 'note', 'own');
      await eventually(() => expect(heard).to.deep.equal(['own']));
    });

    it('19: a watchlist says who is online, then who comes and goes, once for all tabs', async () => {
      await signedIn(1, { id: 'here' });
      const client = openPusher(
        stage.port(0),
        signedBy(stage.app, { user: { id: 'watcher', watchlist: ['here', 'away'] } }),
      );
      clients.push(client);
      const events: string[] = [];
      for (const name of ['online', 'offline']) {
        client.user.watchlist.bind(name, (event: WatchlistEvent) => {
          for (const user of event.user_ids) events.push(`${name} ${user}`);
        });
      }
      client.signin();
      await eventually(() =>
        expect([...events].sort()).to.deep.equal(['offline away', 'online here']),
      );
      const tabs = [await signedIn(1, { id: 'away' }), await signedIn(2, { id: 'away' })];
      await eventually(() => expect(events.slice(2)).to.deep.equal(['online away']));
      tabs[0]?.disconnect();
      const other = await signedIn(1, { id: 'other' });
      other.disconnect();
      tabs[1]?.disconnect();
      await eventually(() => expect(events.slice(3)).to.deep.equal(['offline away']));
    });

    it('19: a second socket of the watcher hears the present state too; ids beyond the limit are cut with 4302', async () => {
      await signedIn(2, { id: 'a' });
      const socket = await raw(0);
      await socket.signin(stage.app, { id: 'w', watchlist: ['a', 'b', 'c', 'd'] });
      const error = await socket.next('pusher:error');
      expect(error.data).to.include({ code: 4302, type: 'watchlist_limit' });
      const states = async (one: TestClient) => {
        const seen = new Map<string, string>();
        while (seen.size < 3) {
          const frame = await one.next('pusher_internal:watchlist_events');
          const { events } = JSON.parse(String(frame.data)) as { events: WatchlistEvent[] };
          for (const { name, user_ids: ids } of events) for (const id of ids) seen.set(id, name);
        }
        return Object.fromEntries(seen);
      };
      const expected = { a: 'online', b: 'offline', c: 'offline' };
      expect(await states(socket)).to.deep.equal(expected);
      const second = await raw(1);
      await second.signin(stage.app, { id: 'w', watchlist: ['a', 'b', 'c'] });
      expect(await states(second)).to.deep.equal(expected);
    });

    it('terminate_connections closes every signed-in socket of the user with 4009, and no other', async () => {
      const id = 'auth0|u ser/é';
      const mine = [await raw(0), await raw(1), await raw(2)];
      for (const socket of mine) await socket.signin(stage.app, { id });
      const member = await raw(1);
      await member.subscribe('presence-x', stage.app, JSON.stringify({ user_id: id }));
      const stranger = await raw(0);
      await stranger.signin(stage.app, { id: 'stranger' });
      const answer = await sdk(1).terminateUserConnections(id);
      expect(answer.status).to.equal(200);
      expect(await answer.json()).to.deep.equal({});
      for (const socket of mine) expect((await socket.closed).code).to.equal(4009);
      await member.roundTrip();
      await stranger.roundTrip();
      expect((await sdk(0).terminateUserConnections('nobody')).status).to.equal(200);
    });

    it('5, 18: a signed-in user joins presence channels without channel_data', async () => {
      const socket = await raw(0);
      await socket.signin(stage.app, { id: 'ada', user_info: { name: 'Ada' } });
      const success = await socket.subscribe('presence-y', stage.app);
      expect(JSON.parse(String(success.data)).presence.hash).to.deep.equal({
        ada: { name: 'Ada' },
      });
    });
  });
}

describe('conformance: sockets that prove nothing', function () {
  this.timeout(20_000);

  it('are closed with 4009 after authorizationTimeoutMs, others are not', async () => {
    const stage = await startStage(1, {
      apps: [{ authorizationTimeoutMs: 1_000 }],
      settings: { activityTimeoutMs: 1_000 },
    });
    try {
      const idle = await stage.edge(0).connect();
      const publicOnly = await stage.edge(0).connect();
      await publicOnly.subscribe('news');
      const user = await stage.edge(0).connect();
      await user.signin(stage.app, { id: '1' });
      const subscriber = await stage.edge(0).connect();
      await subscriber.subscribe('private-a', stage.app);
      expect((await idle.closed).code).to.equal(4009);
      expect((await publicOnly.closed).code).to.equal(4009);
      await user.roundTrip();
      await subscriber.roundTrip();
    } finally {
      await stage.close();
    }
  });
});
