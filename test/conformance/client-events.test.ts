/** Client events: exactly the allowed matrix, across edges. */
import { expect } from 'chai';
import type { AppId } from '../../contracts/ids.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import {
  first,
  openEcho,
  openPusher,
  type PusherClient,
  signedBy,
  subscribed,
} from '../support/clients.ts';
import type { TestClient } from '../support/edge.ts';
import { type Stage, startStage } from '../support/stage.ts';

for (const edges of [1, 2]) {
  describe(`conformance: client events, ${edges === 1 ? 'one edge' : `${edges} edges`}`, function () {
    this.timeout(20_000);
    let stage: Stage;
    const clients: PusherClient[] = [];
    const sockets: TestClient[] = [];
    before(async () => {
      stage = await startStage(edges, {
        apps: [
          { clientEvents: true, limits: { ...defaultLimits, clientEventBytes: 100 } },
          { id: 'off' as AppId, key: 'off-key', secret: 'off-secret' },
        ],
      });
    });
    after(() => stage.close());
    afterEach(() => {
      for (const client of clients.splice(0)) client.disconnect();
      for (const socket of sockets.splice(0)) socket.terminate();
    });

    function open(n: number, member?: object): PusherClient {
      const client = openPusher(
        stage.port(n),
        signedBy(stage.app, member === undefined ? {} : { member }),
      );
      clients.push(client);
      return client;
    }

    async function raw(n: number, key = 'app-key'): Promise<TestClient> {
      const socket = await stage.edge(n).connect(`/app/${key}?protocol=7`);
      sockets.push(socket);
      return socket;
    }

    it('15: others get it as it was sent, the sender does not', async () => {
      const [sender, receiver] = [open(0), open(1)] as const;
      const [from, to] = [sender.subscribe('private-a'), receiver.subscribe('private-a')] as const;
      await Promise.all([subscribed(from), subscribed(to)]);
      const seenBySender: unknown[] = [];
      from.bind('client-hi', (data: unknown) => seenBySender.push(data));
      const event = first(to, 'client-hi');
      const back = first(from, 'client-back');
      from.trigger('client-hi', { z: 1, text: 'é"\\' });
      expect(await event).to.deep.equal({ z: 1, text: 'é"\\' });
      to.trigger('client-back', 'text');
      expect(await back).to.equal('text');
      expect(seenBySender).to.deep.equal([]);
    });

    it('15: user_id is what the application signed, on presence channels only', async () => {
      const [sender, receiver] = [open(0, { user_id: 10 }), open(1, { user_id: 'w' })] as const;
      const names = ['presence-a', 'private-a'];
      for (const name of names) {
        const [from, to] = [sender.subscribe(name), receiver.subscribe(name)] as const;
        await Promise.all([subscribed(from), subscribed(to)]);
        const metadata = new Promise((resolve) => {
          to.bind('client-hi', (_data: unknown, meta: unknown) => resolve(meta));
        });
        from.trigger('client-hi', {});
        expect(await metadata, name).to.deep.equal(name === 'presence-a' ? { user_id: '10' } : {});
      }
      const forger = await raw(0);
      await forger.subscribe('presence-a', stage.app, '{"user_id":"mallory"}');
      const forged = new Promise((resolve) => {
        receiver
          .channel('presence-a')
          .bind('client-x', (_: unknown, meta: unknown) => resolve(meta));
      });
      forger.send('client-x', {}, { channel: 'presence-a', user_id: 'ada' });
      expect(await forged).to.deep.equal({ user_id: 'mallory' });
    });

    it('15: public, encrypted, user and foreign channels are refused with 4301, and the socket stays', async () => {
      const socket = await raw(0);
      const listener = await raw(1);
      const member = '{"user_id":"u"}';
      for (const name of ['news', 'cache-news']) {
        await socket.subscribe(name);
        await listener.subscribe(name);
      }
      for (const name of ['private-encrypted-a', 'private-encrypted-cache-a']) {
        await socket.subscribe(name, stage.app);
        await listener.subscribe(name, stage.app);
      }
      await listener.subscribe('private-not-joined', stage.app);
      for (const channel of [
        'news',
        'cache-news',
        'private-encrypted-a',
        'private-encrypted-cache-a',
        'private-not-joined',
        '#server-to-user-1',
        '',
      ]) {
        socket.send('client-hi', {}, { channel });
        const error = await socket.next('pusher:error');
        expect(error.data, channel).to.include({ code: 4301, type: 'client_event_rejected' });
      }
      socket.send('not-client-hi', {}, { channel: 'news' });
      expect((await socket.next('pusher:error')).data).to.include({ type: 'unknown_event' });
      await socket.subscribe('presence-a', stage.app, member);
      await socket.subscribe('private-not-joined', stage.app);
      const last = listener.next('client-last');
      socket.send('client-last', {}, { channel: 'private-not-joined' });
      await last;
      const seen = listener.frames.filter(({ event }) => event === 'client-hi');
      expect(seen).to.deep.equal([]);
    });

    it('15: works on private-cache- and presence-cache- channels, and is not what is replayed', async () => {
      const socket = await raw(0);
      const listener = await raw(1);
      await listener.subscribe('private-cache-c', stage.app);
      await listener.next('pusher:cache_miss');
      await socket.subscribe('private-cache-c', stage.app);
      socket.send('client-hi', 1, { channel: 'private-cache-c' });
      await listener.next('client-hi');
      const late = await raw(1);
      await late.subscribe('private-cache-c', stage.app);
      await late.next('pusher:cache_miss', 'private-cache-c');
    });

    it('15: off unless the app turns it on, with the cure in the message', async () => {
      const socket = await raw(0, 'off-key');
      const off = { key: 'off-key', secret: 'off-secret' };
      await socket.subscribe('private-a', off);
      socket.send('client-hi', {}, { channel: 'private-a' });
      const error = await socket.next('pusher:error');
      expect(error.data).to.include({ code: 4301 });
      expect((error.data as { message: string }).message).to.include('clientEvents: true');
      await socket.roundTrip();
    });

    it('15: data and name are bounded', async () => {
      const socket = await raw(0);
      await socket.subscribe('private-a', stage.app);
      const sizes = { text: 'x'.repeat(101), object: { a: 'x'.repeat(95) } };
      for (const data of Object.values(sizes)) {
        socket.send('client-hi', data, { channel: 'private-a' });
        expect((await socket.next('pusher:error')).data).to.include({ code: 4301 });
      }
      socket.send(`client-${'n'.repeat(200)}`, 1, { channel: 'private-a' });
      expect((await socket.next('pusher:error')).data).to.include({ code: 4301 });
      const listener = await raw(1);
      await listener.subscribe('private-a', stage.app);
      socket.send('client-hi', 'x'.repeat(100), { channel: 'private-a' });
      expect((await listener.next('client-hi')).data).to.equal('x'.repeat(100));
    });

    it('16: the eleventh event of a second is dropped with 4301, and the socket stays', async () => {
      const socket = await raw(0);
      const listener = await raw(1);
      for (const one of [socket, listener]) await one.subscribe('private-rate', stage.app);
      for (let n = 1; n <= 15; n += 1) socket.send('client-n', n, { channel: 'private-rate' });
      await socket.roundTrip();
      const errors = socket.frames.filter(({ event }) => event === 'pusher:error');
      expect(errors.map(({ data }) => (data as { code: number }).code)).to.deep.equal(
        Array.from({ length: 5 }, () => 4301),
      );
      await stage.edge(0).post('/apps/app-id/events', {
        name: 'done',
        channel: 'private-rate',
        data: '',
      });
      await listener.next('done');
      expect(listener.events('private-rate').map(({ data }) => data)).to.deep.equal([
        ...Array.from({ length: 10 }, (_, at) => at + 1),
        '',
      ]);
    });

    it('15: whispers of Laravel Echo', async () => {
      const signed = signedBy(stage.app, { member: { user_id: 'u', user_info: { name: 'Ada' } } });
      const [speaker, listener] = [
        openEcho('reverb', stage.port(0), signed),
        openEcho('pusher', stage.port(1), signed),
      ] as const;
      try {
        const heard = new Promise((resolve) => {
          listener.private('chat.1').listenForWhisper('typing', resolve);
        });
        const channel = speaker.private('chat.1');
        await Promise.all([
          new Promise<void>((resolve) => channel.subscribed(resolve)),
          new Promise<void>((resolve) => listener.private('chat.1').subscribed(resolve)),
        ]);
        channel.whisper('typing', { name: 'Ada' });
        expect(await heard).to.deep.equal({ name: 'Ada' });
      } finally {
        speaker.disconnect();
        listener.disconnect();
      }
    });

    it('an unsubscribed sender is refused', async () => {
      const socket = await raw(0);
      await socket.subscribe('private-a', stage.app);
      socket.send('pusher:unsubscribe', { channel: 'private-a' });
      socket.send('client-hi', {}, { channel: 'private-a' });
      expect((await socket.next('pusher:error')).data).to.include({ code: 4301 });
      const auth = signChannel(stage.app, socket.socketId, 'private-a');
      socket.send('pusher:subscribe', { channel: 'private-a', auth });
      await socket.next('pusher_internal:subscription_succeeded', 'private-a');
    });
  });
}
