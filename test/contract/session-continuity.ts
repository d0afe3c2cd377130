/** The guarantees of `SessionQueues` for sessions that outlive their owner, one test for each sentence. */
import { assert } from 'chai';
import type { Broker } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerUnderTest,
  keyOf,
  publication,
  Recorder,
  range,
  rejectionOf,
  roundTrips,
} from './adapter.ts';

export function describeContinuity(current: () => BrokerUnderTest): void {
  function newSession(more: { readonly prefetch?: number; readonly windowMs?: number } = {}) {
    return {
      kind: 'continuity',
      key: current().sessionKey(),
      prefetch: 10,
      maxLength: 1_000,
      windowMs: 60_000,
      ...more,
    } as const;
  }

  describe('with continuity', () => {
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

    it('rejects `bind` with closed once it is parked', async () => {
      const { broker } = current();
      const session = await broker.sessionQueues.open(newSession(), new Recorder());
      await session.park();
      assert.equal((await rejectionOf(session.bind(keyOf('room')))).code, 'closed');
      await session.park();
    });
  });
}

function publish(broker: Broker, channel: string, id: string) {
  return broker.channelPublisher.publish(publication(channel, id));
}
