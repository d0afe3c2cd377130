/** Channels through stock pusher-js and, where that cannot misbehave enough, raw sockets: on one edge and on three. */
import { expect } from 'chai';
import PusherServer from 'pusher';
import { signChannel } from '../../contracts/pusher/signature.ts';
import {
  connected,
  first,
  openPusher,
  type PusherClient,
  signedBy,
  subscribed,
} from '../support/clients.ts';
import { type Stage, startStage } from '../support/stage.ts';

const succeeded = 'pusher_internal:subscription_succeeded';
const refused = 'pusher:subscription_error';

for (const edges of [1, 3]) {
  describe(`conformance: channels, ${edges === 1 ? 'one edge' : `${edges} edges`}`, function () {
    this.timeout(20_000);
    let stage: Stage;
    const clients: PusherClient[] = [];
    before(async () => {
      stage = await startStage(edges, { apps: [{ clientEvents: true, subscriptionCount: true }] });
    });
    after(() => stage.close());
    afterEach(() => {
      for (const client of clients.splice(0)) client.disconnect();
    });
    const open = (n: number, identity: Parameters<typeof signedBy>[1] = {}) => {
      const client = openPusher(stage.port(n), signedBy(stage.app, identity));
      clients.push(client);
      return client;
    };
    const sdk = (n = 0) =>
      new PusherServer({
        appId: stage.app.id,
        key: stage.app.key,
        secret: stage.app.secret,
        host: '127.0.0.1',
        port: String(stage.port(n)),
        useTLS: false,
      });

    it('6: public, private, presence and cache channels of every kind', async () => {
      const client = open(0, { member: { user_id: 'ada' } });
      const names = [
        'news',
        'private-a',
        'presence-a',
        'cache-a',
        'private-cache-a',
        'presence-cache-a',
        'private-encrypted-raw',
      ];
      for (const name of names.slice(0, -1)) {
        const channel = client.subscribe(name);
        await subscribed(channel);
        const event = first(channel, 'hello');
        const answer = await sdk(1).trigger(name, 'hello', { to: name });
        expect(answer.status, name).to.equal(200);
        expect(await event).to.deep.equal({ to: name });
      }
    });

    it('6: private-encrypted end to end: only those who have the key can read it', async () => {
      const masterKey = Buffer.alloc(32, 7).toString('base64');
      const server = new PusherServer({
        appId: stage.app.id,
        key: stage.app.key,
        secret: stage.app.secret,
        host: '127.0.0.1',
        port: String(stage.port(0)),
        useTLS: false,
        encryptionMasterKeyBase64: masterKey,
      });
      for (const name of ['private-encrypted-x', 'private-encrypted-cache-x']) {
        // The build of pusher-js for Node holds the cipher.
        const client = openPusher(stage.port(1), {
          channelAuthorization: {
            customHandler(
              { socketId, channelName }: { socketId: string; channelName: string },
              callback: (error: null, data: object) => void,
            ) {
              callback(null, server.authorizeChannel(socketId, channelName));
            },
          },
        });
        clients.push(client);
        const channel = client.subscribe(name);
        await subscribed(channel);
        const raw = await stage.edge(2).connect();
        await raw.subscribe(name, stage.app);
        const event = first(channel, 'secret');
        await server.trigger(name, 'secret', { words: 'for your eyes only' });
        expect(await event).to.deep.equal({ words: 'for your eyes only' });
        const seen = await raw.next('secret', name);
        expect(Object.keys(JSON.parse(String(seen.data)))).to.have.members(['nonce', 'ciphertext']);
        expect(String(seen.data)).not.to.include('eyes');
        raw.terminate();
      }
    });

    it('7, 8: a bad signature or key is refused for that channel alone, and the socket stays', async () => {
      const raw = await stage.edge(0).connect();
      const good = signChannel(stage.app, raw.socketId, 'private-x');
      const [, digest] = good.split(':') as [string, string];
      for (const auth of [`other-key:${digest}`, `app-key:${'0'.repeat(64)}`, digest, '', 'x']) {
        raw.send('pusher:subscribe', { channel: 'private-x', auth });
        const error = await raw.next(refused, 'private-x');
        expect(error.data).to.include({ type: 'AuthError', status: 401 });
      }
      const foreign = signChannel(stage.app, '1.1' as typeof raw.socketId, 'private-x');
      raw.send('pusher:subscribe', { channel: 'private-x', auth: foreign });
      await raw.next(refused, 'private-x');
      await raw.subscribe('private-x', stage.app);
      raw.terminate();
    });

    it('7: pusher-js hears of a refusal on the channel, and of nothing on the others', async () => {
      const client = openPusher(stage.port(0), {
        channelAuthorization: {
          customHandler: (_: object, callback: (error: null, data: object) => void) =>
            callback(null, { auth: 'app-key:0000' }),
        },
      });
      clients.push(client);
      const other = client.subscribe('news');
      const error = (await first(client.subscribe('private-x'), refused)) as { status: number };
      expect(error.status).to.equal(401);
      await subscribed(other);
      expect(client.connection.state).to.equal('connected');
    });

    it('9: nothing of channel_data is parsed before its signature holds', async () => {
      const raw = await stage.edge(0).connect();
      for (const data of ['{', 'null', '[]', '{"user_id":{}}', '['.repeat(10_000)]) {
        raw.send('pusher:subscribe', {
          channel: 'presence-x',
          auth: 'app-key:0',
          channel_data: data,
        });
        expect((await raw.next(refused)).data).to.include({ status: 401 });
      }
      for (const data of ['{', '{}', '{"user_id":""}']) {
        const auth = signChannel(stage.app, raw.socketId, 'presence-x', data);
        raw.send('pusher:subscribe', { channel: 'presence-x', auth, channel_data: data });
        expect((await raw.next(refused)).data).to.include({ status: 400, type: 'AuthError' });
      }
      raw.terminate();
    });

    it('6: what needs authorization follows from the anchored prefix alone', async () => {
      const raw = await stage.edge(0).connect();
      for (const name of ['xprivate-y', 'privateer', 'presencex', 'foo-cache-bar', 'cachet']) {
        raw.send('pusher:subscribe', { channel: name });
        await raw.next(succeeded, name);
        await raw.roundTrip();
        const of = raw.frames.filter(({ channel }) => channel === name).map(({ event }) => event);
        expect(of.filter((event) => event !== 'pusher_internal:subscription_count')).to.deep.equal([
          succeeded,
        ]);
      }
      for (const name of [
        'private-y',
        'private-cache-y',
        'private-encrypted-cache-y',
        'presence-cache-y',
        '#server-to-user-y',
      ]) {
        raw.send('pusher:subscribe', { channel: name, auth: 'x' });
        await raw.next(refused, name);
      }
      raw.terminate();
    });

    it('27: data arrives byte for byte, double-encoded or not', async () => {
      const raw = await stage.edge(1).connect();
      await raw.subscribe('bytes');
      const texts = [
        '{"b":1,"a":1.0,"big":12345678901234567890,"u":"\\u00e9é"}',
        '"text"',
        'not json',
        '123',
        '',
        '[1, 2]',
        '{"k":1,"k":2}',
        '\u2028\u0000\n',
      ];
      for (const data of texts) {
        const answer = await stage.edge(2).post('/apps/app-id/events', {
          name: 'raw',
          channel: 'bytes',
          data,
        });
        expect(answer.status, data).to.equal(200);
        expect((await raw.next('raw')).data).to.equal(data);
      }
      raw.terminate();
    });

    it('28: subscribing twice answers twice and neither doubles events nor counts', async () => {
      const raw = await stage.edge(0).connect();
      await raw.subscribe('twice');
      await raw.subscribe('twice');
      await stage
        .edge(1)
        .post('/apps/app-id/events', { name: 'once', channel: 'twice', data: '1' });
      await stage
        .edge(1)
        .post('/apps/app-id/events', { name: 'last', channel: 'twice', data: '2' });
      await raw.next('last');
      expect(raw.events('twice').map(({ event }) => event)).to.deep.equal(['once', 'last']);
      const counted = await stage.edge(1).get('/apps/app-id/channels/twice', {
        info: 'subscription_count',
      });
      expect(await counted.json()).to.deep.equal({ occupied: true, subscription_count: 1 });
      raw.send('pusher:unsubscribe', { channel: 'twice' });
      raw.send('pusher:unsubscribe', { channel: 'twice' });
      raw.send('pusher:unsubscribe', { channel: 'never' });
      await raw.roundTrip();
      const after = await stage.edge(1).get('/apps/app-id/channels/twice');
      expect(await after.json()).to.deep.equal({ occupied: false });
      raw.terminate();
    });

    it('17: socket_id leaves out exactly that socket, on whatever edge it is', async () => {
      const [left, right] = [open(0), open(1)] as const;
      const [leftId] = await Promise.all([connected(left), connected(right)]);
      const channels = [left.subscribe('ex'), right.subscribe('ex')] as const;
      await Promise.all(channels.map((channel) => subscribed(channel)));
      const seen: [unknown[], unknown[]] = [[], []];
      channels.forEach((channel, n) => {
        channel.bind('e', (data: unknown) => seen[n]?.push(data));
      });
      const done = Promise.all(channels.map((channel) => first(channel, 'done')));
      await sdk(2).trigger(['ex', 'ex-other'], 'e', 1, { socket_id: leftId });
      await sdk(2).trigger('ex', 'e', 2, { socket_id: '123.456' });
      await sdk(2).trigger('ex', 'done', 3);
      await done;
      expect(seen).to.deep.equal([[2], [1, 2]]);
    });

    it('subscription_count: everybody hears how many they are, on all edges', async () => {
      const watchers = [open(0), open(1), open(2)];
      const channels = watchers.map((client) => client.subscribe('counted'));
      const heard = (count: number) =>
        Promise.all(
          channels.map(
            (channel) =>
              new Promise<void>((resolve) => {
                const check = (data: { subscription_count: number }) => {
                  if (data.subscription_count === count) resolve();
                };
                channel.bind('pusher:subscription_count', check);
                if (Number(channel.subscriptionCount) === count) resolve();
              }),
          ),
        );
      await heard(3);
      const raw = await stage.edge(0).connect();
      await raw.subscribe('counted');
      await heard(4);
      raw.terminate();
      await heard(3);
    });
  });
}
