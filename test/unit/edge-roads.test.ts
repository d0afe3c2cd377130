/** The roads of connections over an embedded broker: who gets which, and that nobody has two. */
import { expect } from 'chai';
import fc from 'fast-check';
import { createMemoryBroker } from '../../broker/memory/broker.ts';
import { parseChannel } from '../../contracts/channel.ts';
import { type ChannelName, type EdgeId, parseAppId, parseSocketId } from '../../contracts/ids.ts';
import { createPublication } from '../../contracts/publication.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import type { DeliveryRule } from '../../contracts/warren-config.ts';
import type { RoadLimits } from '../../edge/delivery/policy.ts';
import type { Road } from '../../edge/delivery/road.ts';
import { RoadLoad } from '../../edge/delivery/road-load.ts';
import { type RoadContext, Roads } from '../../edge/delivery/roads.ts';
import { exposeRoads } from '../../edge/delivery/roads-metrics.ts';
import { SharedQueue } from '../../edge/delivery/shared-queue.ts';
import { Subscription } from '../../edge/delivery/subscription.ts';
import { EdgeTally } from '../../edge/tally.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { okOf } from '../support/result.ts';

const app = parseAppId('app') ?? fail();

function fail(): never {
  throw new Error('bad fixture');
}

function subscriptionTo(name: string): Subscription {
  const channel = okOf(parseChannel(name));
  return new Subscription(channel, channelKey(app, channel.name), { revoked: () => undefined });
}

/** A connection that counts what comes, per frame text. */
class FakeConnection {
  readonly roads: Roads;
  readonly texts: string[] = [];
  readonly subscriptions = new Map<string, Subscription>();

  constructor(context: RoadContext, n: number, continuity?: Road) {
    const outbox = {
      push: (frame: Buffer) => {
        this.texts.push(frame.toString());
        this.roads.taken();
      },
      flush: () => {},
      bufferedBytes: 0,
    };
    const socketId = parseSocketId(`${n}.1`) ?? fail();
    this.roads = new Roads(context, socketId, outbox, { overflow: () => {}, continuity });
  }

  async subscribe(name: string, delivery: DeliveryRule = 'auto', continuity = false) {
    const subscription = subscriptionTo(name);
    this.subscriptions.set(name, subscription);
    await this.roads.join(subscription, { continuity, delivery });
    if (subscription.state === 'left') return subscription;
    subscription.state = 'live';
    this.roads.start(subscription);
    return subscription;
  }

  unsubscribe(name: string): void {
    const subscription = this.subscriptions.get(name);
    if (subscription === undefined) return;
    this.subscriptions.delete(name);
    subscription.state = 'left';
    this.roads.leave(subscription);
  }

  async end(): Promise<void> {
    for (const subscription of this.subscriptions.values()) subscription.state = 'left';
    this.subscriptions.clear();
    await this.roads.close();
  }
}

/** A road that writes down what it was asked. */
class RecordedRoad implements Road {
  readonly calls: string[] = [];

  async join({ channel }: Subscription): Promise<void> {
    this.calls.push(`join ${channel.name}`);
  }

  start({ channel }: Subscription): void {
    this.calls.push(`start ${channel.name}`);
  }

  leave({ channel }: Subscription): void {
    this.calls.push(`leave ${channel.name}`);
  }
}

function harness(changed: Partial<RoadLimits> = {}) {
  const clock = createManualClock();
  const broker = createMemoryBroker({ clock });
  const tally = new EdgeTally();
  const load = new RoadLoad();
  const shared = new SharedQueue({
    queues: broker.edgeQueues,
    edgeId: 'edge-1' as EdgeId,
    queueMaxLength: 1_000,
    socketBufferBytes: 1_000_000,
    clock,
    tally,
  });
  const limits = { hotAfter: 3, ownQueues: 2_000, attachBacklog: 64, ...changed };
  const context: RoadContext = {
    queues: broker.sessionQueues,
    shared,
    load,
    limits,
    tally,
    prefetch: 10,
    queueMaxLength: 1_000,
  };
  let connections = 0;
  const connect = (continuity?: Road) => {
    connections += 1;
    return new FakeConnection(context, connections, continuity);
  };
  const publish = (channel: string, event: string) =>
    broker.channelPublisher.publish(
      createPublication({ appId: app, channel: channel as ChannelName, event, data: '{}' }),
    );
  return { broker, clock, tally, load, shared, connect, publish };
}

