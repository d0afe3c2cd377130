/** The guarantees of `SessionQueues` that hold for every session, one test for each sentence. */
import { assert } from 'chai';
import type { Broker, SessionQueue, SessionSpec } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerAdapter,
  keyOf,
  pseudoRandom,
  publication,
  Recorder,
  range,
  rejectionOf,
  roundTrips,
  useBroker,
} from './adapter.ts';
import { describeContinuity } from './session-continuity.ts';

export function describeSessionQueues(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: SessionQueues`, () => {
    const current = useBroker(adapter);
    const plain = { kind: 'plain', prefetch: 10, maxLength: 1_000 } as const;

    describePlain(current, plain);
    describeBackPressure(current);
    describeInterruption(current, plain);
    describeContinuity(current);
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

function describeBackPressure(current: Current): void {
  it('leaves at most `prefetch` deliveries unacknowledged; each acknowledgement frees one', async () => {
    const { broker } = current();
    let unacknowledged = 0;
    let most = 0;
    const recorder = new Recorder(() => {
      unacknowledged += 1;
      most = Math.max(most, unacknowledged);
    });
    const session = await open(broker, { prefetch: 4, maxLength: 1_000 }, recorder, 'room');
    const ids = range(20).map(String);
    await Promise.all(ids.map((id) => publish(broker, 'room', id)));
    await eventually(() => assert.lengthOf(recorder.ids, 4));
    await roundTrips(broker);
    for (const n of range(20)) {
      const delivery = await eventually(() => {
        const next = recorder.deliveries[n];
        assert.isDefined(next);
        return next;
      });
      unacknowledged -= 1;
      if (delivery !== undefined) session.ack(delivery);
    }
    await eventually(() => assert.deepEqual(recorder.ids, ids));
    assert.equal(most, 4);
  });

  it('acknowledges one delivery at a time, not those before it', async () => {
    const { broker, sessionKey } = current();
    const spec = {
      kind: 'continuity',
      key: sessionKey(),
      prefetch: 5,
      maxLength: 1_000,
      windowMs: 60_000,
    } as const;
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    await session.bind(keyOf('room'));
    for (const id of range(5)) await publish(broker, 'room', String(id));
    await eventually(() => assert.lengthOf(recorder.ids, 5));
    for (const n of [3, 1]) {
      const delivery = recorder.deliveries[n];
      if (delivery !== undefined) session.ack(delivery);
    }
    await session.park();
    const again = new Recorder();
    const resumed = await broker.sessionQueues.open(spec, again);
    await eventually(() => assert.deepEqual(again.ids, ['0', '2', '4']));
    await resumed.close();
  });

  it('does not let a slow session hold up another', async () => {
    const { broker } = current();
    const slow = new Recorder();
    await open(broker, { prefetch: 1, maxLength: 10 }, slow, 'room');
    const quick = new Recorder((delivery) => session.ack(delivery));
    const session = await open(broker, { prefetch: 1, maxLength: 1_000 }, quick, 'room');
    const ids = range(200).map(String);
    for (const id of ids) await publish(broker, 'room', id);
    await eventually(() => assert.deepEqual(quick.ids, ids));
    assert.deepEqual(slow.ids, ['0']);
  });

  it('drops the oldest waiting messages beyond `maxLength`, never what is in hand', async () => {
    const { broker } = current();
    const recorder = new Recorder();
    const session = await open(broker, { prefetch: 3, maxLength: 10 }, recorder, 'room');
    for (const n of range(3)) await publish(broker, 'room', String(n));
    await eventually(() => assert.lengthOf(recorder.ids, 3));
    for (const n of range(27, 3)) await publish(broker, 'room', String(n));
    await roundTrips(broker);
    for (const n of range(13)) {
      const delivery = await eventually(() => {
        const next = recorder.deliveries[n];
        assert.isDefined(next);
        return next;
      });
      if (delivery !== undefined) session.ack(delivery);
    }
    await publish(broker, 'room', 'sentinel');
    await eventually(() => assert.equal(recorder.ids.at(-1), 'sentinel'));
    assert.deepEqual(recorder.ids, [...range(3), ...range(10, 20)].map(String).concat('sentinel'));
  });
}

function describeInterruption(current: Current, plain: SessionSpec): void {
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
    const session = await open(broker, { prefetch: 1, maxLength: 100 }, recorder, 'room');
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

function publish(broker: Broker, channel: string, id: string) {
  return broker.channelPublisher.publish(publication(channel, id));
}

async function open(
  broker: Broker,
  bounds: { readonly prefetch: number; readonly maxLength: number },
  recorder: Recorder,
  channel: string,
): Promise<SessionQueue> {
  const session = await broker.sessionQueues.open({ kind: 'plain', ...bounds }, recorder);
  await session.bind(keyOf(channel));
  return session;
}
