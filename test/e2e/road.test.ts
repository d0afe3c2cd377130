/**
 * The whole road, through the front doors: a real amqplib publisher, a real RabbitMQ, two routers, two edges, each a process of its
 * own, and unmodified clients.
 */
import { expect } from 'chai';
import { SignJWT } from 'jose';
import PusherServer from 'pusher';
import { first, openEcho, openPusher, type PusherClient, subscribed } from '../support/clients.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';

const jwtSecret = 'a secret that only this test knows about';
const config = `
apps: [{ id: app-id, key: app-key, secret: app-secret }]
events:
  - { on: 'chat.message.*', to: 'private-chat.{data.room}', as: message.posted, data: { id: '{data.id}', text: '{data.text}' }, except: '{data.socketId}' }
  - { on: 'news.*', to: news }
  - { on: 'feed.#', to: 'feed.{data.feed}', as: item, schema: feed.json }
channels:
  - { name: 'private-chat.{room}', allow: 'room in claims.rooms' }
auth: { jwt: { secret: '${jwtSecret}', algorithms: [HS256] } }
`;

const feedSchema = '{"type":"object","properties":{"n":{"type":"integer"}}}';

interface Refusal {
  readonly type: string;
  readonly status: number;
}

describe('the road from a domain event to a stock client', function () {
  this.timeout(60_000);
  let cluster: Cluster;
  const open: { disconnect(): void }[] = [];

  before(async () => {
    cluster = await startCluster({
      edges: 2,
      routers: 2,
      config,
      files: { 'feed.json': feedSchema },
    });
  });

  afterEach(() => {
    for (const client of open.splice(0)) client.disconnect();
  });

  after(async () => {
    await cluster?.stop();
  });

  const port = (edge: number) => cluster.edges[edge]?.port ?? 0;
  const pusher = (edge: number, options: object = {}): PusherClient => {
    const client = openPusher(port(edge), options);
    open.push(client);
    return client;
  };
  const echo = (broadcaster: 'pusher' | 'reverb', edge: number, bearerToken?: string) => {
    const client = openEcho(
      broadcaster,
      port(edge),
      bearerToken === undefined ? {} : { bearerToken },
    );
    open.push(client);
    return client;
  };
  const token = (rooms: readonly string[]) =>
    new SignJWT({ rooms })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject('user-7')
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(new TextEncoder().encode(jwtSecret));

  for (const broadcaster of ['pusher', 'reverb'] as const) {
    it(`reaches Laravel Echo (${broadcaster}) on a public channel, byte for byte`, async () => {
      const channel = echo(broadcaster, 0).channel('news');
      const heard = new Promise((resolve) => channel.listen('.news.published', resolve));
      await new Promise<void>((resolve) => channel.subscribed(resolve));
      await cluster.publish('news.published', '{"headline":"Grüße \\u0041","n":1.0}');
      expect(await heard).to.deep.equal({ headline: 'Grüße A', n: 1 });
    });

    it(`reaches Laravel Echo (${broadcaster}) on a private channel that its token opens`, async () => {
      const channel = echo(broadcaster, 1, await token(['7'])).private('chat.7');
      const heard = new Promise((resolve) => channel.listen('.message.posted', resolve));
      await new Promise<void>((resolve, reject) => {
        channel.subscribed(resolve);
        channel.error((error: unknown) => reject(new Error(JSON.stringify(error))));
      });
      await cluster.publish('chat.message.posted', '{"room":"7","id":1,"text":"hi","secret":"x"}');
      expect(await heard).to.deep.equal({ id: 1, text: 'hi' });
    });
  }

  it('refuses a private channel that the token does not open, and says so to Echo', async () => {
    const channel = echo('reverb', 0, await token(['8'])).private('chat.7');
    const refusal = await new Promise<Refusal>((resolve) => channel.error(resolve));
    expect(refusal).to.include({ type: 'AuthError', status: 403 });
  });

  it('gives every subscriber on every edge each of 10,000 events once and in order', async () => {
    const total = 10_000;
    const seen: number[][] = [];
    for (const edge of [0, 0, 1, 1]) {
      const numbers: number[] = [];
      seen.push(numbers);
      const channel = pusher(edge).subscribe('feed.long');
      channel.bind('item', ({ n }: { n: number }) => numbers.push(n));
      await subscribed(channel);
    }
    const expected = Array.from({ length: total }, (_, n) => n);
    const window = 500;
    const confirms: Promise<void>[] = [];
    for (const n of expected) {
      confirms.push(cluster.publish('feed.item', JSON.stringify({ feed: 'long', n })));
      if (n >= window) await confirms[n - window];
    }
    await Promise.all(confirms);
    await eventually(() => {
      for (const numbers of seen) expect(numbers.length).to.be.at.least(total);
    }, 40_000);
    for (const numbers of seen) expect(numbers).to.deep.equal(expected);
  });

  it('carries what a Pusher server SDK triggers on one edge to clients on both, except to the excluded socket', async () => {
    const server = new PusherServer({
      appId: 'app-id',
      key: 'app-key',
      secret: 'app-secret',
      useTLS: false,
      host: '127.0.0.1',
      port: String(port(1)),
    });
    const clients = [pusher(0), pusher(1)];
    const heard: string[][] = [[], []];
    for (const [index, client] of clients.entries()) {
      const channel = client.subscribe('orders');
      channel.bind('changed', (data: { id: string }) => heard[index]?.push(data.id));
      await subscribed(channel);
    }
    const excluded = clients[0]?.connection.socket_id ?? '';
    await server.trigger('orders', 'changed', { id: 'to-others' }, { socket_id: excluded });
    await server.triggerBatch([
      { channel: 'orders', name: 'changed', data: { id: 'one' } },
      { channel: 'orders', name: 'changed', data: { id: 'two' } },
    ]);
    await eventually(() => {
      expect(heard).to.deep.equal([
        ['one', 'two'],
        ['to-others', 'one', 'two'],
      ]);
    });
  });

  it('leaves out the socket that a rule excludes', async () => {
    const room = await token(['9']);
    const options = {
      channelAuthorization: {
        transport: 'ajax',
        endpoint: `http://127.0.0.1:${port(0)}/broadcasting/auth`,
        headers: { Authorization: `Bearer ${room}` },
      },
    };
    const [author, reader] = [pusher(0, options), pusher(0, options)];
    const texts: string[] = [];
    const channels = [author, reader].map((client) => client.subscribe('private-chat.9'));
    channels[0]?.bind('message.posted', ({ text }: { text: string }) =>
      texts.push(`author ${text}`),
    );
    channels[1]?.bind('message.posted', ({ text }: { text: string }) =>
      texts.push(`reader ${text}`),
    );
    await Promise.all(channels.map(subscribed));
    const socketId = author.connection.socket_id;
    await cluster.publish(
      'chat.message.posted',
      JSON.stringify({ room: '9', id: 1, text: 'mine', socketId }),
    );
    await cluster.publish('chat.message.posted', JSON.stringify({ room: '9', id: 2, text: 'all' }));
    await eventually(() => {
      expect(texts.filter((text) => text.endsWith('all'))).to.have.lengthOf(2);
    });
    expect(texts).to.have.members(['reader mine', 'author all', 'reader all']);
  });

  it('dead-letters bad events with their reason and delivers the good ones behind them', async () => {
    const channel = pusher(0).subscribe('feed.good');
    const good = first(channel, 'item');
    await subscribed(channel);
    const bad: readonly (readonly [string | Buffer, string])[] = [
      ['not json', 'invalid_json'],
      [Buffer.from([0x22, 0xff, 0x22]), 'invalid_utf8'],
      [`${'['.repeat(10_000)}${']'.repeat(10_000)}`, 'too_deep'],
      ['{"feed":"good","n":"one"}', 'schema_violation'],
      ['{}', 'missing_field'],
      ['{"feed":"a.b"}', 'invalid_segment'],
      ['{"feed":"#"}', 'invalid_segment'],
      ['{"feed":{}}', 'invalid_field'],
      [JSON.stringify({ feed: 'good', filler: 'x'.repeat(20_000) }), 'payload_too_large'],
      [JSON.stringify({ feed: 'good', filler: 'x'.repeat(2_000_000) }), 'too_large'],
    ];
    for (const [body] of bad) await cluster.publish('feed.item', body);
    const hostile = { headers: JSON.parse('{"__proto__":{"admin":true},"ce-id":7}') as object };
    await cluster.publish('feed.item', '{"feed":"good"}', hostile);
    await cluster.publish('feed.item', '{"feed":"good","n":1}');
    expect(await good).to.deep.equal({ feed: 'good', n: 1 });
    const letters = await cluster.deadLetters();
    expect(letters.map(({ reason }) => reason.split(':')[0])).to.deep.equal([
      ...bad.map(([, code]) => code),
      'invalid_cloudevent',
    ]);
    expect(letters[3]?.reason).to.equal(
      'schema_violation: events[2].schema: /n must be a whole number (feed.json)',
    );
    expect(letters[0]).to.include({ body: 'not json', routingKey: 'feed.item' });
  });

  it('hands over to the other router when the active one is killed, in order and without loss', async () => {
    const total = 2_000;
    const numbers: number[] = [];
    const channel = pusher(1).subscribe('feed.failover');
    channel.bind('item', ({ n }: { n: number }) => numbers.push(n));
    await subscribed(channel);
    for (let n = 0; n < total; n += 1) {
      const confirmed = cluster.publish('feed.item', JSON.stringify({ feed: 'failover', n }), {
        messageId: `failover-${n}`,
      });
      if (n === total / 2) await cluster.routers[0]?.stop('SIGKILL');
      if (n % 50 === 0) await confirmed;
    }
    await eventually(() => expect(numbers.at(-1)).to.equal(total - 1), 20_000);
    const firstSightings = [...new Set(numbers)];
    expect(firstSightings).to.deep.equal(Array.from({ length: total }, (_, n) => n));
  });

  it('drains on SIGTERM: unready, clients sent away with a retryable code, exit 0', async () => {
    const client = pusher(1);
    await new Promise<void>((resolve) => client.connection.bind('connected', resolve));
    const gone = new Promise<void>((resolve) =>
      client.connection.bind('state_change', ({ current }: { current: string }) => {
        if (current !== 'connected') resolve();
      }),
    );
    const exit = cluster.edges[1]?.stop('SIGTERM');
    await gone;
    expect(await exit).to.equal(0);
  });
});