describe('Roads', () => {
  it('puts the first subscribers on own queues and the later ones on the shared one, and moves nobody', async () => {
    const { connect, publish, load, shared } = harness();
    const connections = [1, 2, 3, 4].map(() => connect());
    const subscriptions: Subscription[] = [];
    for (const connection of connections) subscriptions.push(await connection.subscribe('news'));
    const roads = () => subscriptions.map(({ road }) => road);
    const chosen = ['own-queue', 'own-queue', 'edge-queue', 'edge-queue'];
    expect(roads()).to.deep.equal(chosen);
    expect([load.ownQueues, shared.bindings]).to.deep.equal([2, 1]);
    for (const event of ['one', 'two', 'three']) await publish('news', event);
    await eventually(() => {
      for (const { texts } of connections) expect(texts).to.have.length(3);
    });
    for (const { texts } of connections) expect(texts).to.deep.equal(connections[0]?.texts);
    connections[0]?.unsubscribe('news');
    connections[1]?.unsubscribe('news');
    expect(roads()).to.deep.equal(chosen);
  });

  it('counts those who wait for the broker: a crowd that comes at once is hot', async () => {
    const { broker, connect, load } = harness();
    broker.setOutage(true);
    const connections = [1, 2, 3, 4, 5].map(() => connect());
    const joins = connections.map((connection) => connection.subscribe('news'));
    expect(load.ownQueues).to.equal(2);
    broker.setOutage(false);
    const roads = (await Promise.all(joins)).map(({ road }) => road);
    expect(roads.filter((road) => road === 'edge-queue')).to.have.length(3);
  });

  it('opens no more own queues while too many of them wait for the broker', async () => {
    const { broker, connect, load } = harness({ attachBacklog: 2 });
    broker.setOutage(true);
    const connections = [1, 2, 3, 4].map(() => connect());
    const joins = connections.map((connection, n) => connection.subscribe(`c${n}`));
    expect([load.ownQueues, load.attaching]).to.deep.equal([2, 2]);
    broker.setOutage(false);
    const roads = (await Promise.all(joins)).map(({ road }) => road);
    expect(roads).to.deep.equal(['own-queue', 'own-queue', 'edge-queue', 'edge-queue']);
    expect(load.attaching).to.equal(0);
    expect((await connect().subscribe('c9')).road).to.equal('own-queue');
  });

  it('keeps to the budget of own queues, and a place that was left is free again', async () => {
    const { connect, load } = harness({ ownQueues: 2 });
    const connections = [1, 2, 3].map(() => connect());
    const roads: unknown[] = [];
    for (const [n, connection] of connections.entries()) {
      roads.push((await connection.subscribe(`c${n}`)).road);
    }
    expect(roads).to.deep.equal(['own-queue', 'own-queue', 'edge-queue']);
    expect((await connections[0]?.subscribe('more'))?.road).to.equal('own-queue');
    await connections[0]?.end();
    expect(load.ownQueues).to.equal(1);
    expect((await connect().subscribe('c3')).road).to.equal('own-queue');
    expect((await connect().subscribe('c4', 'session')).road).to.equal('own-queue');
    expect(load.ownQueues).to.equal(3);
  });

  it('takes a client back by the road that it had, and hot or not counts from those who are there', async () => {
    const { connect, load } = harness();
    const [first, second, third] = [connect(), connect(), connect()];
    await first.subscribe('news');
    await second.subscribe('news');
    expect((await third.subscribe('news')).road).to.equal('edge-queue');
    first.unsubscribe('news');
    second.unsubscribe('news');
    expect(load.subscribers(subscriptionTo('news').key)).to.equal(1);
    third.unsubscribe('news');
    expect((await third.subscribe('news')).road).to.equal('edge-queue');
    await connect().subscribe('news');
    expect((await first.subscribe('news')).road).to.equal('own-queue');
    expect((await connect().subscribe('news')).road).to.equal('edge-queue');
  });

  it('keeps the road of a subscription that joins again after a failure, and counts it once', async () => {
    const { connect, load } = harness({ hotAfter: 2 });
    const connection = connect();
    const subscription = await connection.subscribe('news');
    await connection.roads.join(subscription, { continuity: false, delivery: 'auto' });
    expect(subscription.road).to.equal('own-queue');
    expect(load.subscribers(subscription.key)).to.equal(1);
    await connect().subscribe('news');
    connection.unsubscribe('news');
    connection.roads.leave(subscription);
    expect(load.subscribers(subscription.key)).to.equal(1);
  });

  it('leaves sessions to their own road, which it does not close', async () => {
    const { connect, load } = harness();
    const road = new RecordedRoad();
    const connection = connect(road);
    expect((await connection.subscribe('a', 'auto', true)).road).to.equal('continuity');
    expect((await connection.subscribe('b', 'edge', true)).road).to.equal('edge-queue');
    expect((await connection.subscribe('c', 'auto', false)).road).to.equal('own-queue');
    connection.unsubscribe('a');
    await connection.end();
    expect(road.calls).to.deep.equal(['join a', 'start a', 'leave a']);
    expect(load.ownQueues).to.equal(0);
  });

  it('serves one that asks for continuity and has none as a plain connection', async () => {
    const { connect } = harness();
    expect((await connect().subscribe('a', 'auto', true)).road).to.equal('own-queue');
  });

  it('lets go of everything when the connection ends, and takes nothing on afterwards', async () => {
    const { connect, load, shared, clock, broker } = harness();
    const connection = connect();
    await connection.subscribe('a', 'edge');
    await connection.subscribe('b');
    await connection.end();
    clock.advance(5_000);
    expect([load.ownQueues, shared.bindings]).to.deep.equal([0, 0]);
    expect(load.subscribers(subscriptionTo('a').key)).to.equal(0);
    expect(load.subscribers(subscriptionTo('b').key)).to.equal(0);
    expect(broker.counts().bindings).to.equal(0);
    let refused = '';
    await connection.roads
      .join(subscriptionTo('c'), { continuity: false, delivery: 'edge' })
      .catch((error: { code: string }) => {
        refused = error.code;
      });
    expect(refused).to.equal('closed');
  });

  it('shows what is open in its metrics', async () => {
    const { connect, load, shared, broker } = harness();
    const metrics = createMetrics();
    exposeRoads(metrics, load, shared);
    const connection = connect();
    await connection.subscribe('a');
    await connection.subscribe('b', 'edge');
    await connection.subscribe('c', 'edge');
    connection.unsubscribe('c');
    broker.setOutage(true);
    const text = await metrics.scrape();
    for (const line of [
      'warren_own_queues 1',
      'warren_own_queues_attaching 1',
      'warren_shared_bindings 2',
      'warren_shared_bindings_lingering 1',
      'warren_shared_queue_interruptions_total 1',
    ]) {
      expect(text).to.include(line);
    }
    await metrics.close();
  });

  it('gives each subscription exactly one road, whatever comes and goes', async function () {
    this.timeout(30_000);
    const channels = ['a', 'b', 'c'];
    const step = fc.record({
      what: fc.constantFrom('subscribe', 'subscribe', 'unsubscribe', 'end', 'wait', 'outage'),
      who: fc.nat({ max: 5 }),
      channel: fc.constantFrom(...channels),
      delivery: fc.constantFrom<DeliveryRule>('auto', 'auto', 'session', 'edge'),
      settles: fc.boolean(),
    });
    const limits = fc.record({
      hotAfter: fc.integer({ min: 1, max: 4 }),
      ownQueues: fc.integer({ min: 0, max: 4 }),
      attachBacklog: fc.integer({ min: 0, max: 3 }),
    });
    const seen = new Set<unknown>();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), limits, async (steps, bounds) => {
        const { broker, clock, connect, publish, load, shared } = harness(bounds);
        const connections = Array.from({ length: 6 }, () => connect());
        const joins: Promise<unknown>[] = [];
        for (const { what, who, channel, delivery, settles } of steps) {
          const connection = connections[who] ?? fail();
          if (what === 'subscribe' && !connection.subscriptions.has(channel)) {
            joins.push(connection.subscribe(channel, delivery).catch(() => undefined));
          } else if (what === 'unsubscribe') {
            connection.unsubscribe(channel);
          } else if (what === 'wait') {
            clock.advance(3_000);
          } else if (what === 'outage') {
            broker.setOutage(true);
            broker.setOutage(false);
          } else if (what === 'end') {
            connections[who] = connect();
            joins.push(connection.end());
          }
          if (settles) await Promise.all(joins);
        }
        await Promise.all(joins);
        for (const connection of connections) connection.texts.length = 0;
        for (const channel of channels) await publish(channel, 'probe');
        for (const _ of [1, 2, 3]) await new Promise((resolve) => setImmediate(resolve));
        for (const connection of connections) {
          const got = connection.texts.map((text) => /"channel":"(\w)"/.exec(text)?.[1]);
          const wanted = [...connection.subscriptions.keys()];
          expect([...got].sort()).to.deep.equal(wanted.sort());
          for (const { road } of connection.subscriptions.values()) seen.add(road);
        }
        for (const connection of connections) await connection.end();
        clock.advance(5_000);
        expect([load.ownQueues, load.attaching, shared.bindings]).to.deep.equal([0, 0, 0]);
        expect(broker.counts().bindings).to.equal(0);
        await broker.close();
      }),
      { numRuns: 150 },
    );
    expect([...seen].sort()).to.deep.equal(['edge-queue', 'own-queue']);
  });
});
