/** The guarantees of `SessionQueues` where the broker goes away, and comes back. */
import { assert } from 'chai';
import type { SessionSpec } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerUnderTest,
  keyOf,
  publish,
  Recorder,
  range,
  rejectionOf,
  roundTrips,
} from './adapter.ts';
import { openPlain } from './session-back-pressure.ts';

export function describeInterruption(current: () => BrokerUnderTest, plain: SessionSpec): void {
  it('is restored after a loss of the connection, with the same bindings and nothing it held', async () => {
    const { broker, peer, interrupt } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    for (const channel of ['a', 'b', 'gone']) await session.bind(keyOf(channel));
    await session.unbind(keyOf('gone'));
    await publish(publisher, 'a', 'before');
    await eventually(() => assert.deepEqual(recorder.ids, ['before']));
    await interrupt();
    await eventually(() => assert.equal(recorder.restorations, 1));
    assert.equal(recorder.interruptions, 1);
    for (const channel of ['gone', 'a', 'b']) await publish(publisher, channel, `${channel}-after`);
    await eventually(() => assert.include(recorder.ids, 'b-after'));
    assert.deepEqual(recorder.ids, ['before', 'a-after', 'b-after']);
    await session.close();
    assert.isFalse((await publish(publisher, 'a', 'closed')).routed);
  });

  it('is restored as often as the connection is lost', async () => {
    const { broker, peer, interrupt } = current();
    const publisher = await peer();
    const recorder = new Recorder((delivery) => session.ack(delivery));
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.bind(keyOf('room'));
    for (const n of range(3, 1)) {
      await interrupt();
      await eventually(() => assert.equal(recorder.restorations, n));
      await publish(publisher, 'room', String(n));
      await eventually(() => assert.equal(recorder.ids.at(-1), String(n)));
    }
    assert.equal(recorder.interruptions, 3);
    assert.deepEqual(recorder.ids, ['1', '2', '3']);
  });

  it('binds what is bound while the broker is away, and resolves when the broker routes it', async () => {
    const { broker, peer, cutOff, reconnect } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.bind(keyOf('unbound-meanwhile'));
    await cutOff();
    await eventually(() => assert.equal(recorder.interruptions, 1));
    let bound = false;
    const binding = session.bind(keyOf('bound-meanwhile')).then(() => {
      bound = true;
    });
    await session.unbind(keyOf('unbound-meanwhile'));
    assert.isFalse(bound, 'no broker, no binding');
    await reconnect();
    await binding;
    for (const channel of ['unbound-meanwhile', 'bound-meanwhile']) {
      await publish(publisher, channel, channel);
    }
    await eventually(() => assert.deepEqual(recorder.ids, ['bound-meanwhile']));
  });

  it('rejects with closed a `bind` that waits for the broker when the queue is closed', async () => {
    const { broker, cutOff } = current();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    await cutOff();
    await eventually(() => assert.equal(recorder.interruptions, 1));
    const waiting = rejectionOf(session.bind(keyOf('room')));
    await session.close();
    assert.equal((await waiting).code, 'closed');
  });

  it('does not come back once it is closed', async () => {
    const { broker, peer, cutOff, reconnect } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.bind(keyOf('room'));
    await cutOff();
    await eventually(() => assert.equal(recorder.interruptions, 1));
    await session.close();
    await reconnect();
    await eventually(() => assert.isTrue(broker.status().ready));
    await roundTrips(broker);
    assert.isFalse((await publish(publisher, 'room', '1')).routed);
    assert.equal(recorder.restorations, 0);
  });

  it('opens once the broker is there, if it was away', async () => {
    const { broker, cutOff, reconnect } = current();
    await cutOff();
    await eventually(() => assert.isFalse(broker.status().ready));
    const recorder = new Recorder();
    const opening = broker.sessionQueues.open(plain, recorder);
    await reconnect();
    const session = await opening;
    await session.bind(keyOf('room'));
    await eventually(() => publish(broker, 'room', '1'));
    await eventually(() => assert.include(recorder.ids, '1'));
    assert.equal(recorder.restorations, 0, 'opening is no restoration');
  });

  it('never takes an acknowledgement of an earlier epoch for one of this', async () => {
    const { broker, peer, interrupt } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await openPlain(broker, { prefetch: 1, maxLength: 100 }, recorder, 'room');
    await publish(publisher, 'room', 'old');
    await eventually(() => assert.lengthOf(recorder.ids, 1));
    await interrupt();
    await eventually(() => assert.equal(recorder.restorations, 1));
    await publish(publisher, 'room', 'first');
    await publish(publisher, 'room', 'second');
    const [old, first] = await eventually(() => {
      assert.lengthOf(recorder.deliveries, 2);
      return recorder.deliveries;
    });
    assert.notEqual(first?.epoch, old?.epoch);
    // Whatever its tag: a tag of this epoch with the epoch of the former one.
    session.ack({ tag: old?.tag ?? 0, epoch: old?.epoch ?? 0 });
    session.ack({ tag: first?.tag ?? 0, epoch: old?.epoch ?? 0 });
    await roundTrips(broker);
    assert.deepEqual(recorder.ids, ['old', 'first'], 'the second waits for an acknowledgement');
    session.ack({ tag: first?.tag ?? 0, epoch: first?.epoch ?? 0 });
    await eventually(() => assert.deepEqual(recorder.ids, ['old', 'first', 'second']));
  });

  it('opens nothing for an abort that came before, and rejects with closed', async () => {
    const { broker } = current();
    const signal = AbortSignal.abort();
    const error = await rejectionOf(broker.sessionQueues.open(plain, new Recorder(), signal));
    assert.equal(error.code, 'closed');
  });

  it('gives up waiting for the broker when it is aborted', async () => {
    const { broker, cutOff } = current();
    await cutOff();
    await eventually(() => assert.isFalse(broker.status().ready));
    const abort = new AbortController();
    const opening = rejectionOf(broker.sessionQueues.open(plain, new Recorder(), abort.signal));
    abort.abort();
    assert.equal((await opening).code, 'closed');
  });
}
