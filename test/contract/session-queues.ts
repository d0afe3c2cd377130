/** The guarantees of `SessionQueues` that hold for every session, one test for each sentence. */
import { assert } from 'chai';
import type { SessionSpec } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerAdapter,
  keyOf,
  pseudoRandom,
  publish,
  Recorder,
  range,
  rejectionOf,
  useBroker,
} from './adapter.ts';
import { describeBackPressure } from './session-back-pressure.ts';
import { describeContinuity } from './session-continuity.ts';
import { describeHandOver } from './session-hand-over.ts';
import { describeInterruption } from './session-interruption.ts';
import { describeLoss } from './session-loss.ts';
import { describeNotes } from './session-notes.ts';
import { describeReuse } from './session-reuse.ts';

export function describeSessionQueues(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: SessionQueues`, () => {
    const current = useBroker(adapter);
    const plain = { kind: 'plain', prefetch: 10, maxLength: 1_000 } as const;

    describePlain(current, plain);
    describeBackPressure(current);
    describeInterruption(current, plain);
    describeReuse(current);
    describe('with continuity', () => {
      describeContinuity(current);
      describeHandOver(current);
      describeLoss(current);
      describeNotes(current);
    });
  });
}

type Current = ReturnType<typeof useBroker>;

function describePlain(current: Current, plain: SessionSpec): void {
  it('delivers what is published once `bind` has resolved', async () => {
    const { broker, peer } = current();
    const publisher = await peer();
    const recorder = new Recorder((delivery) => session.ack(delivery));
    const session = await broker.sessionQueues.open(plain, recorder);
    assert.isFalse(session.resumed);
    const ids = range(40).map(String);
    for (const id of ids) {
      await session.bind(keyOf(`room-${id}`));
      await publish(publisher, `room-${id}`, id);
    }
    await eventually(() => assert.lengthOf(recorder.ids, 40));
    assert.deepEqual(recorder.ids, ids);
  });

  it('delivers nothing that is published once `unbind` has resolved', async () => {
    const { broker, peer } = current();
    const publisher = await peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.bind(keyOf('a'));
    await session.bind(keyOf('b'));
    await publish(publisher, 'a', 'before');
    await session.unbind(keyOf('a'));
    await publish(publisher, 'a', 'after');
    await publish(publisher, 'b', 'sentinel');
    await eventually(() => assert.deepEqual(recorder.ids, ['before', 'sentinel']));
  });

  it('binds and unbinds idempotently: a key is bound or it is not', async () => {
    const { broker } = current();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.unbind(keyOf('never-bound'));
    await Promise.all([session.bind(keyOf('a')), session.bind(keyOf('a'))]);
    await session.bind(keyOf('a'));
    await session.bind(keyOf('b'));
    await publish(broker, 'a', 'once');
    await session.unbind(keyOf('a'));
    await session.unbind(keyOf('a'));
    await publish(broker, 'a', 'never');
    await session.bind(keyOf('a'));
    await publish(broker, 'a', 'again');
    await publish(broker, 'b', 'sentinel');
    await eventually(() => assert.deepEqual(recorder.ids, ['once', 'again', 'sentinel']));
  });

  it('ends in the state of the last call, however `bind` and `unbind` interleave', async () => {
    const { broker } = current();
    const recorder = new Recorder((delivery) => session.ack(delivery));
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.bind(keyOf('sentinel'));
    const random = pseudoRandom(42);
    const channels = range(8).map((n) => `room-${n}`);
    for (const round of range(10)) {
      const bound = new Set<string>();
      const calls: Promise<void>[] = [];
      for (const _ of range(60)) {
        const channel = channels[random(channels.length)] ?? 'room-0';
        if (random(2) === 0) {
          bound.add(channel);
          calls.push(session.bind(keyOf(channel)));
        } else {
          bound.delete(channel);
          calls.push(session.unbind(keyOf(channel)));
        }
      }
      await Promise.all(calls);
      for (const channel of channels) {
        // What an earlier round left bound is settled by a last call of this one.
        if (!bound.has(channel)) await session.unbind(keyOf(channel));
      }
      recorder.deliveries.length = 0;
      for (const channel of channels) await publish(broker, channel, channel);
      await publish(broker, 'sentinel', `sentinel-${round}`);
      await eventually(() => assert.include(recorder.ids, `sentinel-${round}`));
      const expected = channels.filter((channel) => bound.has(channel));
      assert.deepEqual(recorder.ids, [...expected, `sentinel-${round}`]);
    }
  });

  it('keeps sessions of one edge apart', async () => {
    const { broker } = current();
    const recorders = range(20).map(() => new Recorder());
    const sessions = await Promise.all(
      recorders.map((recorder) => broker.sessionQueues.open(plain, recorder)),
    );
    for (const [n, session] of sessions.entries()) {
      await session.bind(keyOf(`own-${n}`));
      await session.bind(keyOf('shared'));
    }
    for (const n of range(20)) await publish(broker, `own-${n}`, `own-${n}`);
    await publish(broker, 'shared', 'shared');
    for (const [n, recorder] of recorders.entries()) {
      await eventually(() => assert.deepEqual(recorder.ids, [`own-${n}`, 'shared']));
    }
    await sessions[3]?.close();
    await publish(broker, 'shared', 'second');
    for (const [n, recorder] of recorders.entries()) {
      if (n !== 3) await eventually(() => assert.equal(recorder.ids.at(-1), 'second'));
    }
    assert.deepEqual(recorders[3]?.ids, ['own-3', 'shared']);
  });

  it('removes the queue with its bindings on `close`', async () => {
    const { broker } = current();
    const session = await broker.sessionQueues.open(plain, new Recorder());
    await session.bind(keyOf('room'));
    assert.isTrue((await publish(broker, 'room', '1')).routed);
    await session.close();
    await session.close();
    assert.isFalse((await publish(broker, 'room', '2')).routed);
  });

  it('closes a plain queue on `park`', async () => {
    const { broker } = current();
    const session = await broker.sessionQueues.open(plain, new Recorder());
    await session.bind(keyOf('room'));
    await session.park();
    assert.isFalse((await publish(broker, 'room', '1')).routed);
  });

  it('rejects `bind` with closed once it is closed or parked, and takes all else calmly', async () => {
    const { broker } = current();
    for (const end of ['close', 'park'] as const) {
      const recorder = new Recorder();
      const session = await broker.sessionQueues.open(plain, recorder);
      await session.bind(keyOf('room'));
      await publish(broker, 'room', end);
      const [delivery] = await eventually(() => {
        assert.lengthOf(recorder.deliveries, 1);
        return recorder.deliveries;
      });
      await session[end]();
      const error = await rejectionOf(session.bind(keyOf('other')));
      assert.equal(error.code, 'closed');
      assert.isFalse(error.retryable);
      await session.unbind(keyOf('room'));
      if (delivery !== undefined) session.ack(delivery);
      await session.park();
      await session.close();
    }
  });
}
