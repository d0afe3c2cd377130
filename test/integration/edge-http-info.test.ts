/** What a publisher can learn of the channels it publishes to, by the SDK of Pusher and by hand. */
import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import { startTestApi, type TestApi } from '../support/http-api.ts';

describe('edge HTTP API: info of a publish', () => {
  let api: TestApi;
  beforeEach(async () => {
    api = await startTestApi();
    api.cluster.occupied.set('presence-room', { subscriptions: 3, users: ['1', '2'] });
    api.cluster.occupied.set('news', { subscriptions: 5 });
    api.cluster.occupied.set('private-a', { subscriptions: 7 });
  });
  afterEach(() => api.close());

  const post = (path: string, body: object) =>
    api.call({ path: `/apps/app-id/${path}`, body: JSON.stringify(body) });
  const event = { name: 'e', data: '1' };

  it('is an empty object where nobody asks, and nobody is asked', async () => {
    for (const info of [undefined, null, '', [], ' , ']) {
      const answer = await post('events', { ...event, channel: 'news', info });
      expect([answer.status, answer.text]).to.deep.equal([200, '{}']);
    }
    expect(api.cluster.asked).to.deep.equal([]);
    expect(api.published).to.have.length(5);
  });

  it('has one entry per distinct channel: users of presence channels, subscriptions of all others', async () => {
    for (const info of [
      'user_count,subscription_count',
      ' subscription_count , user_count',
      ['user_count', 'subscription_count'],
    ]) {
      const { status, json } = await post('events', {
        ...event,
        channels: ['presence-room', 'news', 'news', 'private-a', 'presence-empty', 'empty'],
        info,
      });
      expect(status).to.equal(200);
      expect(json).to.deep.equal({
        channels: {
          'presence-room': { user_count: 2 },
          news: { subscription_count: 5 },
          'private-a': { subscription_count: 7 },
          'presence-empty': { user_count: 0 },
          empty: { subscription_count: 0 },
        },
      });
    }
  });

  it('is {} for a channel to which nothing applies, and then asks nobody', async () => {
    const { text } = await post('events', {
      ...event,
      channels: ['news', 'private-a'],
      info: 'user_count',
    });
    expect(text).to.equal('{"channels":{"news":{},"private-a":{}}}');
    expect(api.cluster.asked).to.deep.equal([]);
  });

  it('asks for these channels only, and for users only where they are counted', async () => {
    await post('events', { ...event, channels: ['news', 'presence-room'], info: 'user_count' });
    await post('events', {
      ...event,
      channels: ['news', 'presence-room'],
      info: 'subscription_count',
    });
    const app = 'app-id';
    expect(api.cluster.asked).to.deep.equal([
      { app, prefix: '', names: ['presence-room'], users: true },
      { app, prefix: '', names: ['news'], users: false },
    ]);
  });

  it('takes channels that are named like what every object has for channels', async () => {
    const { text } = await post('events', {
      ...event,
      channels: ['__proto__', 'constructor'],
      info: 'subscription_count',
    });
    expect(text).to.equal(
      '{"channels":{"__proto__":{"subscription_count":0},"constructor":{"subscription_count":0}}}',
    );
  });

  it('refuses what it does not know, and publishes nothing', async () => {
    for (const info of ['cache', 'user_count,x', 'toString', ['user_count', 7], 7, {}, [['x']]]) {
      for (const [path, body] of [
        ['events', { ...event, channel: 'news', info }],
        ['batch_events', { batch: [{ ...event, channel: 'news', info }] }],
      ] as const) {
        const { status, json } = await post(path, body);
        expect(status, JSON.stringify(info)).to.equal(400);
        expect(json).to.include({ code: 'bad_request' });
      }
    }
    expect(api.published).to.deep.equal([]);
  });

  it('comes with a batch, each entry in the place of its event', async () => {
    const { status, text } = await post('batch_events', {
      batch: [
        { ...event, channel: 'presence-room', info: 'user_count' },
        { ...event, channel: 'news' },
        { ...event, channel: 'news', info: 'subscription_count,user_count' },
        { ...event, channel: 'private-a', info: 'user_count' },
      ],
    });
    expect([status, text]).to.deep.equal([
      200,
      '{"batch":[{"user_count":2},{},{"subscription_count":5},{}]}',
    ]);
    expect(api.cluster.asked, 'one question for all').to.have.length(1);
    expect(api.published.map(({ channel }) => channel)).to.deep.equal([
      'presence-room',
      'news',
      'news',
      'private-a',
    ]);
    const plain = await post('batch_events', { batch: [{ ...event, channel: 'news' }] });
    expect(plain.text).to.equal('{}');
  });

  it('of a batch is about one channel per event', async () => {
    const { status, json } = await post('batch_events', {
      batch: [
        { ...event, channel: 'news' },
        { ...event, channels: ['a', 'b'], info: 'user_count' },
      ],
    });
    expect(status).to.equal(400);
    expect(json).to.have.property('error').that.includes('batch[1]');
    expect(api.published).to.deep.equal([]);
  });

  it('is counted before anything is published: without a whole answer nothing is', async () => {
    for (const [silent, text] of [
      [['edge-b'], '(1 edge was silent)'],
      [['edge-b', 'edge-c'], '(2 edges were silent)'],
      [[], 'try again.'],
    ] as const) {
      api.cluster.silent = silent;
      for (const [path, body] of [
        ['events', { ...event, channel: 'news', info: 'subscription_count' }],
        [
          'batch_events',
          {
            batch: [
              { ...event, channel: 'a' },
              { ...event, channel: 'b', info: 'subscription_count' },
            ],
          },
        ],
      ] as const) {
        const answer = await post(path, body);
        expect(answer.status).to.equal(503);
        expect(answer.header('retry-after')).to.equal('1');
        expect(answer.json).to.include({ code: 'cluster_incomplete' });
        expect((answer.json as { error: string }).error.endsWith(text), answer.text).to.equal(true);
        expect(answer.text, 'names and addresses of edges stay inside').not.to.match(/edge-|10\./);
      }
    }
    expect(api.published).to.deep.equal([]);
    const plain = await post('events', { ...event, channel: 'news' });
    expect(plain.status, 'a publish that asks nothing does not need the others').to.equal(200);
  });

  it('does not make a publish that was not confirmed a success', async () => {
    api.fail(new BrokerError('broker_timeout', 'no confirm'));
    const { status, json } = await post('events', {
      ...event,
      channel: 'news',
      info: 'subscription_count',
    });
    expect(status).to.equal(503);
    expect(json).to.include({ code: 'broker_unavailable' });
  });

  it('reaches the SDK of Pusher', async () => {
    const one = await api.sdk.trigger(
      ['presence-room', 'news'],
      'e',
      { a: 1 },
      {
        info: 'user_count,subscription_count',
        socket_id: '1.2',
      },
    );
    expect(await one.json()).to.deep.equal({
      channels: { 'presence-room': { user_count: 2 }, news: { subscription_count: 5 } },
    });
    const several = await api.sdk.triggerBatch([
      { channel: 'news', name: 'e', data: 'x', info: 'subscription_count' },
      { channel: 'private-a', name: 'e', data: 'x' },
    ]);
    expect(await several.json()).to.deep.equal({ batch: [{ subscription_count: 5 }, {}] });
    await api.sdk.sendToUser('auth0|7 é', 'e', { hi: 1 });
    expect(api.published.map(({ channel, except }) => [channel, except])).to.deep.equal([
      ['presence-room', '1.2'],
      ['news', '1.2'],
      ['news', undefined],
      ['private-a', undefined],
      ['#server-to-user-auth0|7 é', undefined],
    ]);
  });
});
