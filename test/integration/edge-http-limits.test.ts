/** What the HTTP API lets through: rates, status codes, path prefixes, and a configuration that is replaced meanwhile. */
import { expect } from 'chai';
import type { AppId } from '../../contracts/ids.ts';
import { type AppLimits, defaultLimits } from '../../contracts/pusher/limits.ts';
import { testApp } from '../support/app.ts';
import { startTestApi, type TestApi, type TestApiOptions } from '../support/http-api.ts';

describe('edge HTTP API: limits and status codes', () => {
  let api: TestApi;
  const start = async (options: TestApiOptions = {}) => {
    api = await startTestApi(options);
  };
  const limited = (limits: Partial<AppLimits>, more: object = {}) => ({
    limits: { ...defaultLimits, ...limits },
    ...more,
  });
  afterEach(() => api.close());

  const events = '/apps/app-id/events';
  const event = { name: 'e', channel: 'news', data: '1' };
  const publish = () => api.call({ path: events, body: JSON.stringify(event) });
  const publishBatch = (count: number) =>
    api.call({
      path: '/apps/app-id/batch_events',
      body: JSON.stringify({ batch: Array(count).fill(event) }),
    });
  const codeOf = (answer: { json: unknown }) => (answer.json as { code?: string }).code;

  describe('events per second', () => {
    it('are unlimited by default, and then no header speaks of them', async () => {
      await start();
      for (let times = 0; times < 30; times += 1) {
        const answer = await publish();
        expect([answer.status, answer.header('x-ratelimit-limit')]).to.deep.equal([200, undefined]);
      }
    });

    it('end in 429 with the seconds to wait, and nothing is published', async () => {
      await start({ apps: [limited({ apiEventsPerSecond: 4 })] });
      const first = await publish();
      expect([
        first.status,
        first.header('x-ratelimit-limit'),
        first.header('x-ratelimit-remaining'),
      ]).to.deep.equal([200, '4', '3']);
      const batch = await publishBatch(3);
      expect([batch.status, batch.header('x-ratelimit-remaining')]).to.deep.equal([200, '0']);
      const over = await publish();
      expect([over.status, codeOf(over), over.header('retry-after')]).to.deep.equal([
        429,
        'rate_limited',
        '1',
      ]);
      expect(over.header('x-ratelimit-remaining')).to.equal('0');
      expect(over.json).to.have.property('error').that.includes('4 events per second');
      expect(api.published).to.have.length(4);
      api.clock.advance(1_000);
      expect((await publish()).status).to.equal(200);
    });

    it('count an event to many channels once, and none that is refused', async () => {
      await start({ apps: [limited({ apiEventsPerSecond: 2 })] });
      const many = { ...event, channel: undefined, channels: ['a', 'b', 'c'] };
      const answer = await api.call({ path: events, body: JSON.stringify(many) });
      expect([answer.status, answer.header('x-ratelimit-remaining')]).to.deep.equal([200, '1']);
      expect((await api.call({ path: events, body: '{}' })).status).to.equal(400);
      const forged = await api.call({ path: events, body: JSON.stringify(event), secret: 'wrong' });
      expect(forged.status).to.equal(401);
      expect((await publish()).status).to.equal(200);
      expect((await publish()).status).to.equal(429);
    });

    it('are shared with the other edges, down to an equal share', async () => {
      await start({ apps: [limited({ apiEventsPerSecond: 12 })] });
      api.cluster.live = 3;
      for (const [others, expected] of [
        [0, 12],
        [5, 7],
        [12, 4],
        [1_000, 4],
      ] as const) {
        api.cluster.load = { connections: 0, apiEvents: others };
        api.clock.advance(1_000);
        let allowed = 0;
        while ((await publish()).status === 200) allowed += 1;
        expect(allowed, `others at ${others}`).to.equal(expected);
      }
    });

    it('are counted for the other edges, limit or not', async () => {
      await start({
        apps: [{}, limited({}, { id: 'other' as AppId, key: 'k2', secret: 's2' })],
      });
      const [app, other] = ['app-id', 'other'] as AppId[] as [AppId, AppId];
      await publishBatch(3);
      await publish();
      expect(api.apiEvents.lastSecond(app), 'the second is not over').to.equal(0);
      api.clock.advance(1_000);
      expect([api.apiEvents.lastSecond(app), api.apiEvents.lastSecond(other)]).to.deep.equal([
        4, 0,
      ]);
      await publish();
      expect(api.apiEvents.lastSecond(app)).to.equal(4);
      api.clock.advance(1_000);
      expect(api.apiEvents.lastSecond(app)).to.equal(1);
      api.clock.advance(1_000);
      expect(api.apiEvents.lastSecond(app)).to.equal(0);
    });

    it('hold back one app and not another', async () => {
      const second = { id: 'other' as AppId, key: 'k2', secret: 's2' };
      await start({
        apps: [limited({ apiEventsPerSecond: 1 }), limited({ apiEventsPerSecond: 1 }, second)],
      });
      expect([(await publish()).status, (await publish()).status]).to.deep.equal([200, 429]);
      const other = await api.call({
        path: '/apps/other/events',
        body: JSON.stringify(event),
        key: 'k2',
        secret: 's2',
      });
      expect(other.status).to.equal(200);
    });
  });

  it('holds queries and terminations back together, and publishes not at all', async () => {
    await start({ apps: [limited({ apiReadsPerSecond: 3 })] });
    const channels = () => api.call({ path: '/apps/app-id/channels' });
    expect((await channels()).header('x-ratelimit-remaining')).to.equal('2');
    expect((await api.sdk.terminateUserConnections('7')).status).to.equal(200);
    expect((await api.call({ path: '/apps/app-id/channels/a' })).status).to.equal(200);
    for (const call of [
      { path: '/apps/app-id/channels' },
      { path: '/apps/app-id/channels/a' },
      { path: '/apps/app-id/channels/presence-a/users' },
      { path: '/apps/app-id/users/7/terminate_connections', body: '{}' },
    ]) {
      const answer = await api.call(call);
      expect([answer.status, answer.header('retry-after')], call.path).to.deep.equal([429, '1']);
      expect(codeOf(answer)).to.equal('rate_limited');
    }
    expect((await publish()).status).to.equal(200);
    api.clock.advance(1_000);
    expect((await channels()).status).to.equal(200);
  });

  it('answers 403 for a disabled app, and reads no body for it', async () => {
    await start({ apps: [{ enabled: false }] });
    for (const call of [
      { path: events, body: JSON.stringify(event) },
      { path: '/apps/app-id/channels' },
      { path: '/apps/app-id/users/7/terminate_connections', body: '{}' },
      { path: events, body: 'x'.repeat(3_000_000) },
    ]) {
      const answer = await api.call(call);
      expect([answer.status, codeOf(answer)], call.path).to.deep.equal([403, 'app_disabled']);
    }
    expect(api.published).to.deep.equal([]);
  });

  it('goes by the configuration of the moment', async () => {
    await start();
    expect((await publish()).status).to.equal(200);
    const configure = (overrides: object) => api.apps.update([testApp(overrides)]);
    configure({ secret: 'new-secret' });
    expect((await publish()).status, 'signed with the old secret').to.equal(401);
    configure({ enabled: false });
    expect((await publish()).status).to.equal(403);
    configure(limited({ eventPayloadBytes: 0 }));
    expect((await publish()).status).to.equal(413);
    configure(limited({ apiReadsPerSecond: 1 }));
    const channels = () => api.call({ path: '/apps/app-id/channels' });
    expect([(await channels()).status, (await channels()).status]).to.deep.equal([200, 429]);
    configure(limited({ eventPayloadBytes: 100, eventsPerBatch: 1 }));
    const large = JSON.stringify({ ...event, data: 'x'.repeat(200_000) });
    expect((await api.call({ path: events, body: large })).status).to.equal(413);
    configure(limited({ eventPayloadBytes: 200_000 }));
    expect((await api.call({ path: events, body: large })).status).to.equal(200);
    api.apps.update([]);
    expect((await publish()).status).to.equal(404);
  });

  it('answers 405 with the methods that there are, and 404 where there is no such path', async () => {
    await start();
    for (const [path, wrong, allow] of [
      ['/apps/app-id/events', ['GET', 'PUT', 'OPTIONS'], 'POST'],
      ['/apps/app-id/batch_events', ['GET', 'DELETE'], 'POST'],
      ['/apps/app-id/channels', ['POST', 'OPTIONS'], 'GET, HEAD'],
      ['/apps/app-id/channels/news', ['POST', 'DELETE'], 'GET, HEAD'],
      ['/apps/app-id/channels/news/users', ['POST'], 'GET, HEAD'],
      ['/apps/app-id/users/7/terminate_connections', ['GET'], 'POST'],
      ['/broadcasting/auth', ['GET', 'PUT'], 'POST, OPTIONS'],
      ['/pusher/user-auth', ['GET'], 'POST, OPTIONS'],
    ] as const) {
      for (const method of wrong) {
        const answer = await api.send(method, path);
        expect([answer.status, codeOf(answer)], `${method} ${path}`).to.deep.equal([
          405,
          'method_not_allowed',
        ]);
        expect(answer.header('allow')).to.equal(allow);
      }
    }
    for (const path of [
      '/apps',
      '/apps/app-id',
      '/apps/app-id/connections',
      '/apps/app-id/channels/a/b',
      '/apps/app-id/users/terminate_connections',
      '/apps/app-id/users/7',
      '/',
    ]) {
      const answer = await api.call({ path });
      expect([answer.status, codeOf(answer)], path).to.deep.equal([404, 'not_found']);
    }
  });

  it('answers HEAD like GET, without the body, where HEAD was signed', async () => {
    await start();
    const path = '/apps/app-id/channels';
    const head = await api.call({ method: 'HEAD', path });
    expect([head.status, head.text]).to.deep.equal([200, '']);
    expect((await api.send('HEAD', path)).status).to.equal(401);
  });

  it('holds for bodies of calls that carry nothing', async () => {
    await start();
    const path = '/apps/app-id/users/7/terminate_connections';
    const large = await api.call({ path, body: `{"x":"${'x'.repeat(5_000)}"}` });
    expect([large.status, codeOf(large)]).to.deep.equal([413, 'too_large']);
    expect(large.header('connection')).to.equal('close');
    const query = await api.call({ method: 'GET', path: '/apps/app-id/channels', body: '{}' });
    expect(query.status, 'a body of a GET is signed like any other').to.equal(200);
    expect(api.cluster.terminated).to.deep.equal([]);
  });

  it('answers 401 to every path without a signature that holds for it', async () => {
    await start();
    for (const call of [
      { path: '/apps/app-id/channels' },
      { path: '/apps/app-id/channels/news' },
      { path: '/apps/app-id/channels/presence-a/users' },
      { path: events, body: JSON.stringify(event) },
      { path: '/apps/app-id/batch_events', body: JSON.stringify({ batch: [event] }) },
      { path: '/apps/app-id/users/7/terminate_connections', body: '{}' },
    ]) {
      const method = 'body' in call ? 'POST' : 'GET';
      expect((await api.send(method, call.path, call.body)).status, call.path).to.equal(401);
      expect((await api.call({ ...call, secret: 'wrong' })).status, call.path).to.equal(401);
      expect((await api.call({ ...call, signedPath: '/apps/app-id/x' })).status).to.equal(401);
      const now = Math.floor(api.clock.now() / 1_000);
      expect((await api.call({ ...call, timestamp: now - 601 })).status).to.equal(401);
      expect((await api.call(call)).status, call.path).to.equal(200);
    }
    expect(api.published).to.have.length(2);
  });

  it('knows the example of the protocol, at its time', async () => {
    await start({
      apps: [{ id: '3' as AppId, key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' }],
      startMs: 1_353_088_179_000,
    });
    const query =
      'auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0' +
      '&body_md5=ec365a775a4cd0599faeb73354201b6f' +
      '&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c';
    const body = '{"name":"foo","channels":["project-3"],"data":"{\\"some\\":\\"data\\"}"}';
    const send = (target = `/apps/3/events?${query}`) => api.send('POST', target, body);
    expect((await send()).text).to.equal('{}');
    expect((await send(`/apps/3/events?${query.slice(0, -1)}d`)).status).to.equal(401);
    api.clock.advance(600_000);
    expect((await send()).status).to.equal(200);
    api.clock.advance(1_000);
    expect((await send()).status).to.equal(401);
  });

  describe('a path prefix', () => {
    it('that a proxy left is not part of what is signed', async () => {
      await start();
      const body = JSON.stringify(event);
      for (const path of [
        `/prefix${events}`,
        `/a/b${events}`,
        `/%2e%2e${events}`,
        `/${events}`,
        `http://warren.example${events}`,
      ]) {
        expect((await api.call({ path, signedPath: events, body })).status, path).to.equal(200);
        const whole = await api.call({ path, body });
        expect([whole.status, codeOf(whole)], path).to.deep.equal([401, 'unauthorized']);
        expect((await api.send('POST', path, body)).status, path).to.equal(401);
      }
      expect(api.published).to.have.length(5);
      const channels = await api.call({
        path: '/p/apps/app-id/channels',
        signedPath: '/apps/app-id/channels',
      });
      expect(channels.text).to.equal('{"channels":{}}');
    });

    it('ends at the first /apps/, and is none where the path begins so', async () => {
      await start({
        apps: [{}, { id: 'other' as AppId, key: 'k2', secret: 's2' }],
      });
      const user = 'x/apps/other/users/y';
      const path = `/apps/app-id/users/${user}/terminate_connections`;
      expect((await api.call({ path, body: '{}' })).status).to.equal(200);
      const behind = await api.call({ path: `/p${path}`, signedPath: path, body: '{}' });
      expect(behind.status).to.equal(200);
      expect(api.cluster.terminated).to.deep.equal([
        ['app-id', user],
        ['app-id', user],
      ]);
      const inner = `/apps/other/users/y/terminate_connections`;
      const smuggled = { path, signedPath: inner, body: '{}', key: 'k2', secret: 's2' };
      expect((await api.call(smuggled)).status).to.equal(401);
    });

    it('is not looked for in the query', async () => {
      await start();
      const target = `/x?y=${events}`;
      expect((await api.send('POST', target, '{}')).status).to.equal(404);
    });
  });

  it('takes the bodies that the SDK of Pusher for PHP sends', async () => {
    await start();
    for (const body of [
      { name: 'App\\Events\\X', data: '{"a":1}', channel: 'news' },
      { name: 'App\\Events\\X', data: '{"a":1}', channels: ['news', 'b'] },
      { name: 'e', data: '1', channel: 'news', socket_id: '1.2', info: 'subscription_count' },
    ]) {
      const answer = await api.call({ path: events, body: JSON.stringify(body) });
      expect(answer.status).to.equal(200);
      expect(answer.text[0], 'PHP reads an empty list where it expects an object').to.equal('{');
      expect(answer.text).not.to.include('[]');
    }
  });
});
