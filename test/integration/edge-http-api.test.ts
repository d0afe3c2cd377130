/** Pusher's HTTP API: every way to publish, every way to be refused. */
import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { ChannelPublisher } from '../../broker/port.ts';
import type { Publication } from '../../contracts/publication.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { bodyMd5, signHttp } from '../../contracts/pusher/signature.ts';
import { signedPost, startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';

/** Keeps what is published; confirms when the test says so. */
class RecordingPublisher implements ChannelPublisher {
  readonly published: Publication[] = [];
  failure: Error | undefined;
  gate: Promise<void> = Promise.resolve();

  async publish(publication: Publication) {
    this.published.push(publication);
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    return { routed: true };
  }
}

describe('edge HTTP API', () => {
  let test: TestEdge;
  let publisher: RecordingPublisher;
  const start = async (options: TestEdgeOptions = {}) => {
    publisher = new RecordingPublisher();
    test = await startTestEdge({ channelPublisher: publisher, ...options });
    return test;
  };
  afterEach(() => test.close());

  const events = '/apps/app-id/events';
  const batch = '/apps/app-id/batch_events';
  const event = { name: 'e', channel: 'news', data: '{"a":1}' };
  const now = () => Math.floor(Date.now() / 1_000);

  /** A request whose every part the test may spoil after signing. */
  async function request(spoil: {
    body?: string;
    sent?: string;
    signedPath?: string;
    path?: string;
    query?: (query: Map<string, string>) => void;
    afterSigning?: (query: Map<string, string>) => void;
    extra?: string;
    secret?: string;
    method?: string;
  }) {
    const path = spoil.path ?? events;
    const body = spoil.body ?? JSON.stringify(event);
    const query = new Map([
      ['auth_key', 'app-key'],
      ['auth_timestamp', String(now())],
      ['auth_version', '1.0'],
      ['body_md5', bodyMd5(Buffer.from(body))],
    ]);
    spoil.query?.(query);
    const signature = signHttp(
      spoil.secret ?? 'app-secret',
      spoil.method ?? 'POST',
      spoil.signedPath ?? path,
      query,
    );
    query.set('auth_signature', signature);
    spoil.afterSigning?.(query);
    const response = await fetch(
      `${test.origin}${path}?${new URLSearchParams([...query])}${spoil.extra ?? ''}`,
      { method: 'POST', headers: { connection: 'close' }, body: spoil.sent ?? body },
    );
    const text = await response.text();
    return { status: response.status, json: JSON.parse(text) as Record<string, unknown>, response };
  }

  it('answers 200 with an object when everything is confirmed, not before', async () => {
    await start();
    let confirm = () => {};
    publisher.gate = new Promise((resolve) => {
      confirm = resolve;
    });
    let answered = false;
    const answer = request({}).finally(() => {
      answered = true;
    });
    await eventually(() => expect(publisher.published).to.have.length(1));
    await (await fetch(`${test.origin}/healthz`, { headers: { connection: 'close' } })).text();
    expect(answered).to.equal(false);
    confirm();
    expect(await answer).to.deep.include({ status: 200, json: {} });
  });

  it('publishes to all channels in order, with a fresh id each, and the data byte for byte', async () => {
    await start();
    const data = '{"big":12345678901234567890, "é":"\\u00e9"}';
    await test.post(events, { name: 'App\\Events\\X', channels: ['b', 'a', 'private-c'], data });
    expect(publisher.published.map(({ channel }) => channel)).to.deep.equal([
      'b',
      'a',
      'private-c',
    ]);
    expect(new Set(publisher.published.map(({ id }) => id)).size).to.equal(3);
    for (const { body } of publisher.published) {
      expect(JSON.parse(String(body))).to.include({ event: 'App\\Events\\X', data });
    }
  });

  it('publishes a batch in order, with its exclusions', async () => {
    await start();
    const response = await test.post(batch, {
      batch: [
        { ...event, name: 'one' },
        { ...event, name: 'two', socket_id: '1.2' },
      ],
    });
    expect([response.status, await response.json()]).to.deep.equal([200, {}]);
    const names = publisher.published.map(({ body }) => JSON.parse(String(body)).event as string);
    expect(names).to.deep.equal(['one', 'two']);
    expect(publisher.published.map(({ except }) => except)).to.deep.equal([undefined, '1.2']);
  });

  it('publishes nothing of a batch with one mistake', async () => {
    await start();
    const response = await test.post(batch, { batch: [event, { ...event, channel: '*' }] });
    expect(response.status).to.equal(400);
    expect(await response.json())
      .to.have.property('error')
      .that.includes('batch[1]');
    expect(publisher.published).to.deep.equal([]);
  });

  it('refuses bodies that are not what they should be', async () => {
    await start();
    const bodies = [
      '',
      '[]',
      'null',
      '7',
      '{',
      '{"name":"e"}',
      '{"name":"","channel":"a","data":""}',
      '{"name":"e","channel":"a"}',
      '{"name":"e","channels":[],"data":""}',
      '{"name":"e","channels":"a","data":""}',
      '{"name":"e","channel":"#","data":""}',
      '{"name":"pusher:x","channel":"a","data":""}',
      '{"name":"e","channel":"a","data":"\\ud800"}',
      '{"name":"e","channel":"a","data":"","socket_id":"1"}',
      '{"__proto__":{"name":"e","channel":"a","data":""}}',
      `{"name":"e","channel":"a","data":${'['.repeat(100)}${']'.repeat(100)}}`,
    ];
    for (const body of bodies) {
      const { status, json } = await request({
        body,
        ...(body === '' ? { query: (query) => query.delete('body_md5') } : {}),
      });
      expect(status, body).to.equal(400);
      expect(json, body).to.have.keys('error', 'code').and.include({ code: 'bad_request' });
    }
    expect(publisher.published).to.deep.equal([]);
  });

  it('refuses what is not signed by the app, with a sentence that gives nothing away', async () => {
    await start();
    const cases: readonly (readonly [string, Parameters<typeof request>[0]])[] = [
      ['another secret', { secret: 'wrong' }],
      ['another key', { query: (query) => query.set('auth_key', 'other') }],
      ['another body', { sent: JSON.stringify({ ...event, data: 'tampered' }) }],
      [
        'the digest of another body',
        { query: (query) => query.set('body_md5', bodyMd5(Buffer.from('x'))) },
      ],
      ['no digest', { query: (query) => query.delete('body_md5') }],
      ['another path', { signedPath: batch }],
      ['another method', { method: 'GET' }],
      ['an old time', { query: (query) => query.set('auth_timestamp', String(now() - 601)) }],
      ['a future time', { query: (query) => query.set('auth_timestamp', String(now() + 602)) }],
      ['a time that is none', { query: (query) => query.set('auth_timestamp', 'NaN') }],
      ['a fraction of a time', { query: (query) => query.set('auth_timestamp', `${now()}.5`) }],
      [
        'a time changed afterwards',
        { afterSigning: (query) => query.set('auth_timestamp', String(now() - 5)) },
      ],
      ['another version', { query: (query) => query.set('auth_version', '2.0') }],
      ['no signature', { afterSigning: (query) => query.delete('auth_signature') }],
      ['an empty signature', { afterSigning: (query) => query.set('auth_signature', '') }],
      [
        'a signature in upper case',
        {
          afterSigning: (query) =>
            query.set('auth_signature', (query.get('auth_signature') ?? '').toUpperCase()),
        },
      ],
      ['a parameter that was not signed', { extra: '&info=user_count' }],
    ];
    for (const [what, spoil] of cases) {
      const { status, json } = await request(spoil);
      expect(status, what).to.equal(401);
      expect(json, what).to.have.keys('error', 'code').and.include({ code: 'unauthorized' });
      expect(json['error'], what).not.to.match(/[0-9a-f]{32}/);
    }
    expect(publisher.published).to.deep.equal([]);
  });

  it('refuses a parameter that comes twice, in whatever case', async () => {
    await start();
    for (const extra of [
      '&auth_key=app-key',
      '&AUTH_KEY=app-key',
      '&auth_signature=x',
      '&x=1&x=1',
    ]) {
      expect((await request({ extra })).status, extra).to.equal(400);
    }
    expect(publisher.published).to.deep.equal([]);
  });

  it('accepts a signature within ten minutes and over signed extra parameters', async () => {
    await start();
    for (const query of [
      (query: Map<string, string>) => void query.set('auth_timestamp', String(now() - 595)),
      (query: Map<string, string>) => void query.set('auth_timestamp', String(now() + 595)),
      (query: Map<string, string>) => void query.set('info', 'user_count,subscription_count'),
      (query: Map<string, string>) => void query.set('Mixed', 'a b+c&d=é'),
    ]) {
      expect((await request({ query })).status).to.equal(200);
    }
  });

  it('accepts the path as it was sent and as it reads', async () => {
    const { app } = await start();
    await test.close();
    await start({ apps: [{ ...app, id: 'app@1' as typeof app.id }] });
    const path = '/apps/app%401/events';
    expect((await request({ path })).status).to.equal(200);
    expect((await request({ path, signedPath: '/apps/app@1/events' })).status).to.equal(200);
    expect((await request({ path, signedPath: '/apps/app/events' })).status).to.equal(401);
  });

  it('answers 413 to data and bodies above the limits', async () => {
    await start({
      apps: [{ limits: { ...defaultLimits, eventPayloadBytes: 100, eventsPerBatch: 1 } }],
    });
    const data = await test.post(events, { ...event, data: 'x'.repeat(101) });
    expect([data.status, ((await data.json()) as { code: string }).code]).to.deep.equal([
      413,
      'too_large',
    ]);
    const body = await test.post(events, { ...event, data: 'x'.repeat(80_000) });
    expect([body['status'], ((await body.json()) as { code: string }).code]).to.deep.equal([
      413,
      'too_large',
    ]);
    expect(publisher.published).to.deep.equal([]);
  });

  it('answers 404 to unknown apps and paths, in JSON', async () => {
    await start();
    for (const [path, code] of [
      ['/apps/other/events', 'unknown_app'],
      ['/apps/__proto__/events', 'unknown_app'],
      ['/apps/app-id/nothing', 'not_found'],
      ['/pusher/app/app-key', 'not_found'],
    ] as const) {
      const response = await signedPost(test.origin, test.app, path, '{}');
      expect(response.status, path).to.equal(404);
      expect(await response.json()).to.include({ code });
    }
    const response = await fetch(`${test.origin}/apps/%E0%A4%A/events`, {
      method: 'POST',
      headers: { connection: 'close' },
    });
    expect([response.status, ((await response.json()) as { code: string }).code]).to.deep.equal([
      400,
      'bad_request',
    ]);
  });

  it('answers 503 with Retry-After while the broker does not confirm', async () => {
    await start();
    for (const code of [
      'broker_unavailable',
      'broker_timeout',
      'broker_busy',
      'broker_refused',
    ] as const) {
      publisher.failure = new BrokerError(code, 'amqp://user:hidden@broker said no');
      const { status, json, response } = await request({});
      expect(status).to.equal(503);
      expect(response.headers.get('retry-after')).to.equal('1');
      expect(json).to.include({ code: 'broker_unavailable' });
      expect(JSON.stringify(json)).not.to.include('hidden');
    }
  });

  it('answers 503 and is not ready while the broker is away, and stays live', async () => {
    test = await startTestEdge();
    const get = async (path: string) => {
      const response = await fetch(`${test.origin}${path}`, { headers: { connection: 'close' } });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    expect(await get('/readyz')).to.deep.equal({ status: 200, body: { status: 'ready' } });
    test.broker.setOutage(true);
    expect((await test.post(events, event)).status).to.equal(503);
    for (const path of ['/readyz', '/ready', '/accept-traffic']) {
      const { status, body } = await get(path);
      expect([status, body['status']]).to.deep.equal([503, 'not ready']);
      expect(body['reason']).to.be.a('string').that.includes('broker');
    }
    for (const path of ['/healthz', '/up']) expect((await get(path)).status).to.equal(200);
    test.broker.setOutage(false);
    expect((await get('/readyz')).status).to.equal(200);
    expect((await test.post(events, event)).status).to.equal(200);
  });

  it('tells what the sockets hold, and closes those of a user', async () => {
    test = await startTestEdge();
    const get = async (path: string, query: Record<string, string> = {}) =>
      (await test.get(`/apps/app-id${path}`, query)).json();
    const client = await test.connect();
    await client.subscribe('news');
    await client.subscribe('presence-room', test.app, '{"user_id":"7"}');
    await client.subscribe('cache-rates');
    await client.signin(test.app, { id: '7' });
    expect(await get('/channels', { info: 'subscription_count' })).to.deep.equal({
      channels: {
        news: { subscription_count: 1 },
        'presence-room': { subscription_count: 1 },
        'cache-rates': { subscription_count: 1 },
      },
    });
    expect(await get('/channels/presence-room/users')).to.deep.equal({ users: [{ id: '7' }] });
    const info = 'user_count,subscription_count';
    const channels = ['presence-room', 'news', 'nobody'];
    const answer = await test.post(events, { name: 'e', channels, data: '1', info });
    expect(await answer.json()).to.deep.equal({
      channels: {
        'presence-room': { user_count: 1 },
        news: { subscription_count: 1 },
        nobody: { subscription_count: 0 },
      },
    });
    await test.post(events, { name: 'e', channel: 'cache-rates', data: '{"a":1.0}' });
    await eventually(async () => {
      const { cache } = (await get('/channels/cache-rates', { info: 'cache' })) as {
        cache: { ttl: number };
      };
      expect(cache).to.deep.include({ data: '{"a":1.0}' });
      expect(cache.ttl).to.be.within(1_790, 1_800);
    });
    const closed = await test.post('/apps/app-id/users/7/terminate_connections', {});
    expect([closed.status, await closed.json()]).to.deep.equal([200, {}]);
    await client.closed;
    await eventually(async () => expect(await get('/channels')).to.deep.equal({ channels: {} }));
  });

  it('hides what went wrong inside, and counts by status', async () => {
    await start();
    publisher.failure = new Error('secret detail at /some/path');
    const { status, json } = await request({});
    expect(status).to.equal(500);
    expect(json).to.include({ code: 'internal_error' });
    expect(JSON.stringify(json)).not.to.include('detail');
    expect(await test.metric('warren_http_requests_total', 'status="500"')).to.equal(1);
  });
});
