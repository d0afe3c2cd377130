/** What an application with Laravel's Redis broadcaster sees: a real Redis, a real RabbitMQ, two routers, two edges, stock clients. */
import { expect } from 'chai';
import { leaseMs, leaseName } from '../../broker/redis/lease.ts';
import {
  connected,
  openEcho,
  openPusher,
  type PusherClient,
  subscribed,
} from '../support/clients.ts';
import { type Cluster, type Member, startCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { type TestRedis, testRedis, uniqueRedisPrefix } from '../support/redis.ts';
import { skipBecause } from '../support/skip.ts';

describe('the road from Redis to a stock client', function () {
  this.timeout(60_000);
  const prefix = uniqueRedisPrefix();
  let redis: TestRedis;
  let cluster: Cluster;
  const open: { disconnect(): void }[] = [];

  before(async function () {
    const found = await testRedis();
    if (typeof found === 'string') return skipBecause(this, found);
    redis = found;
    cluster = await startCluster({
      edges: 2,
      routers: 2,
      config: `
apps: [{ id: app-id, key: app-key, secret: app-secret }]
ingress: { redis: { prefix: '${prefix}' } }
events:
  - { on: redis.orders, to: 'orders.{data.region}', as: order.changed }
`,
      environment: {
        REDIS_HOST: '127.0.0.1',
        REDIS_PORT: String(redis.port),
        REDIS_PASSWORD: 'null',
      },
    });
  });

  afterEach(() => {
    for (const client of open.splice(0)) client.disconnect();
  });

  after(async () => {
    await cluster?.stop();
    if (cluster !== undefined) {
      await redis.client.del(leaseName([cluster.names.domainEvents, prefix, '*']));
    }
    await redis?.close();
  });

  const port = (edge: number) => cluster.edges[edge]?.port ?? 0;
  const publish = (channel: string, message: unknown) =>
    redis.client.publish(`${prefix}${channel}`, JSON.stringify(message));

  async function stateOf({ metricsPort }: Member): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${metricsPort}/readyz`, {
      headers: { connection: 'close' },
    });
    return ((await answer.json()) as { note?: string }).note ?? '';
  }
  const forwarding = (among: readonly Member[]) =>
    eventually(async () => {
      const states = await Promise.all(among.map(stateOf));
      const found = among.filter((_, index) => states[index]?.endsWith('forwarding'));
      expect(found, states.join()).to.have.length(1);
      return found[0] as Member;
    });

  it('is open on one router of the two', () => forwarding(cluster.routers));

  it('carries Redis::publish to the channel of that name, where Echo listens for MessageSent', async () => {
    const echo = openEcho('reverb', port(0));
    open.push(echo);
    const channel = echo.channel('chat');
    const heard = new Promise((resolve) => channel.listen('MessageSent', resolve));
    await new Promise<void>((resolve) => channel.subscribed(resolve));
    await publish('chat', { message: 'hi' });
    expect(await heard).to.deep.equal({ message: 'hi' });
  });

  it('carries a broadcast to everybody but the socket that caused it, once, on every edge', async () => {
    const clients: PusherClient[] = [openPusher(port(0)), openPusher(port(1))];
    open.push(...clients);
    const heard: string[][] = [[], []];
    for (const [index, client] of clients.entries()) {
      const channel = client.subscribe('posts');
      channel.bind('App\\Events\\Posted', ({ id }: { id: string }) => heard[index]?.push(id));
      await subscribed(channel);
    }
    const socket = await connected(clients[0] as PusherClient);
    const event = 'App\\Events\\Posted';
    await publish('posts', { event, data: { id: 'to-others' }, socket });
    await publish('posts', { event, data: { id: 'to-all' }, socket: null });
    await eventually(() =>
      expect(heard.map((ids) => ids.at(-1))).to.deep.equal(['to-all', 'to-all']),
    );
    expect(heard).to.deep.equal([['to-all'], ['to-others', 'to-all']]);
  });

  it('goes by a rule of the file where there is one', async () => {
    const client = openPusher(port(1));
    open.push(client);
    const events: unknown[] = [];
    for (const name of ['orders.eu', 'orders']) {
      const channel = client.subscribe(name);
      channel.bind_global((event: string, data: unknown) => {
        if (!event.startsWith('pusher:')) events.push([name, event, data]);
      });
      await subscribed(channel);
    }
    await publish('orders', { region: 'eu', id: 7 });
    await publish('orders', { region: 'eu', id: 8 });
    await eventually(() => expect(events).to.have.length(2));
    expect(events).to.deep.equal([
      ['orders.eu', 'order.changed', { region: 'eu', id: 7 }],
      ['orders.eu', 'order.changed', { region: 'eu', id: 8 }],
    ]);
  });

  it('goes on, once each, on the other router after the one that forwards is killed', async () => {
    const client = openPusher(port(0));
    open.push(client);
    const numbers: number[] = [];
    const channel = client.subscribe('count');
    channel.bind('App\\Events\\MessageSent', ({ n }: { n: number }) => numbers.push(n));
    await subscribed(channel);
    const holder = await forwarding(cluster.routers);
    await publish('count', { n: 0 });
    await eventually(() => expect(numbers).to.deep.equal([0]));
    const since = performance.now();
    await holder.stop('SIGKILL');
    const other = cluster.routers.filter((router) => router !== holder);
    await forwarding(other);
    expect(performance.now() - since).to.be.below(leaseMs + 5_000);
    await publish('count', { n: 1 });
    await eventually(() => expect(numbers).to.deep.equal([0, 1]), 20_000);
  });
});
