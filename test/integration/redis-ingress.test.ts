/** Redis as a way in: a real Redis, the network between cut by a proxy, and the embedded broker to see what comes through. */
import { expect } from 'chai';
import { createMemoryBroker } from '../../broker/memory/broker.ts';
import { startRedisIngress } from '../../broker/redis/ingress.ts';
import { leaseMs, leaseName } from '../../broker/redis/lease.ts';
import type { AppId } from '../../contracts/ids.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Role } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';
import { eventually } from '../support/eventually.ts';
import {
  startPrivateRedis,
  type TestRedis,
  testRedis,
  uniqueRedisPrefix,
} from '../support/redis.ts';
import { type SubscriptionProxy, startSubscriptionProxy } from '../support/redis-proxy.ts';
import { skipBecause } from '../support/skip.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

interface Seen {
  readonly key: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly id: string | undefined;
}

interface Router {
  readonly role: Role;
  readonly metrics: Metrics;
  readonly proxy: TcpProxy;
  readonly lines: string[];
}

describe('Redis as a way in', function () {
  this.timeout(20_000);
  let redis: TestRedis;
  before(async function () {
    const found = await testRedis();
    if (typeof found === 'string') return skipBecause(this, found);
    redis = found;
  });
  after(() => redis?.close());

  let prefix: string;
  let broker: ReturnType<typeof createMemoryBroker>;
  let seen: Seen[];
  let routers: Router[];
  beforeEach(async () => {
    prefix = uniqueRedisPrefix();
    broker = createMemoryBroker({ clock: systemClock });
    seen = [];
    routers = [];
    await broker.domainEvents.consume({
      patterns: ['#'],
      prefetch: 100,
      async handle({ routingKey, body, headers, messageId }) {
        seen.push({ key: routingKey, body: body.toString(), headers, id: messageId });
        return { kind: 'done' };
      },
    });
  });
  afterEach(async () => {
    for (const { role, metrics, proxy } of routers) {
      await role.stop(100);
      await metrics.close();
      await proxy.close();
    }
    await broker.close();
    await redis.client.del(leaseName(['domain.events', prefix, '*']));
  });

  interface Given {
    readonly port?: number;
    readonly password?: string;
    readonly maxUnconfirmed?: number;
    /** Instead of everything under the prefix. */
    readonly channels?: string;
  }

  async function start(given: Given = {}): Promise<Router> {
    const { port = redis.port, password, maxUnconfirmed, channels } = given;
    const proxy = await startTcpProxy({ host: '127.0.0.1', port });
    const metrics = createMetrics();
    const lines: string[] = [];
    const role = startRedisIngress({
      broker,
      config: {
        app: 'app-id' as AppId,
        server: {
          host: '127.0.0.1',
          port: proxy.port,
          tls: false,
          ...(password === undefined ? {} : { password }),
        },
        prefix: channels === undefined ? prefix : '',
        channels: channels ?? '*',
      },
      exchange: 'domain.events',
      clock: systemClock,
      log: createLog('debug', {}, { write: (line) => lines.push(line) }),
      metrics,
      backoff: { minimumMs: 10, maximumMs: 50 },
      ...(maxUnconfirmed === undefined ? {} : { maxUnconfirmed }),
    });
    const router = { role, metrics, proxy, lines };
    routers.push(router);
    return router;
  }

  const noteOf = ({ role }: Router) => {
    const state = role.readiness();
    return state.ready ? (state.note ?? '') : state.reason;
  };
  const stands = (router: Router, state: string) =>
    eventually(() => expect(noteOf(router)).to.include(state));
  const publish = (channel: string, message: string) =>
    redis.client.publish(`${prefix}${channel}`, message);
  const bodies = () => seen.map(({ body }) => body);
  const arrived = (body: string) => eventually(() => expect(bodies()).to.include(body));
  async function metric({ metrics }: Router, name: string): Promise<number> {
    const line = (await metrics.scrape()).split('\n').find((one) => one.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.split(' ').at(-1));
  }

  it('makes domain events of what is published under the prefix, and of nothing else', async () => {
    const router = await start();
    await stands(router, 'forwarding');
    await redis.client.publish(`not_${prefix}chat`, '"elsewhere"');
    await publish('chat', '{"message":"hi"}');
    await publish('private-chat.1', '{"event":"Shipped","data":{"id":1},"socket":"1.2"}');
    await publish('chat', '{"message":"hi"}');
    await eventually(() => expect(seen).to.have.length(3));
    expect(seen.map(({ key, body }) => [key, body])).to.deep.equal([
      ['redis.chat', '{"message":"hi"}'],
      ['redis.private-chat:1', '{"id":1}'],
      ['redis.chat', '{"message":"hi"}'],
    ]);
    expect(seen[1]?.headers).to.include({ 'x-redis-event': 'Shipped', 'x-redis-socket': '1.2' });
    expect(new Set(seen.map(({ id }) => id))).to.have.property('size', 3);
    expect(await metric(router, 'warren_redis_messages_total{outcome="forwarded"}')).to.equal(3);
    expect(await metric(router, 'warren_redis_forwarding')).to.equal(1);
    expect(await metric(router, 'warren_redis_connected')).to.equal(1);
  });

  it('drops and counts what is hostile, tells of it rarely, and goes on', async () => {
    const router = await start();
    await stands(router, 'forwarding');
    await publish('', '{}');
    await publish('chat', `"${'x'.repeat(1024 * 1024)}"`);
    await publish('chat', '{"event":"","data":1,"socket":null}');
    await redis.client.publish(Buffer.concat([Buffer.from(prefix), Buffer.from([0xff])]), '{}');
    for (let n = 0; n < 500; n += 1) await publish('chat', n % 2 === 0 ? 'no json' : '[[[');
    await publish(`c${'h'.repeat(10_000)}`, '"long name"');
    await publish('chat', '"after"');
    await arrived('"after"');
    expect(bodies()).to.deep.equal(['"long name"', '"after"']);
    const dropped = (reason: string) =>
      metric(router, `warren_redis_messages_total{outcome="${reason}"}`);
    expect(await dropped('invalid_json')).to.equal(500);
    expect(await dropped('invalid_channel')).to.equal(2);
    expect(await dropped('invalid_event')).to.equal(1);
    expect(await dropped('too_large')).to.equal(1);
    expect(router.lines.filter((line) => line.includes('were dropped'))).to.have.length(1);
    expect(router.lines.join()).to.not.include('no json');
  });

  it('comes back after the connection was cut, as often as it takes, and says how it stands', async () => {
    const router = await start();
    await stands(router, 'forwarding');
    for (let round = 0; round < 3; round += 1) {
      router.proxy.setMode('refuse');
      router.proxy.cut();
      await stands(router, 'away');
      expect(await metric(router, 'warren_redis_connected')).to.equal(0);
      expect(router.role.readiness().ready).to.equal(true);
      await publish('chat', `"lost ${round}"`);
      router.proxy.setMode('pass');
      await stands(router, 'forwarding');
      await publish('chat', `"back ${round}"`);
      await arrived(`"back ${round}"`);
    }
    expect(bodies()).to.deep.equal(['"back 0"', '"back 1"', '"back 2"']);
    expect(await metric(router, 'warren_redis_connection_failures_total')).to.be.at.least(3);
    expect(router.lines.join()).to.include('Redis is away');
  });

  it('notices a connection that went silent', async () => {
    const router = await start();
    await stands(router, 'forwarding');
    router.proxy.setMode('blackhole');
    await stands(router, 'away');
    router.proxy.setMode('pass');
    router.proxy.cut();
    await stands(router, 'forwarding');
    await publish('chat', '"back"');
    await arrived('"back"');
  });

  for (const [what, breakIt] of [
    ['went silent', (proxy: SubscriptionProxy) => proxy.silence()],
    ['was cut', (proxy: SubscriptionProxy) => proxy.cut()],
  ] as const) {
    it(`begins anew where the subscription alone ${what}`, async () => {
      const subscriptions = await startSubscriptionProxy(redis.port);
      try {
        const router = await start({ port: subscriptions.port });
        await stands(router, 'forwarding');
        // Its own lease must not stand in its way, or a lone router would lose what comes until that ends.
        await redis.client.pexpire(leaseName(['domain.events', prefix, '*']), 60_000);
        breakIt(subscriptions);
        await eventually(async () => {
          expect(await metric(router, 'warren_redis_connection_failures_total')).to.equal(1);
        });
        await stands(router, 'forwarding');
        await publish('chat', '"back"');
        await arrived('"back"');
      } finally {
        subscriptions.close();
      }
    });
  }

  it('takes the marks of routers for no messages, whatever it listens to', async () => {
    const router = await start({ channels: 'w*' });
    await stands(router, 'forwarding');
    const other = await start();
    await stands(other, 'forwarding');
    await other.role.stop(5_000);
    await redis.client.publish(`w_${prefix}`, '"end"');
    await arrived('"end"');
    const counts = (await router.metrics.scrape()).match(/^warren_redis_messages_total.*/gm);
    expect(counts).to.deep.equal(['warren_redis_messages_total{outcome="forwarded"} 1']);
  });

  it('forwards each message once with several routers', async () => {
    const all = [await start(), await start(), await start()];
    await eventually(() => {
      const states = all.map(noteOf).map((note) => note.split(': ')[1]);
      expect(states.sort()).to.deep.equal(['forwarding', 'standing by', 'standing by']);
    });
    for (let n = 0; n < 200; n += 1) await publish('chat', String(n));
    await arrived('199');
    expect(bodies()).to.deep.equal(Array.from({ length: 200 }, (_, n) => String(n)));
  });

  it('loses and doubles nothing where the one that forwards is stopped', async () => {
    const first = await start();
    await stands(first, 'forwarding');
    const rest = [await start(), await start()];
    for (const one of rest) await stands(one, 'standing by');
    let n = 0;
    let on = true;
    const publishing = (async () => {
      while (on) {
        await publish('chat', String(n));
        n += 1;
      }
    })();
    for (let stopped = 0; stopped < 2; stopped += 1) {
      const before = seen.length;
      await eventually(() => expect(seen.length).to.be.above(before + 50));
      const holder = routers.find((one) => noteOf(one).includes('forwarding'));
      if (holder === undefined) throw new Error('nobody forwards');
      await holder.role.stop(5_000);
      await eventually(() => {
        const others = routers.filter((one) => one !== holder).map(noteOf);
        expect(others.join()).to.include('forwarding');
      });
    }
    const before = seen.length;
    await eventually(() => expect(seen.length).to.be.above(before + 50));
    on = false;
    await publishing;
    await arrived(String(n - 1));
    expect(bodies()).to.deep.equal(Array.from({ length: n }, (_, index) => String(index)));
  });

  it('is taken over within the lease where the one that forwards vanishes, and doubles nothing', async () => {
    const first = await start();
    await stands(first, 'forwarding');
    const second = await start();
    await stands(second, 'standing by');
    await publish('chat', '"before"');
    await arrived('"before"');
    const since = performance.now();
    // As a killed process or a cut cable: it cannot give the lease back.
    first.proxy.setMode('blackhole');
    await stands(second, 'forwarding');
    expect(performance.now() - since).to.be.below(leaseMs + 2_000);
    await publish('chat', '"after"');
    await arrived('"after"');
    // What the first had not been handed yet comes late, or never; it is not its turn any more.
    first.proxy.setMode('pass');
    first.proxy.cut();
    await stands(first, 'standing by');
    await publish('chat', '"last"');
    await arrived('"last"');
    expect(bodies()).to.deep.equal(['"before"', '"after"', '"last"']);
  });

  it('keeps a bounded number of messages while RabbitMQ is away, and drops the newest', async () => {
    const router = await start({ maxUnconfirmed: 3 });
    await stands(router, 'forwarding');
    broker.setOutage(true);
    for (let n = 0; n < 5; n += 1) await publish('chat', String(n));
    await eventually(async () => {
      const name = 'warren_redis_messages_total{outcome="overflow"}';
      expect(await metric(router, name)).to.equal(2);
    });
    expect(await metric(router, 'warren_redis_unconfirmed')).to.equal(3);
    broker.setOutage(false);
    await publish('chat', '"later"');
    await arrived('"later"');
    expect(bodies()).to.deep.equal(['0', '1', '2', '"later"']);
  });

  it('gives the lease back and leaves no connection behind when it stops', async () => {
    const router = await start();
    await stands(router, 'forwarding');
    const name = leaseName(['domain.events', prefix, '*']);
    expect(await redis.client.get(name)).to.be.a('string');
    await router.role.stop(5_000);
    expect(await redis.client.get(name)).to.equal(null);
    await eventually(async () => {
      const counted = (await redis.client.pubsub('NUMSUB', name)) as unknown[];
      expect(Number(counted[1])).to.equal(0);
    });
  });

  it('stops at once where Redis was never there', async () => {
    const router = await start({ port: 1 });
    await stands(router, 'away');
    await router.role.stop(5_000);
  });

  it('shows its password to the server only', async function () {
    const guarded = await startPrivateRedis('--requirepass', 'hunter2');
    if (typeof guarded === 'string') return skipBecause(this, guarded);
    try {
      const wrong = await start({ port: guarded.port, password: 'swordfish' });
      await stands(wrong, 'away');
      const without = await start({ port: guarded.port });
      await stands(without, 'NOAUTH');
      const right = await start({ port: guarded.port, password: 'hunter2' });
      await stands(right, 'forwarding');
      const told = [wrong, without, right].flatMap((one) => [...one.lines, noteOf(one)]).join();
      expect(told).to.include('WRONGPASS');
      expect(told).to.not.include('swordfish').and.not.include('hunter2');
    } finally {
      await guarded.close();
    }
  });
});
