import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import { createMemoryBroker } from '../../broker/memory/broker.ts';
import type { EdgeBus } from '../../broker/port.ts';
import type { EdgeMessage } from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import { type BusListener, ClusterBus } from '../../edge/cluster/bus.ts';
import { createLog } from '../../runtime/log.ts';
import { createManualClock } from '../support/manual-clock.ts';

const [a, b] = ['edge-a', 'edge-b'] as [EdgeId, EdgeId];
const topic = 'app.presence-room' as ChannelKey;
const bye: EdgeMessage = { type: 'bye' };

/** What a bus told its listener. */
class Ear implements BusListener {
  readonly said: string[] = [];

  message(from: EdgeId, message: EdgeMessage): void {
    this.said.push(`${from} ${message.type}`);
  }

  joined(): void {
    this.said.push('joined');
  }

  interrupted(): void {
    this.said.push('interrupted');
  }

  restored(): void {
    this.said.push('restored');
  }
}

function setUp() {
  const clock = createManualClock();
  const lines: string[] = [];
  const log = createLog('warn', {}, { write: (line) => lines.push(line) });
  const broker = createMemoryBroker({ clock });
  const create = (edgeId: EdgeId, edgeBus: Pick<EdgeBus, 'join'>) => {
    const ear = new Ear();
    return { ear, bus: new ClusterBus({ edgeBus, edgeId, clock, log, listener: ear }) };
  };
  return { clock, lines, broker, create, turns: () => clock.advanceAsync(0) };
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'resolved',
    (error: unknown) => (error instanceof BrokerError ? error.code : String(error)),
  );

describe('ClusterBus', () => {
  it('brings messages from one edge to the others and to itself', async () => {
    const { broker, create, turns } = setUp();
    const one = create(a, broker.edgeBus);
    const other = create(b, broker.peer().edgeBus);
    one.bus.join();
    other.bus.join();
    await turns();
    await one.bus.send({ kind: 'all' }, bye);
    await one.bus.send({ kind: 'edge', edgeId: b }, { type: 'roster-ask', keys: [] });
    await turns();
    expect(one.ear.said).to.deep.equal(['joined', 'edge-a bye']);
    expect(other.ear.said).to.deep.equal(['joined', 'edge-a bye', 'edge-a roster-ask']);
  });

  it('joins in the background once the broker is there, with the topics that were listened to before', async () => {
    const { broker, create, turns } = setUp();
    broker.setOutage(true);
    const { bus, ear } = create(a, broker.edgeBus);
    bus.join();
    const listening = bus.listen(topic);
    const given = bus.listen('app.other' as ChannelKey);
    await bus.unlisten('app.other' as ChannelKey);
    await turns();
    expect(bus.up).to.equal(false);
    expect(await codeOf(bus.send({ kind: 'all' }, bye))).to.equal('broker_unavailable');
    broker.setOutage(false);
    await turns();
    await listening;
    await given;
    expect(bus.up).to.equal(true);
    await bus.send({ kind: 'topic', topic }, bye);
    await bus.send({ kind: 'topic', topic: 'app.other' as ChannelKey }, bye);
    await turns();
    expect(ear.said).to.deep.equal(['joined', 'edge-a bye']);
  });

  it('tells of interruptions, and refuses to send meanwhile', async () => {
    const { broker, create, turns } = setUp();
    const { bus, ear } = create(a, broker.edgeBus);
    bus.join();
    await turns();
    broker.setOutage(true);
    expect(bus.up).to.equal(false);
    expect(await codeOf(bus.send({ kind: 'all' }, bye))).to.equal('broker_unavailable');
    broker.setOutage(false);
    expect(bus.up).to.equal(true);
    expect(ear.said).to.deep.equal(['joined', 'interrupted', 'restored']);
  });

  it('counts what it cannot read, and writes one line a minute about it', async () => {
    const { broker, create, turns, lines, clock } = setUp();
    const { bus, ear } = create(a, broker.edgeBus);
    bus.join();
    const silent = { message: () => undefined, interrupted() {}, restored() {} };
    const stranger = await broker.edgeBus.join(b, silent);
    const nameless = await broker.edgeBus.join('No Edge' as EdgeId, silent);
    await turns();
    for (let n = 0; n < 50; n += 1) {
      await stranger.send({ kind: 'all' }, Buffer.from('{"type":"hello"}'));
    }
    await nameless.send({ kind: 'all' }, Buffer.from('{"type":"bye"}'));
    await stranger.send({ kind: 'all' }, Buffer.from('{"type":"bye"}'));
    await turns();
    expect(bus.refused).to.equal(51);
    expect(lines).to.have.lengthOf(1);
    expect(ear.said).to.deep.equal(['joined', 'edge-b bye']);
    clock.advance(60_000);
    await stranger.send({ kind: 'all' }, Buffer.from('x'));
    await turns();
    expect(lines).to.have.lengthOf(2);
    expect(lines[1]).to.include('"refused":52');
  });

  it('tries again where the broker refused the join', async () => {
    const { broker, create, clock } = setUp();
    let refusals = 2;
    const { bus, ear } = create(a, {
      join(edgeId, receiver) {
        refusals -= 1;
        if (refusals >= 0) return Promise.reject(new BrokerError('broker_forbidden', 'no'));
        return broker.edgeBus.join(edgeId, receiver);
      },
    });
    bus.join();
    await clock.advanceAsync(4_999);
    expect(refusals).to.equal(1);
    await clock.advanceAsync(5_001);
    expect(ear.said).to.deep.equal(['joined']);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('is silent and refuses everything once it was left', async () => {
    const { broker, create, turns } = setUp();
    const one = create(a, broker.edgeBus);
    const other = create(b, broker.peer().edgeBus);
    one.bus.join();
    other.bus.join();
    await turns();
    const sent = other.bus.send({ kind: 'all' }, bye);
    await one.bus.leave();
    await one.bus.leave();
    await sent;
    await turns();
    expect(one.ear.said).to.deep.equal(['joined']);
    expect(await codeOf(one.bus.send({ kind: 'all' }, bye))).to.equal('closed');
    expect(await codeOf(one.bus.listen(topic))).to.equal('closed');
    await one.bus.unlisten(topic);
  });

  it('leaves nothing behind where it is left before it was joined', async () => {
    const { broker, create, turns } = setUp();
    broker.setOutage(true);
    const { bus, ear } = create(a, broker.edgeBus);
    bus.join();
    const listening = codeOf(bus.listen(topic));
    await bus.leave();
    expect(await listening).to.equal('closed');
    broker.setOutage(false);
    await turns();
    expect(ear.said).to.deep.equal([]);
    expect(broker.counts().queues).to.equal(0);
  });
});
