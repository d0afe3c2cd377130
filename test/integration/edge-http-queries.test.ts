/** Questions to the cluster over the HTTP API: shapes, refusals, and the odd ways in which SDKs spell and sign them. */
import { expect } from 'chai';
import { startTestApi, type TestApi } from '../support/http-api.ts';

describe('edge HTTP API: queries', () => {
  let api: TestApi;
  beforeEach(async () => {
    api = await startTestApi();
    api.cluster.occupied.set('presence-room', { subscriptions: 3, users: ['1', '2'] });
    api.cluster.occupied.set('news', { subscriptions: 5 });
    api.cluster.occupied.set('cache-rates', { subscriptions: 1 });
    api.cluster.occupied.set('#server-to-user-7', { subscriptions: 1 });
  });
  afterEach(() => api.close());

  const get = async (path: string, query: Record<string, string> = {}) => {
    const { status, text } = await api.call({ path: `/apps/app-id${path}`, query });
    return [status, text];
  };
  const code = async (path: string, query: Record<string, string> = {}) => {
    const { status, json } = await api.call({ path: `/apps/app-id${path}`, query });
    expect(json).to.have.keys('error', 'code');
    return [status, (json as { code: string }).code];
  };
  const bad = [400, 'bad_request'];

  describe('GET /channels', () => {
    it('lists what is occupied, and says {} where there is nothing', async () => {
      expect(await get('/channels')).to.deep.equal([
        200,
        '{"channels":{"presence-room":{},"news":{},"cache-rates":{}}}',
      ]);
      expect(await get('/channels', { filter_by_prefix: 'ne' })).to.deep.equal([
        200,
        '{"channels":{"news":{}}}',
      ]);
      expect(await get('/channels', { filter_by_prefix: 'x' })).to.deep.equal([
        200,
        '{"channels":{}}',
      ]);
      api.cluster.occupied.clear();
      expect(await get('/channels')).to.deep.equal([200, '{"channels":{}}']);
    });

    it('counts users behind a presence prefix, and subscriptions everywhere', async () => {
      expect(
        await get('/channels', {
          filter_by_prefix: 'presence-',
          info: 'user_count,subscription_count',
        }),
      ).to.deep.equal([
        200,
        '{"channels":{"presence-room":{"user_count":2,"subscription_count":3}}}',
      ]);
      expect(
        await get('/channels', { filter_by_prefix: 'n', info: 'subscription_count' }),
      ).to.deep.equal([200, '{"channels":{"news":{"subscription_count":5}}}']);
      expect(api.cluster.asked).to.deep.equal([
        { app: 'app-id', prefix: 'presence-', users: true },
        { app: 'app-id', prefix: 'n', users: false },
      ]);
    });

    it('refuses to count users elsewhere, what it does not know, and a prefix that no name has', async () => {
      for (const query of [
        { info: 'user_count' },
        { info: 'user_count', filter_by_prefix: 'presence' },
        { info: 'user_count', filter_by_prefix: 'private-' },
        { info: 'cache' },
        { info: 'subscription_count,x' },
        { filter_by_prefix: 'x'.repeat(201) },
      ] as Record<string, string>[]) {
        expect(await code('/channels', query), JSON.stringify(query)).to.deep.equal(bad);
      }
      expect(api.cluster.asked).to.deep.equal([]);
    });

    it('shows the channels of users only to those who ask for them', async () => {
      expect(await get('/channels', { filter_by_prefix: '#server-to-user-' })).to.deep.equal([
        200,
        '{"channels":{"#server-to-user-7":{}}}',
      ]);
    });

    it('lists a channel that is named like what every object has', async () => {
      api.cluster.occupied.clear();
      api.cluster.occupied.set('__proto__', { subscriptions: 1 });
      expect(await get('/channels')).to.deep.equal([200, '{"channels":{"__proto__":{}}}']);
    });
  });

  describe('GET /channels/{name}', () => {
    it('says whether it is occupied, and counts where asked', async () => {
      expect(await get('/channels/news')).to.deep.equal([200, '{"occupied":true}']);
      expect(await get('/channels/nobody')).to.deep.equal([200, '{"occupied":false}']);
      expect(await get('/channels/news', { info: 'subscription_count' })).to.deep.equal([
        200,
        '{"occupied":true,"subscription_count":5}',
      ]);
      expect(
        await get('/channels/presence-room', { info: 'user_count,subscription_count' }),
      ).to.deep.equal([200, '{"occupied":true,"user_count":2,"subscription_count":3}']);
      expect(await get('/channels/presence-nobody', { info: 'user_count' })).to.deep.equal([
        200,
        '{"occupied":false,"user_count":0}',
      ]);
      expect(api.cluster.asked[3]).to.deep.equal({
        app: 'app-id',
        prefix: '',
        names: ['presence-room'],
        users: true,
      });
    });

    it('tells the last event of a cache channel and how long it is kept', async () => {
      const cache = { info: 'cache' };
      expect(await get('/channels/cache-rates', cache)).to.deep.equal([
        200,
        '{"occupied":true,"cache":null}',
      ]);
      api.cache.set('cache-rates', {
        body: Buffer.from('{"event":"e","channel":"cache-rates","data":"{\\"a\\":1}","id":"x"}'),
        publishedAtMs: api.clock.now(),
      });
      expect(await get('/channels/cache-rates', cache)).to.deep.equal([
        200,
        '{"occupied":true,"cache":{"data":"{\\"a\\":1}","ttl":1800}}',
      ]);
      api.clock.advance(1_799_500);
      expect(await get('/channels/cache-rates', cache)).to.deep.equal([
        200,
        '{"occupied":true,"cache":{"data":"{\\"a\\":1}","ttl":1}}',
      ]);
      api.clock.advance(500);
      expect(await get('/channels/cache-rates', cache)).to.deep.equal([
        200,
        '{"occupied":true,"cache":null}',
      ]);
    });

    it('refuses attributes that the channel does not have', async () => {
      expect(await code('/channels/news', { info: 'user_count' })).to.deep.equal(bad);
      expect(await code('/channels/cache-rates', { info: 'user_count' })).to.deep.equal(bad);
      expect(await code('/channels/news', { info: 'cache' })).to.deep.equal(bad);
      expect(await code('/channels/xcache-a', { info: 'cache' })).to.deep.equal(bad);
      expect(await code('/channels/news', { info: 'members' })).to.deep.equal(bad);
      expect(await get('/channels/presence-cache-a', { info: 'cache,user_count' })).to.deep.equal([
        200,
        '{"occupied":false,"user_count":0,"cache":null}',
      ]);
      for (const name of ['a b', '*', 'private-', 'x'.repeat(201), '%']) {
        const answer = await api.call({
          path: `/apps/app-id/channels/${name.replace(' ', '%20')}`,
        });
        expect(answer.status, name).to.equal(400);
      }
    });

    it('reads a name as it was sent or percent-encoded, whichever of the two was signed', async () => {
      api.cluster.occupied.set('private-a@b=c,d;e', { subscriptions: 1 });
      const raw = '/apps/app-id/channels/private-a@b=c,d;e';
      const encoded = '/apps/app-id/channels/private-a%40b%3Dc%2Cd%3Be';
      for (const call of [{ path: raw }, { path: encoded }, { path: encoded, signedPath: raw }]) {
        expect((await api.call(call)).text).to.equal('{"occupied":true}');
      }
    });
  });

  describe('GET /channels/{name}/users', () => {
    it('lists ids as text, and nobody where there is nobody', async () => {
      expect(await get('/channels/presence-room/users')).to.deep.equal([
        200,
        '{"users":[{"id":"1"},{"id":"2"}]}',
      ]);
      expect(await get('/channels/presence-nobody/users')).to.deep.equal([200, '{"users":[]}']);
      expect(await get('/channels/presence-room/users', { with_user_info: '1' })).to.deep.equal([
        200,
        '{"users":[{"id":"1"},{"id":"2"}]}',
      ]);
    });

    it('refuses channels that have none', async () => {
      for (const name of ['news', 'private-a', 'cache-rates', '%23server-to-user-7']) {
        expect(await code(`/channels/${name}/users`), name).to.deep.equal(bad);
      }
      expect(api.cluster.asked).to.deep.equal([]);
    });
  });

  describe('POST /users/{id}/terminate_connections', () => {
    const odd = ['7', 'auth0|u ser/é', 'a/b', '100%', '100% é', 'a/terminate_connections/b', '%zz'];

    it('takes whatever id the SDK of Pusher puts into its path', async () => {
      for (const id of odd) {
        const response = await api.sdk.terminateUserConnections(id);
        expect([response.status, await response.text()], id).to.deep.equal([200, '{}']);
      }
      expect(api.cluster.terminated).to.deep.equal(odd.map((id) => ['app-id', id]));
    });

    it('takes it percent-encoded and signed so, with and without a body', async () => {
      for (const body of ['{}', undefined]) {
        const { status } = await api.call({
          method: 'POST',
          path: '/apps/app-id/users/auth0%7Cu%20ser%2F%C3%A9/terminate_connections',
          ...(body === undefined ? {} : { body }),
        });
        expect(status).to.equal(200);
      }
      expect(api.cluster.terminated).to.deep.equal([
        ['app-id', 'auth0|u ser/é'],
        ['app-id', 'auth0|u ser/é'],
      ]);
    });

    it('refuses an id that nobody can have, and one user with the signature of another', async () => {
      const call = (user: string, signed = user) =>
        api.call({
          path: `/apps/app-id/users/${user}/terminate_connections`,
          signedPath: `/apps/app-id/users/${signed}/terminate_connections`,
          body: '{}',
        });
      expect((await call('x'.repeat(128))).status).to.equal(200);
      expect((await call('x'.repeat(129))).status).to.equal(400);
      expect((await call('8', '7')).status).to.equal(401);
      expect((await call('')).status).to.equal(404);
      expect(api.cluster.terminated).to.have.length(1);
    });

    it('is done when every edge has done it', async () => {
      api.cluster.silent = ['edge-b'];
      const error = await api.sdk.terminateUserConnections('7').then(
        () => undefined,
        (reason: { status: number; body: string }) => reason,
      );
      expect(error?.status).to.equal(503);
      expect(JSON.parse(error?.body ?? '')).to.include({ code: 'cluster_incomplete' });
    });
  });

  it('answers 503 with Retry-After rather than with a part', async () => {
    api.cluster.silent = ['edge-b', 'edge-c'];
    for (const path of ['/channels', '/channels/news', '/channels/presence-room/users']) {
      const answer = await api.call({ path: `/apps/app-id${path}` });
      expect(answer.status, path).to.equal(503);
      expect(answer.header('retry-after')).to.equal('1');
      expect(answer.json).to.include({ code: 'cluster_incomplete' });
      expect(answer.text).to.include('2 edges were silent');
    }
  });

  it('answers the SDK of Pusher, which sends its parameters raw', async () => {
    const json = async (path: string, params: Record<string, string> = {}) =>
      (await api.sdk.get({ path, params })).json();
    expect(
      await json('/channels', {
        filter_by_prefix: 'presence-',
        info: 'user_count,subscription_count',
      }),
    ).to.deep.equal({ channels: { 'presence-room': { user_count: 2, subscription_count: 3 } } });
    expect(await json('/channels/news', { info: 'subscription_count' })).to.deep.equal({
      occupied: true,
      subscription_count: 5,
    });
    expect(await json('/channels/presence-room/users')).to.deep.equal({
      users: [{ id: '1' }, { id: '2' }],
    });
  });

  describe('the query', () => {
    const path = '/apps/app-id/channels/presence-room';
    const query = { info: 'user_count,subscription_count' };
    const full = '{"occupied":true,"user_count":2,"subscription_count":3}';

    it('may come percent-encoded, and as the list that PHP makes of an array', async () => {
      for (const sentQuery of [
        'info=user_count%2Csubscription_count',
        'info=user_count,subscription_count',
        'info%5B0%5D=user_count&info%5B1%5D=subscription_count',
        'info[0]=user_count&info[1]=subscription_count',
        'Info=user_count,subscription_count',
      ]) {
        const answer = await api.call({ path, query, sentQuery });
        expect([answer.status, answer.text], sentQuery).to.deep.equal([200, full]);
      }
    });

    it('is refused where it could be read in two ways, or differs from what was signed', async () => {
      for (const [sentQuery, status] of [
        ['info[0]=user_count&info=subscription_count', 400],
        ['info=user_count&info[0]=subscription_count', 400],
        ['info[0]=user_count&info[0]=subscription_count', 400],
        ['info=user_count&INFO=subscription_count', 400],
        ['info[0]=subscription_count&info[1]=user_count', 401],
        ['info[0]=user_count', 401],
        ['info[0]=user_count&info[1]=subscription_count&info[2]=x', 401],
        ['info[x]=user_count,subscription_count', 401],
        ['auth_key[0]=app-key&info=user_count,subscription_count', 400],
      ] as const) {
        const answer = await api.call({ path, query, sentQuery });
        expect(answer.status, sentQuery).to.equal(status);
      }
      expect(api.cluster.asked).to.deep.equal([]);
    });
  });
});
