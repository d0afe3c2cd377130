import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { BusAddress } from '../../broker/port.ts';
import type { EdgeMessage, Hello } from '../../contracts/edge-message.ts';
import type { AppId, EdgeId } from '../../contracts/ids.ts';
import { Membership, maxPeers } from '../../edge/cluster/membership.ts';
import { createLog } from '../../runtime/log.ts';
import { createManualClock } from '../support/manual-clock.ts';

const app = 'app' as AppId;
const [self, a, b] = ['edge-self', 'edge-a', 'edge-b'] as [EdgeId, EdgeId, EdgeId];
const timings = { helloMs: 2_000, leaseMs: 8_000, answersMs: 500 };
const hello = (greet = false, load: Hello['load'] = []): Hello => ({ type: 'hello', greet, load });

/** A membership whose bus is in the hands of the test; own hellos to all come back while `echoes`. */
function setUp() {
  const clock = createManualClock();
  const told: string[] = [];
  const sent: { readonly to: BusAddress; readonly message: EdgeMessage }[] = [];
  const bus = { takes: true, echoes: true };
  const membership: Membership = new Membership({
    edgeId: self,
    clock,
    log: createLog('silent'),
    load: () => [[app, { connections: 2, apiEvents: 1 }]],
    timings,
    bus: {
      send(to, message) {
        if (!bus.takes) return Promise.reject(new BrokerError('broker_unavailable', 'away'));
        sent.push({ to, message });
        if (to.kind === 'all' && bus.echoes) queueMicrotask(() => membership.echo());
        return Promise.resolve();
      },
    },
    listener: {
      joined: (edge) => told.push(`joined ${edge}`),
      returned: (edge) => told.push(`returned ${edge}`),
      left: (edge, how, heardMs) => told.push(`left ${edge} ${how} ${heardMs}`),
      settled: () => told.push('settled'),
    },
  });
  const greetings = (to: BusAddress['kind']) =>
    sent.filter(
      ({ to: { kind }, message }) => kind === to && message.type === 'hello' && message.greet,
    );
  return { clock, told, sent, bus, membership, greetings };
}

async function settled() {
  const set = setUp();
  set.membership.arrived();
  await set.clock.advanceAsync(timings.answersMs);
  set.told.length = 0;
  set.sent.length = 0;
  return set;
}

