/** The guarantees of `SessionQueues` for sessions that outlive their owner, one test for each sentence. */
import { assert } from 'chai';
import { eventually } from '../support/eventually.ts';
import { type BrokerUnderTest, keyOf, publish, Recorder, range, sessionSpecs } from './adapter.ts';

export function describeContinuity(current: () => BrokerUnderTest): void {
  const newSession = sessionSpecs(current);

  it('is found again on any edge, with all that came in meanwhile', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession();
    const first = await broker.sessionQueues.open(spec, new Recorder());
    assert.isFalse(first.resumed);
    await first.bind(keyOf('a'));
    await first.bind(keyOf('b'));
    await first.park();
    for (const n of range(30)) await publish(broker, n % 2 === 0 ? 'a' : 'b', String(n));
    const recorder = new Recorder();
    const second = await other.sessionQueues.open({ ...spec, prefetch: 100 }, recorder);
    assert.isTrue(second.resumed);
    await publish(broker, 'a', 'live');
    await eventually(() => assert.equal(recorder.ids.at(-1), 'live'));
    assert.deepEqual(recorder.ids, [...range(30).map(String), 'live']);
    await second.close();
  });

  it('gives what was not acknowledged back to the head, in order, before what came later', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession({ prefetch: 5 });
    const before = new Recorder();
    const first = await broker.sessionQueues.open(spec, before);
    await first.bind(keyOf('room'));
    for (const n of range(12)) await publish(other, 'room', String(n));
    await eventually(() => assert.lengthOf(before.ids, 5));
    for (const n of [0, 2]) {
      const delivery = before.deliveries[n];
      if (delivery !== undefined) first.ack(delivery);
    }
    await eventually(() => assert.lengthOf(before.ids, 7));
    await first.park();
    await publish(other, 'room', 'meanwhile');
    const after = new Recorder();
    const second = await other.sessionQueues.open({ ...spec, prefetch: 100 }, after);
    await publish(other, 'room', 'live');
    await eventually(() => assert.equal(after.ids.at(-1), 'live'));
    const left = ['1', ...range(9, 3).map(String)];
    assert.deepEqual(after.ids, [...left, 'meanwhile', 'live']);
    const repeated = after.deliveries.filter(({ redelivered }) => redelivered);
    assert.includeMembers(
      repeated.map(({ id }) => id),
      ['1', '3', '4', '5', '6'],
    );
    assert.notIncludeMembers(
      repeated.map(({ id }) => id),
      ['meanwhile', 'live'],
    );
    await second.close();
  });

  it('resumes again and again without a loss or a change of order', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession({ prefetch: 4 });
    const acknowledged: string[] = [];
    let published = 0;
    for (const round of range(6)) {
      const edge = round % 2 === 0 ? broker : other;
      const recorder = new Recorder();
      const session = await edge.sessionQueues.open(spec, recorder);
      assert.equal(session.resumed, round > 0);
      await session.bind(keyOf('room'));
      for (const _ of range(5)) {
        await publish(broker, 'room', String(published));
        published += 1;
      }
      await eventually(() => assert.isAtLeast(recorder.deliveries.length, 3));
      for (const delivery of recorder.deliveries.slice(0, 2)) {
        session.ack(delivery);
        acknowledged.push(delivery.id);
      }
      await session.park();
    }
    const rest = new Recorder((delivery) => acknowledged.push(delivery.id));
    const last = await other.sessionQueues.open({ ...spec, prefetch: 100 }, rest);
    await eventually(() => assert.lengthOf(acknowledged, published));
    assert.deepEqual(acknowledged, range(published).map(String));
    await last.close();
  });

  it('keeps the bindings of its former owner until they are unbound', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession();
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('kept'));
    await first.bind(keyOf('dropped'));
    await first.park();
    const recorder = new Recorder();
    const second = await other.sessionQueues.open(spec, recorder);
    await second.unbind(keyOf('dropped'));
    await publish(broker, 'dropped', 'dropped');
    await publish(broker, 'kept', 'kept');
    await eventually(() => assert.include(recorder.ids, 'kept'));
    assert.deepEqual(recorder.ids, ['kept']);
    await second.close();
  });

  it('never repeats an acknowledged delivery', async () => {
    const { broker } = current();
    const spec = newSession();
    const before = new Recorder();
    const first = await broker.sessionQueues.open(spec, before);
    await first.bind(keyOf('room'));
    for (const n of range(10)) await publish(broker, 'room', String(n));
    await eventually(() => assert.lengthOf(before.ids, 10));
    for (const delivery of before.deliveries) first.ack(delivery);
    await first.park();
    const after = new Recorder();
    const second = await broker.sessionQueues.open(spec, after);
    await publish(broker, 'room', 'sentinel');
    await eventually(() => assert.include(after.ids, 'sentinel'));
    assert.deepEqual(after.ids, ['sentinel']);
    await second.close();
  });

  it('ends with its window: then it starts anew', async () => {
    const { broker } = current();
    const spec = newSession({ windowMs: 300 });
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await first.park();
    assert.isTrue((await publish(broker, 'room', 'parked')).routed);
    await eventually(async () => {
      assert.isFalse((await publish(broker, 'room', 'too late')).routed);
    });
    const recorder = new Recorder();
    const second = await broker.sessionQueues.open(spec, recorder);
    assert.isFalse(second.resumed);
    await second.bind(keyOf('room'));
    await publish(broker, 'room', 'fresh');
    await eventually(() => assert.deepEqual(recorder.ids, ['fresh']));
    await second.close();
  });

  it('does not end while somebody holds it, however short its window', async () => {
    const { broker } = current();
    const spec = newSession({ windowMs: 200 });
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await first.park();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    assert.isTrue(session.resumed);
    // Once a longer window has gone by, the shorter one would have.
    const parked = await broker.sessionQueues.open(newSession({ windowMs: 300 }), new Recorder());
    await parked.bind(keyOf('other'));
    await parked.park();
    await eventually(async () => {
      assert.isFalse((await publish(broker, 'other', 'expired?')).routed);
    });
    await publish(broker, 'room', 'held');
    await eventually(() => assert.deepEqual(recorder.ids, ['held']));
    await session.close();
  });

  it('ends on `close`: then it starts anew', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession();
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await publish(broker, 'room', 'unacknowledged');
    await first.close();
    assert.isFalse((await publish(broker, 'room', 'after')).routed);
    const second = await other.sessionQueues.open(spec, new Recorder());
    assert.isFalse(second.resumed);
    await second.close();
  });
}
