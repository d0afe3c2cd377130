/** The guarantees of `SessionQueues` where a session goes from one owner to the next, or loses its broker for a while. */
import { assert } from 'chai';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerUnderTest,
  keyOf,
  publish,
  Recorder,
  range,
  rejectionOf,
  roundTrips,
  sessionSpecs,
} from './adapter.ts';

export function describeHandOver(current: () => BrokerUnderTest): void {
  const newSession = sessionSpecs(current);

  it('has one owner at a time: the next gets what the former lets go of, each message once', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession({ prefetch: 3 });
    const parked = await broker.sessionQueues.open(spec, new Recorder());
    await parked.bind(keyOf('room'));
    await parked.park();
    for (const n of range(9)) await publish(other, 'room', String(n));
    const recorders = [new Recorder(), new Recorder()] as const;
    const openings = [
      broker.sessionQueues.open(spec, recorders[0]),
      other.sessionQueues.open(spec, recorders[1]),
    ] as const;
    const [winner, loser] = await eventually(() => {
      const at = recorders.findIndex(({ ids }) => ids.length === 3);
      assert.isAtLeast(at, 0);
      return at === 0 ? ([0, 1] as const) : ([1, 0] as const);
    });
    await roundTrips(broker);
    await roundTrips(other);
    assert.deepEqual(recorders[loser].ids, [], 'two owners never interleave');
    const first = await openings[winner];
    assert.isTrue(first.resumed);
    const [delivery] = recorders[winner].deliveries;
    if (delivery !== undefined) first.ack(delivery);
    await eventually(() => assert.lengthOf(recorders[winner].ids, 4));
    await first.park();
    const second = await openings[loser];
    assert.isTrue(second.resumed);
    for (const n of range(8)) {
      const next = await eventually(() => {
        const at = recorders[loser].deliveries[n];
        assert.isDefined(at);
        return at;
      });
      if (next !== undefined) second.ack(next);
    }
    assert.deepEqual(recorders[loser].ids, range(8, 1).map(String));
    assert.deepEqual(recorders[winner].ids, range(4).map(String));
    await second.close();
  });

  it('repeats what was not acknowledged after a loss of the connection, in order, and goes on', async () => {
    const { broker, peer, interrupt } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(newSession({ prefetch: 5 }), recorder);
    await session.bind(keyOf('room'));
    for (const n of range(8)) await publish(publisher, 'room', String(n));
    await eventually(() => assert.lengthOf(recorder.ids, 5));
    await interrupt();
    await eventually(() => assert.equal(recorder.restorations, 1));
    assert.equal(recorder.interruptions, 1);
    await publish(publisher, 'room', 'later');
    for (const n of range(9)) {
      const next = await eventually(() => {
        const at = recorder.deliveries[5 + n];
        assert.isDefined(at);
        return at;
      });
      if (next !== undefined) session.ack(next);
    }
    assert.deepEqual(recorder.ids, [...range(5), ...range(8)].map(String).concat('later'));
    const epochs = new Set(recorder.deliveries.map(({ epoch }) => epoch));
    assert.lengthOf([...epochs], 2);
    await session.close();
  });

  it('has the bindings that it wants by then, when the broker is back', async () => {
    const { broker, peer, cutOff, reconnect } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(newSession(), recorder);
    for (const channel of ['kept', 'dropped']) await session.bind(keyOf(channel));
    await cutOff();
    await eventually(() => assert.equal(recorder.interruptions, 1));
    await session.unbind(keyOf('dropped'));
    const binding = session.bind(keyOf('new'));
    await publish(publisher, 'kept', 'meanwhile');
    await reconnect();
    await binding;
    await eventually(() => assert.equal(recorder.restorations, 1));
    for (const channel of ['dropped', 'new', 'kept']) await publish(publisher, channel, channel);
    await eventually(() => assert.deepEqual(recorder.ids, ['meanwhile', 'new', 'kept']));
    await session.close();
  });

  it('never takes an acknowledgement of a former owner for one of its own', async () => {
    const { broker } = current();
    const spec = newSession();
    const before = new Recorder();
    const first = await broker.sessionQueues.open(spec, before);
    await first.bind(keyOf('room'));
    await publish(broker, 'room', '1');
    const [old] = await eventually(() => {
      assert.lengthOf(before.deliveries, 1);
      return before.deliveries;
    });
    await first.park();
    const after = new Recorder();
    const second = await broker.sessionQueues.open(spec, after);
    await eventually(() => assert.lengthOf(after.deliveries, 1));
    if (old !== undefined) second.ack(old);
    await second.park();
    const last = new Recorder();
    const third = await broker.sessionQueues.open(spec, last);
    await eventually(() => assert.deepEqual(last.ids, ['1']));
    await third.close();
  });

  it('leaves nothing behind when its opening is aborted', async () => {
    const { broker, cutOff, reconnect } = current();
    const spec = newSession();
    await cutOff();
    await eventually(() => assert.isFalse(broker.status().ready));
    const abort = new AbortController();
    const opening = rejectionOf(broker.sessionQueues.open(spec, new Recorder(), abort.signal));
    abort.abort();
    assert.equal((await opening).code, 'closed');
    await reconnect();
    await eventually(() => assert.isTrue(broker.status().ready));
    const session = await broker.sessionQueues.open(spec, new Recorder());
    assert.isFalse(session.resumed);
    await session.close();
  });

  it('leaves a parked session as it was when the opening is aborted', async () => {
    const { broker } = current();
    const spec = newSession();
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await first.park();
    await publish(broker, 'room', 'kept');
    const abort = new AbortController();
    const opening = rejectionOf(broker.sessionQueues.open(spec, new Recorder(), abort.signal));
    abort.abort();
    assert.equal((await opening).code, 'closed');
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    assert.isTrue(session.resumed);
    await eventually(() => assert.deepEqual(recorder.ids, ['kept']));
    await session.close();
  });

  it('hands nothing on once `park` or `close` was called', async () => {
    const { broker, peer } = current();
    const publisher = await peer();
    for (const end of ['park', 'close'] as const) {
      const spec = newSession({ prefetch: 4 });
      const recorder = new Recorder();
      const session = await broker.sessionQueues.open(spec, recorder);
      await session.bind(keyOf('room'));
      await Promise.all(range(60).map((n) => publish(publisher, 'room', String(n))));
      await eventually(() => assert.lengthOf(recorder.ids, 4));
      // What is acknowledged makes room for more.
      for (const delivery of [...recorder.deliveries]) session.ack(delivery);
      const ending = session[end]();
      const { length } = recorder.calls;
      await ending;
      await roundTrips(broker);
      assert.lengthOf(recorder.calls, length);
      const next = new Recorder();
      const heir = await broker.sessionQueues.open(spec, next);
      assert.equal(heir.resumed, end === 'park');
      if (end === 'park') {
        await eventually(() => assert.lengthOf(next.ids, 4));
        assert.equal(next.ids[0], '4', 'what was acknowledged does not come again');
      }
      await heir.close();
    }
  });

  it('rejects `bind` with closed once it is parked', async () => {
    const { broker } = current();
    const session = await broker.sessionQueues.open(newSession(), new Recorder());
    await session.park();
    assert.equal((await rejectionOf(session.bind(keyOf('room')))).code, 'closed');
    await session.park();
  });
}