describe('Membership', () => {
  it('greets everyone when it arrives, and is settled when they have had time to answer', async () => {
    const { membership, clock, told, sent } = setUp();
    let isSettled = false;
    void membership.settled().then(() => {
      isSettled = true;
    });
    membership.arrived();
    expect(sent).to.deep.equal([{ to: { kind: 'all' }, message: hello(true, [[app, 2, 1]]) }]);
    membership.hello(a, hello());
    await clock.advanceAsync(timings.answersMs - 1);
    expect(isSettled).to.equal(false);
    await clock.advanceAsync(1);
    expect(isSettled).to.equal(true);
    expect(told).to.deep.equal(['joined edge-a', 'settled']);
    expect(membership.edges()).to.deep.equal([self, a]);
    await membership.settled();
  });

  it('says hello again and again, with its load', async () => {
    const { clock, sent } = await settled();
    await clock.advanceAsync(10_000);
    expect(sent).to.have.lengthOf(5);
    expect(sent[4]).to.deep.equal({ to: { kind: 'all' }, message: hello(false, [[app, 2, 1]]) });
  });

  it('greets until the broker has taken it, and is not settled before', async () => {
    const { membership, clock, told, bus, greetings } = setUp();
    bus.takes = false;
    membership.arrived();
    await clock.advanceAsync(5_000);
    expect(told).to.deep.equal([]);
    bus.takes = true;
    await clock.advanceAsync(250 + timings.answersMs);
    expect(told).to.deep.equal(['settled']);
    expect(greetings('all')).to.have.lengthOf(1);
  });

  it('answers a greeting with a hello to that edge alone, and not a hello', async () => {
    const { membership, sent, told } = await settled();
    membership.hello(a, hello(true));
    expect(sent).to.deep.equal([
      { to: { kind: 'edge', edgeId: a }, message: hello(false, [[app, 2, 1]]) },
    ]);
    membership.hello(a, hello(false));
    expect(sent).to.have.lengthOf(1);
    expect(told).to.deep.equal(['joined edge-a']);
  });

  it('says of an edge in the view that greets that it has returned', async () => {
    const { membership, told } = await settled();
    membership.hello(a, hello(true));
    membership.hello(a, hello(true));
    expect(told).to.deep.equal(['joined edge-a', 'returned edge-a']);
  });

  it('greets an edge that takes it for known while it does not know that edge, until that got through', async () => {
    const { membership, bus, clock, greetings } = await settled();
    bus.takes = false;
    membership.heard(a);
    await clock.advanceAsync(4_000);
    bus.takes = true;
    expect(greetings('edge')).to.have.lengthOf(0);
    await clock.advanceAsync(2_000);
    expect(greetings('edge')).to.deep.equal([
      { to: { kind: 'edge', edgeId: a }, message: hello(true, [[app, 2, 1]]) },
    ]);
    await clock.advanceAsync(4_000);
    expect(greetings('edge')).to.have.lengthOf(1);
  });

  describe('the lease', () => {
    it('ends with the first hello that comes back a lease after the last word', async () => {
      const { membership, told, clock } = await settled();
      membership.hello(a, hello());
      membership.hello(b, hello());
      await clock.advanceAsync(7_000);
      membership.heard(b);
      const heardMs = timings.answersMs;
      expect(told).to.deep.equal(['joined edge-a', 'joined edge-b']);
      await clock.advanceAsync(timings.helloMs + 1_000);
      expect(told).to.deep.equal([
        'joined edge-a',
        'joined edge-b',
        `left edge-a silent ${heardMs}`,
      ]);
      expect(membership.edges()).to.deep.equal([self, b]);
    });

    it('does not end while an edge is heard of, whatever it says', async () => {
      const { membership, told, clock } = await settled();
      for (let n = 0; n < 10; n += 1) {
        membership.heard(a);
        await clock.advanceAsync(7_000);
      }
      expect(told).to.deep.equal(['joined edge-a']);
    });

    it('ends for nobody while no hello of its own comes back, and each has a whole one afterwards', async () => {
      const { membership, told, clock, bus } = await settled();
      membership.hello(a, hello());
      bus.echoes = false;
      await clock.advanceAsync(60_000);
      expect(told).to.deep.equal(['joined edge-a']);
      bus.echoes = true;
      membership.echo();
      await clock.advanceAsync(7_500);
      expect(told).to.deep.equal(['joined edge-a']);
      await clock.advanceAsync(2_500);
      expect(told[1]).to.match(/^left edge-a silent/);
    });

    it('ends for nobody while the broker takes no hello', async () => {
      const { membership, told, clock, bus } = await settled();
      membership.hello(a, hello());
      bus.takes = false;
      await clock.advanceAsync(60_000);
      bus.takes = true;
      await clock.advanceAsync(8_000);
      expect(told).to.deep.equal(['joined edge-a']);
    });

    it('ends for nobody because this process stood still: what waits in the socket is read before its own hello', async () => {
      const { membership, told, clock } = await settled();
      membership.hello(a, hello());
      await clock.advanceAsync(3_000);
      // The timers of a process that stood still come late and at once; then the socket is read, oldest first.
      clock.advance(30_000);
      membership.heard(a);
      await clock.advanceAsync(6_000);
      expect(told).to.deep.equal(['joined edge-a']);
    });

    it('is frozen while the bus is interrupted, and begins anew when it is restored', async () => {
      const { membership, told, clock, greetings } = await settled();
      membership.hello(a, hello());
      membership.interrupted();
      await clock.advanceAsync(60_000);
      membership.arrived();
      await clock.advanceAsync(7_000);
      expect(told).to.deep.equal(['joined edge-a', 'settled']);
      expect(greetings('all')).to.have.lengthOf(1);
      await clock.advanceAsync(3_000);
      expect(told[2]).to.match(/^left edge-a silent/);
    });
  });

  it('is not settled again before those who answer the greeting after an interruption are known', async () => {
    const { membership, clock } = await settled();
    membership.interrupted();
    let isSettled = false;
    void membership.settled().then(() => {
      isSettled = true;
    });
    await clock.advanceAsync(10_000);
    membership.arrived();
    await clock.advanceAsync(timings.answersMs - 1);
    expect(isSettled).to.equal(false);
    await clock.advanceAsync(1);
    expect(isSettled).to.equal(true);
  });

  it('removes an edge that says goodbye at once, and is not misled by a late word', async () => {
    const { membership, told } = await settled();
    membership.hello(a, hello());
    membership.bye(a);
    expect(membership.heard(a)).to.equal(false);
    membership.hello(a, hello(true));
    membership.bye(a);
    expect(told).to.deep.equal(['joined edge-a', `left edge-a bye ${timings.answersMs}`]);
    expect(membership.hasLeft(a)).to.equal(true);
    expect(membership.hasLeft(b)).to.equal(false);
  });

  it('takes in no more edges than it can look after', async () => {
    const { membership } = await settled();
    for (let n = 0; n < maxPeers; n += 1) {
      expect(membership.heard(`edge-${n}` as EdgeId)).to.equal(true);
    }
    expect(membership.heard(a)).to.equal(false);
    expect(membership.edges()).to.have.lengthOf(maxPeers + 1);
    membership.bye('edge-0' as EdgeId);
    expect(membership.heard(a)).to.equal(true);
  });

  it('adds up what the other edges last said about an app', async () => {
    const { membership } = await settled();
    const other = 'other' as AppId;
    expect(membership.othersLoad(app)).to.deep.equal({ connections: 0, apiEvents: 0 });
    membership.hello(a, hello(false, [[app, 10, 1]]));
    membership.hello(
      b,
      hello(false, [
        [app, 5, 2],
        [other, 1, 0],
      ]),
    );
    membership.hello(a, hello(false, [[app, 7, 0]]));
    expect(membership.othersLoad(app)).to.deep.equal({ connections: 12, apiEvents: 2 });
    expect(membership.othersLoad(other)).to.deep.equal({ connections: 1, apiEvents: 0 });
    membership.bye(b);
    expect(membership.othersLoad(app)).to.deep.equal({ connections: 7, apiEvents: 0 });
    expect(membership.othersLoad(other)).to.deep.equal({ connections: 0, apiEvents: 0 });
  });

  describe('once it leaves', () => {
    it('says hello no more, follows the view, and answers a greeting with its goodbye', async () => {
      const { membership, clock, sent, told } = await settled();
      membership.leave();
      await clock.advanceAsync(10_000);
      expect(sent).to.deep.equal([]);
      membership.hello(a, hello(true));
      expect(sent).to.deep.equal([{ to: { kind: 'edge', edgeId: a }, message: { type: 'bye' } }]);
      expect(told).to.deep.equal(['joined edge-a']);
      expect(clock.pendingTimers).to.equal(0);
    });

    it('keeps nobody waiting for a settled view', async () => {
      const { membership } = setUp();
      const waiting = membership.settled();
      membership.leave();
      await waiting;
      await membership.settled();
    });
  });
});
