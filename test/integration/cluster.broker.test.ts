/** The same cluster on a real RabbitMQ, each edge over a connection of its own. */
import { assert } from 'chai';
import { connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import type { ChannelName } from '../../contracts/ids.ts';
import { topologyNames } from '../../contracts/topology.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import {
  announcements,
  app,
  chat,
  presenceKey,
  startMember,
  type TestMember,
} from './cluster-scenario.ts';

/** Shorter than in earnest, and long enough for a machine that is busy. */
const timings = {
  helloMs: 300,
  leaseMs: 3_000,
  viewSettleMs: 500,
  vanishDelayMs: 500,
  retainMs: 6_000,
};

describe('a cluster of edges on RabbitMQ', function () {
  this.timeout(60_000);
  const names = topologyNames(uniquePrefix());
  const brokers: Broker[] = [];
  const proxies: TcpProxy[] = [];
  const members: TestMember[] = [];

  async function start(name: string): Promise<TcpProxy> {
    const target = new URL(brokerUrl);
    const proxy = await startTcpProxy({
      host: target.hostname,
      port: Number(target.port || '5672'),
    });
    proxies.push(proxy);
    const url = new URL(brokerUrl);
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    const broker = connectAmqp({
      urls: [url.href],
      names,
      clock: systemClock,
      log: createLog('silent'),
      heartbeatSeconds: 5,
      confirmTimeoutMs: 5_000,
      connectionName: 'warren test',
      backoff: { minimumMs: 10, maximumMs: 100 },
    });
    brokers.push(broker);
    members.push(startMember(name, broker.edgeBus, systemClock, timings));
    return proxy;
  }

  after(async () => {
    for (const proxy of proxies) proxy.setMode('pass');
    await Promise.all(members.map(({ cluster }) => cluster.leave()));
    await Promise.all(brokers.map((broker) => broker.close()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
    const admin = await connectToBroker();
    await deleteTopology(admin, names);
    await admin.close();
  });

  const users = ({ cluster }: TestMember) =>
    [...cluster.rooms.members(presenceKey)].map(([user]) => user).sort();

  it('agrees, answers, loses a killed edge, takes back one that was cut off, and leaves in order', async () => {
    for (const name of ['a', 'b', 'c', 'd']) await start(name);
    const [a, b, c, d] = members as [TestMember, TestMember, TestMember, TestMember];
    for (const { cluster } of members) {
      await eventually(() => assert.lengthOf(cluster.edges(), 4), 20_000);
    }

    for (const [member, user] of [
      [a, '1'],
      [b, '2'],
      [c, '3'],
    ] as const) {
      await member.cluster.rooms.open(presenceKey);
      member.cluster.rooms.enter(presenceKey, user, null);
      member.cluster.directory.watch(chat);
      member.cluster.directory.report(chat, 1);
    }
    for (const member of [a, b, c]) {
      await eventually(() => {
        assert.deepEqual(users(member), ['1', '2', '3']);
        assert.equal(member.totals.get('chat'), 3);
      }, 20_000);
    }
    await eventually(() => assert.deepEqual(announcements(members), ['appeared chat']));

    a.channels.set('chat' as ChannelName, { subscriptions: 1 });
    c.channels.set('chat' as ChannelName, { subscriptions: 1 });
    await eventually(async () => {
      const found = await d.cluster.channels({ app, prefix: '', users: false });
      assert.deepEqual([...found], [['chat' as ChannelName, { subscriptions: 2 }]]);
    }, 20_000);
    b.users.set('7', 2);
    assert.equal(await d.cluster.terminate(app, '7'), 2);

    // Killed: the broker sees its connections end, and nobody hears a word of it.
    proxies[2]?.setMode('refuse');
    proxies[2]?.cut();
    for (const member of [a, b]) {
      await eventually(() => {
        assert.deepEqual(users(member), ['1', '2']);
        assert.equal(member.totals.get('chat'), 2);
        assert.lengthOf(member.cluster.edges(), 3);
      }, 15_000);
    }

    proxies[2]?.setMode('pass');
    for (const member of [a, b, c]) {
      await eventually(() => {
        assert.deepEqual(users(member), ['1', '2', '3']);
        assert.equal(member.totals.get('chat'), 3);
        assert.lengthOf(member.cluster.edges(), 4);
      }, 20_000);
    }
    assert.notInclude(announcements(members), 'vanished chat');

    for (const member of [a, b]) await member.cluster.leave();
    await eventually(() => {
      assert.deepEqual(users(c), ['3']);
      assert.equal(c.totals.get('chat'), 1);
    });
    c.cluster.directory.report(chat, 0);
    await eventually(() => assert.equal(announcements([c, d]).at(-1), 'vanished chat'));
  });
});
