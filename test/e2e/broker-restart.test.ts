/** RabbitMQ is stopped and started again under two edges and two routers, with stock clients attached. */
import { expect } from 'chai';
import PusherServer from 'pusher';
import { openPusher, type PusherClient, subscribed } from '../support/clients.ts';
import { type Cluster, startCluster } from '../support/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { type PrivateBroker, startPrivateBroker } from '../support/private-broker.ts';
import { skipBecause } from '../support/skip.ts';

const config = `
apps: [{ id: app-id, key: app-key, secret: app-secret }]
events:
  - { on: 'feed.*', to: feed, as: item }
`;
const waiting = 200;
const recoveryMs = 30_000;

describe('a restart of RabbitMQ', function () {
  // RabbitMQ needs 10 to 20 s for each of two starts on two busy cores.
  this.timeout(300_000);

  let broker: PrivateBroker | undefined;
  let cluster: Cluster | undefined;
  const clients: PusherClient[] = [];

  before(async function () {
    const started = await startPrivateBroker();
    if (typeof started === 'string') skipBecause(this, `no RabbitMQ to be had here: ${started}`);
    broker = started;
    cluster = await startCluster({ edges: 2, routers: 2, config, url: started.url });
  });

  after(async () => {
    for (const client of clients) client.disconnect();
    await cluster?.stop();
    await broker?.remove();
  });

  it('keeps sockets, refuses publishes meanwhile, and brings subscriptions and waiting events back', async () => {
    if (broker === undefined || cluster === undefined) throw new Error('not started');
    const { edges, routers } = cluster;
    const seen: unknown[][] = [];
    for (const { port } of edges) {
      const client = openPusher(port);
      clients.push(client);
      const items: unknown[] = [];
      seen.push(items);
      const channel = client.subscribe('feed');
      channel.bind('item', ({ n }: { n: unknown }) => items.push(n));
      await subscribed(channel);
    }
    await cluster.publish('feed.item', '{"n":"before"}');
    await eventually(() => expect(seen).to.deep.equal([['before'], ['before']]));
    const socketIds = clients.map((client) => client.connection.socket_id);

    // Stopped, the routers leave what is published in their durable queue.
    for (const router of routers) router.process.kill('SIGSTOP');
    const confirmed = Array.from({ length: waiting }, (_, n) =>
      cluster?.publish('feed.item', JSON.stringify({ n })),
    );
    await Promise.all(confirmed);
    await broker.down();

    const server = new PusherServer({
      appId: 'app-id',
      key: 'app-key',
      secret: 'app-secret',
      host: '127.0.0.1',
      port: String(edges[0]?.port),
    });
    const refusal = await server.trigger('feed', 'item', { n: 'refused' }).then(
      () => undefined,
      (error: { readonly status: number }) => error.status,
    );
    expect(refusal).to.equal(503);
    for (const { port } of edges) {
      const answer = await fetch(`http://127.0.0.1:${port}/readyz`, {
        headers: { connection: 'close' },
      });
      expect(answer.status).to.equal(503);
    }

    await broker.up();
    // The subscriptions live again by themselves: what is triggered now reaches both edges.
    await eventually(async () => {
      await server.trigger('feed', 'item', { n: 'after' });
      for (const items of seen) expect(items).to.include('after');
    }, recoveryMs);

    for (const router of routers) router.process.kill('SIGCONT');
    const numbers = (items: readonly unknown[]) => items.filter((n) => typeof n === 'number');
    await eventually(() => {
      for (const items of seen) expect(items).to.include(waiting - 1);
    }, recoveryMs);
    const expected = Array.from({ length: waiting }, (_, n) => n);
    for (const items of seen) {
      expect([...new Set(numbers(items))]).to.deep.equal(expected);
      expect(items).to.not.include('refused');
    }
    expect(clients.map((client) => client.connection.socket_id)).to.deep.equal(socketIds);
  });
});
