/** The guarantees of `SessionQueues` on notes, and on beginning anew. */
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

export function describeNotes(current: () => BrokerUnderTest): void {
  const newSession = sessionSpecs(current);

  it('keeps the latest note for the next owner, and for the one after it', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession();
    const own = new Recorder();
    const first = await broker.sessionQueues.open(spec, own);
    await first.bind(keyOf('room'));
    for (const text of ['one', 'two', 'three ☃']) {
      await first.note(text);
      await publish(broker, 'room', text);
    }
    await eventually(() => assert.deepEqual(own.ids, ['one', 'two', 'three ☃']));
    await roundTrips(broker);
    assert.isEmpty(own.notes, 'whoever keeps a note knows it');
    for (const delivery of own.deliveries) first.ack(delivery);
    await first.park();
    for (const edge of [other, broker, other]) {
      const recorder = new Recorder();
      const owner = await edge.sessionQueues.open(spec, recorder);
      await eventually(() => assert.equal(recorder.notes.at(-1), 'three ☃'));
      assert.deepEqual(recorder.ids, []);
      await owner.park();
    }
    await (await other.sessionQueues.open(spec, new Recorder())).close();
  });

  it('takes no place in the prefetch for notes', async () => {
    const { broker } = current();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(newSession({ prefetch: 3 }), recorder);
    await session.bind(keyOf('room'));
    for (const n of range(10)) {
      await session.note(`note ${n}`);
      await publish(broker, 'room', String(n));
    }
    await session.note('last');
    await eventually(() => assert.deepEqual(recorder.ids, ['0', '1', '2']));
    await roundTrips(broker);
    for (const n of range(10)) {
      const next = await eventually(() => {
        const at = recorder.deliveries[n];
        assert.isDefined(at);
        return at;
      });
      assert.isAtMost(recorder.deliveries.length - n, 3);
      if (next !== undefined) session.ack(next);
    }
    assert.deepEqual(recorder.calls, range(10).map(String));
    await session.close();
  });

  it('keeps the note across a loss of the connection and an overflow', async () => {
    const { broker, interrupt } = current();
    const spec = newSession({ prefetch: 5, maxLength: 20 });
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    await session.bind(keyOf('room'));
    await session.note('kept');
    await interrupt();
    await eventually(() => assert.equal(recorder.restorations, 1));
    await eventually(() => publish(broker, 'room', 'first'));
    for (const n of range(60)) await publish(broker, 'room', String(n));
    await eventually(() => assert.isAtLeast(recorder.ids.length, 5));
    for (const delivery of [...recorder.deliveries]) session.ack(delivery);
    await eventually(() => assert.isAtLeast(recorder.notices.length, 1));
    await session.park();
    const next = new Recorder();
    const heir = await broker.sessionQueues.open(spec, next);
    await eventually(() => assert.isAtLeast(next.notices.length, 1));
    assert.deepEqual(next.calls.slice(0, 2), ['noted kept', 'lost overflow']);
    await heir.close();
  });

  it('refuses a note of more than 8 KB, one without the broker, and one after the end', async () => {
    const { broker, cutOff, reconnect } = current();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(newSession(), recorder);
    await session.note('x'.repeat(8 * 1_024));
    let error: unknown;
    await session.note('☃'.repeat(4_000)).catch((reason: unknown) => {
      error = reason;
    });
    assert.instanceOf(error, RangeError);
    await cutOff();
    await eventually(() => assert.equal(recorder.interruptions, 1));
    assert.equal((await rejectionOf(session.note('away'))).code, 'broker_unavailable');
    await reconnect();
    await eventually(() => assert.equal(recorder.restorations, 1));
    await session.close();
    assert.equal((await rejectionOf(session.note('closed'))).code, 'closed');
    assert.equal((await rejectionOf(session.reset())).code, 'closed');
  });

  it('throws away on `reset` what it holds, its bindings and its note, and goes on', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession({ prefetch: 3 });
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    await session.bind(keyOf('a'));
    await session.bind(keyOf('b'));
    await session.note('thrown away');
    for (const n of range(8)) await publish(broker, 'a', String(n));
    await eventually(() => assert.lengthOf(recorder.ids, 3));
    const old = [...recorder.deliveries];
    await session.reset();
    assert.isFalse((await publish(broker, 'a', 'unbound')).routed);
    await session.bind(keyOf('b'));
    for (const delivery of old) session.ack(delivery);
    await publish(other, 'b', 'fresh');
    await eventually(() => assert.deepEqual(recorder.calls, ['0', '1', '2', 'fresh']));
    await session.park();
    const next = new Recorder();
    const heir = await other.sessionQueues.open(spec, next);
    assert.isTrue(heir.resumed);
    await publish(other, 'b', 'parked');
    await eventually(() => assert.deepEqual(next.calls, ['fresh', 'parked']));
    await heir.close();
  });

  it('resets while the broker is away, and resolves when it is there and empty', async () => {
    const { broker, peer, cutOff, reconnect } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(newSession(), recorder);
    await session.bind(keyOf('room'));
    await publish(publisher, 'room', 'old');
    await eventually(() => assert.deepEqual(recorder.ids, ['old']));
    await cutOff();
    await eventually(() => assert.equal(recorder.interruptions, 1));
    const resetting = session.reset();
    const binding = session.bind(keyOf('other'));
    await publish(publisher, 'room', 'meanwhile');
    await reconnect();
    await Promise.all([resetting, binding]);
    await publish(publisher, 'room', 'unbound');
    await publish(publisher, 'other', 'fresh');
    await eventually(() =>
      assert.deepEqual(recorder.calls, ['old', 'interrupted', 'restored', 'fresh']),
    );
    await session.close();
  });

  it('has neither notes nor a reset without continuity', async () => {
    const { broker } = current();
    const spec = { kind: 'plain', prefetch: 10, maxLength: 100 } as const;
    const session = await broker.sessionQueues.open(spec, new Recorder());
    for (const call of [session.note('text'), session.reset()]) {
      const error: unknown = await call.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      assert.instanceOf(error, RangeError);
    }
    await session.close();
  });
}
