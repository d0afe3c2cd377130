/** The HTTP API as server SDKs use it, asked of one edge and answered for all of them. */
import { expect } from 'chai';
import PusherServer from 'pusher';
import type { AppId } from '../../contracts/ids.ts';
import { bodyMd5, signHttp } from '../../contracts/pusher/signature.ts';
import { signedPost, type TestClient } from '../support/edge.ts';
import { type Stage, startStage } from '../support/stage.ts';

for (const edges of [1, 3]) {
  describe(`conformance: HTTP API, ${edges === 1 ? 'one edge' : `${edges} edges`}`, function () {
    this.timeout(20_000);
    let stage: Stage;
    const sockets: TestClient[] = [];
    before(async () => {
      stage = await startStage(edges, {
        apps: [{}, { id: 'closed' as AppId, key: 'closed-key', secret: 's', enabled: false }],
      });
    });
    after(() => stage.close());
    afterEach(() => {
      for (const socket of sockets.splice(0)) socket.terminate();
    });

    const sdk = (n = 0) =>
      new PusherServer({
        appId: stage.app.id,
        key: stage.app.key,
        secret: stage.app.secret,
        host: '127.0.0.1',
        port: String(stage.port(n)),
        useTLS: false,
      });
    async function member(n: number, channel: string, user: string): Promise<TestClient> {
      const socket = await stage.edge(n).connect();
      sockets.push(socket);
      await socket.subscribe(channel, stage.app, JSON.stringify({ user_id: user }));
      return socket;
    }
    async function subscriber(n: number, channel: string): Promise<TestClient> {
      const socket = await stage.edge(n).connect();
      sockets.push(socket);
      await socket.subscribe(channel, stage.app);
      return socket;
    }
    const get = async (path: string, query: Record<string, string> = {}, n = 0) => {
      const answer = await stage.edge(n).get(`/apps/app-id${path}`, query);
      return { status: answer.status, body: (await answer.json()) as unknown };
    };

    it('20, 23: channels, channel and users, merged over all edges, users each once', async () => {
      await member(0, 'presence-q', '1');
      await member(1, 'presence-q', '1');
      await member(2, 'presence-q', '2');
      await subscriber(0, 'q');
      await subscriber(1, 'q');
      expect(
        await get('/channels', { filter_by_prefix: 'presence-', info: 'user_count' }),
      ).to.deep.equal({
        status: 200,
        body: { channels: { 'presence-q': { user_count: 2 } } },
      });
      const all = await get('/channels', {}, 1);
      expect(all.body).to.deep.equal({ channels: { 'presence-q': {}, q: {} } });
      const { users } = (await get('/channels/presence-q/users', {}, 2)).body as {
        users: object[];
      };
      expect(users).to.have.deep.members([{ id: '1' }, { id: '2' }]);
      expect((await get('/channels/q', { info: 'subscription_count' }, 2)).body).to.deep.equal({
        occupied: true,
        subscription_count: 2,
      });
      expect((await get('/channels/presence-q', { info: 'user_count' })).body).to.deep.equal({
        occupied: true,
        user_count: 2,
      });
    });

    it('23: what is empty is an object, and unknown is no error', async () => {
      expect(await get('/channels')).to.deep.equal({ status: 200, body: { channels: {} } });
      expect(await get('/channels/none')).to.deep.equal({ status: 200, body: { occupied: false } });
      expect(await get('/channels/presence-none/users')).to.deep.equal({
        status: 200,
        body: { users: [] },
      });
    });

    it('20: a wrong question is 400', async () => {
      for (const [path, query] of [
        ['/channels', { info: 'user_count' }],
        ['/channels', { info: 'user_count', filter_by_prefix: 'private-' }],
        ['/channels/q', { info: 'user_count' }],
        ['/channels/q', { info: 'cache' }],
        ['/channels/q', { info: 'nonsense' }],
        ['/channels/q/users', {}],
      ] as const) {
        expect((await get(path, query)).status, `${path} ${JSON.stringify(query)}`).to.equal(400);
      }
    });

    it('25: info on trigger and batch', async () => {
      await member(0, 'presence-i', '1');
      await subscriber(1, 'i');
      const one = await sdk(2).trigger(['presence-i', 'i', 'none'], 'e', 'x', {
        info: 'user_count,subscription_count',
      });
      expect(await one.json()).to.deep.equal({
        channels: {
          'presence-i': { user_count: 1 },
          i: { subscription_count: 1 },
          none: { subscription_count: 0 },
        },
      });
      const batch = await sdk(1).triggerBatch([
        { channel: 'i', name: 'e', data: '1', info: 'subscription_count' },
        { channel: 'i', name: 'e', data: '2' },
        { channel: 'presence-i', name: 'e', data: '3', info: 'user_count' },
      ]);
      expect(await batch.json()).to.deep.equal({
        batch: [{ subscription_count: 1 }, {}, { user_count: 1 }],
      });
    });

    it('24: every success is 200 with an object', async () => {
      const answers = [
        await sdk().trigger('a', 'e', 'x'),
        await sdk().triggerBatch([{ channel: 'a', name: 'e', data: 'x' }]),
        await sdk().sendToUser('7', 'e', 'x'),
        await sdk().terminateUserConnections('7'),
      ];
      for (const answer of answers) {
        expect(answer.status).to.equal(200);
        expect(await answer.json()).to.deep.equal({});
      }
    });

    it('24: a batch arrives in its order, and all of it or nothing', async () => {
      const socket = await subscriber(1, 'b');
      const bad = await stage.edge(0).post('/apps/app-id/batch_events', {
        batch: [
          { channel: 'b', name: 'no', data: '1' },
          { channel: 'b b', name: 'no', data: '2' },
        ],
      });
      expect(bad.status).to.equal(400);
      await sdk(2).triggerBatch(
        [1, 2, 3].map((n) => ({ channel: 'b', name: 'e', data: String(n) })),
      );
      await socket.next('e');
      await socket.next('e');
      await socket.next('e');
      expect(socket.events('b').map(({ data }) => data)).to.deep.equal(['1', '2', '3']);
    });

    it('20: a path prefix of a proxy is not part of what is signed', async () => {
      const socket = await subscriber(0, 'p');
      const body = JSON.stringify({ name: 'e', channel: 'p', data: 'x' });
      const query = new Map([
        ['auth_key', stage.app.key],
        ['auth_timestamp', String(Math.floor(Date.now() / 1_000))],
        ['auth_version', '1.0'],
        ['body_md5', bodyMd5(Buffer.from(body))],
      ]);
      query.set('auth_signature', signHttp(stage.app.secret, 'POST', '/apps/app-id/events', query));
      const send = (prefix: string) =>
        fetch(
          `http://127.0.0.1:${stage.port(1)}${prefix}/apps/app-id/events?${new URLSearchParams([...query])}`,
          { method: 'POST', body, headers: { connection: 'close' } },
        );
      expect((await send('/some/prefix')).status).to.equal(200);
      expect((await socket.next('e')).data).to.equal('x');
    });

    it('21, 22: an old or early timestamp, another body and an unsigned parameter are 401', async () => {
      const origin = `http://127.0.0.1:${stage.port(0)}`;
      const path = '/apps/app-id/events';
      const body = JSON.stringify({ name: 'e', channel: 'a', data: 'x' });
      const now = Math.floor(Date.now() / 1_000);
      for (const [offset, status] of [
        [-590, 200],
        [590, 200],
        [-610, 401],
        [610, 401],
      ] as const) {
        const answer = await signedPost(origin, stage.app, path, body, now + offset);
        expect(answer.status, String(offset)).to.equal(status);
      }
      const query = new Map([
        ['auth_key', stage.app.key],
        ['auth_timestamp', String(now)],
        ['auth_version', '1.0'],
        ['body_md5', bodyMd5(Buffer.from(body))],
      ]);
      query.set('auth_signature', signHttp(stage.app.secret, 'POST', path, query));
      const send = (text: string, more = '') =>
        fetch(`${origin}${path}?${new URLSearchParams([...query])}${more}`, {
          method: 'POST',
          body: text,
          headers: { connection: 'close' },
        });
      expect((await send(body)).status).to.equal(200);
      expect((await send(body.replace('x', 'y'))).status).to.equal(401);
      expect((await send(body, '&socket_id=1.1')).status).to.equal(401);
    });

    it('20: unknown app 404, disabled app 403, too large 413', async () => {
      const origin = `http://127.0.0.1:${stage.port(0)}`;
      const body = JSON.stringify({ name: 'e', channel: 'a', data: 'x' });
      const closed = { key: 'closed-key', secret: 's' };
      expect((await signedPost(origin, stage.app, '/apps/nope/events', body)).status).to.equal(404);
      expect((await signedPost(origin, closed, '/apps/closed/events', body)).status).to.equal(403);
      const large = await stage.edge(0).post('/apps/app-id/events', {
        name: 'e',
        channel: 'a',
        data: 'x'.repeat(10_241),
      });
      expect(large.status).to.equal(413);
      expect(await large.json()).to.include({ code: 'too_large' });
      const refused = stage.edge(0).open('/app/closed-key?protocol=7');
      sockets.push(refused);
      expect((await refused.closed).code).to.equal(4003);
    });
  });
}
