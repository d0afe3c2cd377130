import { expect } from 'chai';
import fc from 'fast-check';
import { chooseRoad, type RoadFacts, type RoadLimits } from '../../edge/delivery/policy.ts';

const limits: RoadLimits = { hotAfter: 8, ownQueues: 2_000, attachBacklog: 64 };
const quiet: RoadFacts = {
  continuity: false,
  delivery: 'auto',
  localSubscribers: 0,
  hasOwnQueue: false,
  ownQueues: 0,
  attachBacklog: 0,
  former: undefined,
};
const choose = (facts: Partial<RoadFacts>, changed: Partial<RoadLimits> = {}) =>
  chooseRoad({ ...quiet, ...facts }, { ...limits, ...changed });

describe('chooseRoad', () => {
  it('gives a plain connection its own queue where nothing speaks against it', () => {
    expect(choose({})).to.equal('own-queue');
  });

  it('shares the queue of the edge from the hotAfter-th local subscriber on', () => {
    expect(choose({ localSubscribers: 6 })).to.equal('own-queue');
    expect(choose({ localSubscribers: 7 })).to.equal('edge-queue');
    expect(choose({ localSubscribers: 7, hasOwnQueue: true })).to.equal('edge-queue');
    expect(choose({}, { hotAfter: 1 })).to.equal('edge-queue');
    expect(choose({ localSubscribers: 1 }, { hotAfter: 1 })).to.equal('edge-queue');
  });

  it('shares it beyond the budget of own queues, unless the connection has one already', () => {
    expect(choose({ ownQueues: 1_999 })).to.equal('own-queue');
    expect(choose({ ownQueues: 2_000 })).to.equal('edge-queue');
    expect(choose({ ownQueues: 2_000, hasOwnQueue: true })).to.equal('own-queue');
    expect(choose({}, { ownQueues: 0 })).to.equal('edge-queue');
  });

  it('shares it while too many own queues wait for the broker, unless the connection has one already', () => {
    expect(choose({ attachBacklog: 63 })).to.equal('own-queue');
    expect(choose({ attachBacklog: 64 })).to.equal('edge-queue');
    expect(choose({ attachBacklog: 64, hasOwnQueue: true })).to.equal('own-queue');
  });

  it('does what the rule of the channel says, whatever the load', () => {
    const loads: Partial<RoadFacts>[] = [
      {},
      { localSubscribers: 10_000 },
      { ownQueues: 100_000 },
      { attachBacklog: 10_000 },
    ];
    for (const load of loads) {
      expect(choose({ ...load, delivery: 'session' })).to.equal('own-queue');
      expect(choose({ ...load, delivery: 'edge' })).to.equal('edge-queue');
    }
    expect(choose({ delivery: 'session', former: 'edge-queue' })).to.equal('own-queue');
    expect(choose({ delivery: 'edge', former: 'own-queue' })).to.equal('edge-queue');
  });

  it('gives sessions with continuity theirs, hot or not, except where the rule says edge', () => {
    for (const delivery of ['auto', 'session'] as const) {
      expect(choose({ continuity: true, delivery })).to.equal('continuity');
      expect(choose({ continuity: true, delivery, localSubscribers: 999 })).to.equal('continuity');
      expect(choose({ continuity: true, delivery, ownQueues: 9_999 })).to.equal('continuity');
    }
    expect(choose({ continuity: true, delivery: 'edge' })).to.equal('edge-queue');
  });

  it('takes a connection that comes back to a channel by the road that it had', () => {
    expect(choose({ former: 'edge-queue' })).to.equal('edge-queue');
    const back = { former: 'own-queue', hasOwnQueue: true } as const;
    expect(choose({ ...back, localSubscribers: 100 })).to.equal('own-queue');
  });

  it('promises continuity to no one who has none, and decides the same every time', () => {
    const count = fc.nat({ max: 5_000 });
    const facts = fc.record<RoadFacts>({
      continuity: fc.boolean(),
      delivery: fc.constantFrom('auto', 'session', 'edge'),
      localSubscribers: count,
      hasOwnQueue: fc.boolean(),
      ownQueues: count,
      attachBacklog: count,
      former: fc.constantFrom(undefined, 'own-queue', 'edge-queue', 'continuity'),
    });
    const anyLimits = fc.record({ hotAfter: count, ownQueues: count, attachBacklog: count });
    fc.assert(
      fc.property(facts, anyLimits, (some, bounds) => {
        const road = chooseRoad(some, bounds);
        expect(chooseRoad(some, bounds)).to.equal(road);
        if (some.delivery === 'edge') expect(road).to.equal('edge-queue');
        else expect(road === 'continuity').to.equal(some.continuity);
      }),
    );
  });
});
