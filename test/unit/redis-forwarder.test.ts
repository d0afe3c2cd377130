import { expect } from 'chai';
import { createMemoryBroker } from '../../broker/memory/broker.ts';
import { Drops } from '../../broker/redis/drops.ts';
import { Forwarder } from '../../broker/redis/forwarder.ts';
import type { Log } from '../../runtime/log.ts';
import { createManualClock } from '../support/manual-clock.ts';

const event = (n: number) => ({
  routingKey: 'redis.chat',
  headers: {},
  body: Buffer.from(String(n)),
});

describe('Forwarder', () => {
  function setUp(maxUnconfirmed = 10, maxUnconfirmedBytes = 1_000) {
    const broker = createMemoryBroker({ clock: createManualClock() });
    const bodies: string[] = [];
    const ids: (string | undefined)[] = [];
    const outcomes: string[] = [];
    const forwarder = new Forwarder({
      broker,
      maxUnconfirmed,
      maxUnconfirmedBytes,
      forwarded: () => outcomes.push('forwarded'),
      dropped: (reason) => outcomes.push(reason),
    });
    const consume = () =>
      broker.domainEvents.consume({
        patterns: ['redis.*'],
        prefetch: 100,
        async handle({ body, messageId }) {
          bodies.push(body.toString());
          ids.push(messageId);
          return { kind: 'done' };
        },
      });
    return { broker, forwarder, bodies, ids, outcomes, consume };
  }

  it('publishes in order, each with an id of its own', async () => {
    const { forwarder, bodies, ids, outcomes, consume } = setUp();
    await consume();
    for (const n of [1, 2, 2]) forwarder.push(event(n));
    await forwarder.idle();
    expect(outcomes).to.deep.equal(['forwarded', 'forwarded', 'forwarded']);
    expect(bodies).to.deep.equal(['1', '2', '2']);
    expect(new Set(ids)).to.have.property('size', 3);
    expect(ids).to.not.include(undefined);
  });

  it('keeps what comes while the broker is away, up to its bounds, and drops the newest', async () => {
    for (const bounds of [
      [2, 1_000],
      [10, 2],
    ] as const) {
      const { broker, forwarder, bodies, outcomes, consume } = setUp(...bounds);
      await consume();
      broker.setOutage(true);
      for (const n of [1, 2, 3, 4]) forwarder.push(event(n));
      expect(forwarder.unconfirmed).to.equal(2);
      expect(outcomes).to.deep.equal(['overflow', 'overflow']);
      broker.setOutage(false);
      await forwarder.idle();
      forwarder.push(event(5));
      await forwarder.idle();
      expect(outcomes.slice(2)).to.deep.equal(['forwarded', 'forwarded', 'forwarded']);
      await new Promise((resolve) => setImmediate(resolve));
      expect(bodies).to.deep.equal(['1', '2', '5']);
    }
  });

  it('does not try again what the broker did not confirm', async () => {
    const { broker, forwarder, outcomes } = setUp();
    let calls = 0;
    broker.domainEvents.publish = () => {
      calls += 1;
      return Promise.reject(new Error('no confirm'));
    };
    forwarder.push(event(1));
    await forwarder.idle();
    expect(outcomes).to.deep.equal(['unconfirmed']);
    expect(calls).to.equal(1);
  });

  it('counts what still waits as dropped when it is closed', async () => {
    const { broker, forwarder, outcomes } = setUp();
    broker.setOutage(true);
    forwarder.push(event(1));
    forwarder.close();
    await forwarder.idle();
    expect(outcomes).to.deep.equal(['unconfirmed']);
  });
});

describe('Drops', () => {
  function setUp() {
    const clock = createManualClock();
    const lines: object[] = [];
    const log = { warn: (fields: object) => lines.push(fields) } as unknown as Log;
    return { clock, lines, drops: new Drops(clock, log) };
  }

  it('tells of the first at once and of the rest every ten seconds', () => {
    const { clock, lines, drops } = setUp();
    for (let n = 0; n < 1_000; n += 1) drops.add('invalid_json');
    drops.add('overflow');
    expect(lines).to.deep.equal([{ dropped: { invalid_json: 1 } }]);
    clock.advance(10_000);
    expect(lines.slice(1)).to.deep.equal([{ dropped: { invalid_json: 999, overflow: 1 } }]);
    clock.advance(60_000);
    expect(lines).to.have.length(2);
    drops.add('overflow');
    expect(lines).to.have.length(3);
  });

  it('tells the rest when it stops, and nothing after that', () => {
    const { clock, lines, drops } = setUp();
    drops.add('a');
    drops.add('b');
    drops.stop();
    drops.add('c');
    clock.advance(60_000);
    expect(lines).to.deep.equal([{ dropped: { a: 1 } }, { dropped: { b: 1 } }]);
    expect(clock.pendingTimers).to.equal(0);
  });
});
