/** Presence through stock pusher-js: on one edge and on three. */
import { expect } from 'chai';
import type { PresenceChannel } from 'pusher-js';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import { openPusher, type PusherClient, signedBy, subscribed } from '../support/clients.ts';
import type { TestClient } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { type Stage, startStage } from '../support/stage.ts';

const added = 'pusher_internal:member_added';
const removed = 'pusher_internal:member_removed';

/** A member's view: its list, and what it was told after the snapshot. */
interface View {
  readonly client: PusherClient;
  readonly channel: PresenceChannel;
  readonly news: string[];
  ids(): string[];
}

for (const edges of [1, 3]) {
  describe(`conformance: presence, ${edges === 1 ? 'one edge' : `${edges} edges`}`, function () {
    this.timeout(20_000);
    let stage: Stage;
    const clients: PusherClient[] = [];
    const sockets: TestClient[] = [];
    before(async () => {
      stage = await startStage(edges, {
        apps: [{ limits: { ...defaultLimits, presenceMembers: 3, presenceUserInfoBytes: 64 } }],
      });
    });
    after(() => stage.close());
    afterEach(() => {
      for (const client of clients.splice(0)) client.disconnect();
      for (const socket of sockets.splice(0)) socket.terminate();
    });

    async function join(n: number, name: string, member: object): Promise<View> {
      const client = openPusher(stage.port(n), signedBy(stage.app, { member }));
      clients.push(client);
      const channel = client.subscribe(name) as PresenceChannel;
      const news: string[] = [];
      channel.bind('pusher:member_added', ({ id }: { id: string }) => news.push(`+${id}`));
      channel.bind('pusher:member_removed', ({ id }: { id: string }) => news.push(`-${id}`));
      await subscribed(channel);
      return { client, channel, news, ids: () => Object.keys(channel.members.members).sort() };
    }

    async function raw(n: number): Promise<TestClient> {
      const socket = await stage.edge(n).connect();
      sockets.push(socket);
      return socket;
    }

    it('12: the snapshot holds the joiner itself, ids as text and an object by id', async () => {
      const socket = await raw(0);
      const data = JSON.stringify({ user_id: 10, user_info: { n: 'a' } });
      const success = await socket.subscribe('presence-12', stage.app, data);
      expect(JSON.parse(String(success.data))).to.deep.equal({
        presence: { count: 1, ids: ['10'], hash: { 10: { n: 'a' } } },
      });
      const other = await raw(1);
      const second = await other.subscribe('presence-12', stage.app, '{"user_id":"11"}');
      expect(JSON.parse(String(second.data))).to.deep.equal({
        presence: { count: 2, ids: ['10', '11'], hash: { 10: { n: 'a' }, 11: null } },
      });
      const news = await socket.next(added, 'presence-12');
      expect(news.data).to.equal('{"user_id":"11"}');
    });

    it('13: a numeric user_id is the same member as its text', async () => {
      const view = await join(0, 'presence-13', {
        user_id: 10,
        user_info: { name: 'Mr. Channels' },
      });
      expect(view.channel.members.me).to.deep.equal({ id: 10, info: { name: 'Mr. Channels' } });
      const again = await join(1, 'presence-13', { user_id: '10' });
      expect(again.ids()).to.deep.equal(['10']);
      expect(again.channel.members.count).to.equal(1);
    });

    it('10, 11: a user with three tabs comes once and leaves once, wherever they are', async () => {
      const watcher = await join(0, 'presence-10', { user_id: 'w' });
      const tabs = [
        await join(0, 'presence-10', { user_id: 'u', user_info: { tab: 1 } }),
        await join(1, 'presence-10', { user_id: 'u', user_info: { tab: 2 } }),
        await join(2, 'presence-10', { user_id: 'u', user_info: { tab: 3 } }),
      ];
      await eventually(() => expect(watcher.news).to.deep.equal(['+u']));
      for (const tab of tabs) expect(tab.ids()).to.deep.equal(['u', 'w']);
      const late = await join(2, 'presence-10', { user_id: 'late' });
      expect(late.channel.members.get('u')).to.deep.equal({ id: 'u', info: { tab: 1 } });
      tabs[0]?.client.disconnect();
      tabs[1]?.channel.unsubscribe();
      // The next to come shows that nothing was said of the two that went.
      await join(1, 'presence-10b', { user_id: 'x' });
      late.client.disconnect();
      await eventually(() => expect(watcher.news).to.deep.equal(['+u', '+late', '-late']));
      tabs[2]?.client.disconnect();
      await eventually(() => expect(watcher.news.slice(3)).to.deep.equal(['-u']));
      expect(watcher.ids()).to.deep.equal(['w']);
      expect(tabs.flatMap(({ news }) => news).filter((item) => item.includes('u'))).to.deep.equal(
        [],
      );
    });

    it('11: whoever leaves and returns is removed and added in turn, on every edge', async () => {
      const watchers = [
        await join(0, 'presence-11', { user_id: 'a' }),
        await join(1, 'presence-11', { user_id: 'b' }),
      ];
      for (let round = 0; round < 5; round += 1) {
        const socket = await raw(2);
        await socket.subscribe('presence-11', stage.app, '{"user_id":"u"}');
        socket.send('pusher:unsubscribe', { channel: 'presence-11' });
        await socket.roundTrip();
        socket.terminate();
      }
      const expected = Array.from({ length: 5 }, () => ['+u', '-u']).flat();
      await eventually(() => {
        for (const { news } of watchers) {
          expect(news.filter((item) => item.endsWith('u'))).to.deep.equal(expected);
        }
      });
    });

    it('the limit counts users, not sockets: a second tab of the last member comes in', async () => {
      for (const user of ['1', '2', '3'])
        await join(Number(user), 'presence-full', { user_id: user });
      const tab = await join(1, 'presence-full', { user_id: '3' });
      await eventually(() => expect(tab.ids()).to.deep.equal(['1', '2', '3']));
      const socket = await raw(2);
      const data = '{"user_id":"4"}';
      const auth = signChannel(stage.app, socket.socketId, 'presence-full', data);
      socket.send('pusher:subscribe', { channel: 'presence-full', auth, channel_data: data });
      const error = await socket.next('pusher:subscription_error', 'presence-full');
      expect(error.data).to.include({ type: 'LimitReached', status: 4100 });
      clients[0]?.disconnect();
      await eventually(() => expect(tab.ids()).to.deep.equal(['2', '3']));
      await socket.subscribe('presence-full', stage.app, data);
    });

    it('user_info beyond its limit is refused, for this channel alone', async () => {
      const socket = await raw(0);
      const data = JSON.stringify({ user_id: '1', user_info: 'x'.repeat(64) });
      const auth = signChannel(stage.app, socket.socketId, 'presence-big', data);
      socket.send('pusher:subscribe', { channel: 'presence-big', auth, channel_data: data });
      const error = await socket.next('pusher:subscription_error', 'presence-big');
      expect(error.data).to.include({ type: 'AuthError', status: 400 });
      await socket.subscribe('presence-big', stage.app, '{"user_id":"1"}');
    });

    it('10: subscribing twice with one socket is one member, and nobody hears of it', async () => {
      const watcher = await raw(1);
      await watcher.subscribe('presence-again', stage.app, '{"user_id":"w"}');
      const socket = await raw(0);
      for (const _ of [1, 2]) {
        const success = await socket.subscribe('presence-again', stage.app, '{"user_id":"u"}');
        expect(JSON.parse(String(success.data)).presence.ids).to.have.members(['u', 'w']);
      }
      await watcher.next(added);
      socket.send('pusher:unsubscribe', { channel: 'presence-again' });
      await watcher.next(removed);
      await watcher.roundTrip();
      const news = watcher.frames.filter(({ event }) => event === added || event === removed);
      expect(news.map(({ event }) => event)).to.deep.equal([added, removed]);
    });
  });
}
