/** The guarantees of `SessionQueues` on loss: never one without a notice, and the notice comes until it is acknowledged. */
import { assert } from 'chai';
import type { SessionQueue } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerUnderTest,
  keyOf,
  pseudoRandom,
  publish,
  Recorder,
  range,
  sessionSpecs,
} from './adapter.ts';

export function describeLoss(current: () => BrokerUnderTest): void {
  const newSession = sessionSpecs(current);

  it('holds `maxLength` messages while parked, without a notice', async () => {
    const { broker } = current();
    const spec = newSession({ prefetch: 5, maxLength: 20 });
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await first.note('noted');
    await first.park();
    for (const n of range(20)) await publish(broker, 'room', String(n));
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    await drain(session, recorder, (id) => publish(broker, 'room', id), 20);
    assert.deepEqual(recorder.calls, ['noted noted', ...range(21).map(String)]);
    await session.close();
  });

  it('tells of an overflow while parked, instead of what is left', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession({ prefetch: 5, maxLength: 20 });
    const before = new Recorder();
    const first = await broker.sessionQueues.open(spec, before);
    await first.bind(keyOf('room'));
    for (const n of range(3)) await publish(broker, 'room', String(n));
    await eventually(() => assert.lengthOf(before.ids, 3));
    await first.park();
    for (const n of range(40, 3)) await publish(broker, 'room', String(n));
    const recorder = new Recorder();
    const second = await other.sessionQueues.open(spec, recorder);
    assert.isTrue(second.resumed);
    await second.bind(keyOf('room'));
    await publish(broker, 'room', 'after');
    await eventually(() => assert.deepEqual(recorder.calls, ['lost overflow', 'after']));
    await second.close();
  });

  it('tells of an overflow while its owner is behind, then goes on with the same bindings', async () => {
    const { broker } = current();
    const recorder = new Recorder();
    const spec = newSession({ prefetch: 10, maxLength: 20 });
    const session = await broker.sessionQueues.open(spec, recorder);
    await session.bind(keyOf('room'));
    await session.bind(keyOf('other'));
    for (const n of range(100)) await publish(broker, 'room', String(n));
    await eventually(() => assert.isAtLeast(recorder.ids.length, 10));
    // An adapter may learn of it by what is acknowledged.
    for (const delivery of [...recorder.deliveries]) session.ack(delivery);
    await eventually(() => assert.isAtLeast(recorder.notices.length, 1));
    assert.deepEqual(recorder.calls.filter((call) => !/^\d+$/.test(call)).slice(0, 3), [
      'interrupted',
      'restored',
      'lost overflow',
    ]);
    for (const delivery of [...recorder.deliveries]) session.ack(delivery);
    await publish(broker, 'other', 'after');
    await eventually(() => assert.equal(recorder.ids.at(-1), 'after'));
    assertRising(recorder.ids.slice(0, -1));
    await session.close();
  });

  it('tells the next owner of an overflow that the former had not learnt of', async () => {
    for (const acknowledged of [0, 1, 4]) {
      const { broker } = current();
      const spec = newSession({ prefetch: 10, maxLength: 20 });
      const before = new Recorder();
      const first = await broker.sessionQueues.open(spec, before);
      await first.bind(keyOf('room'));
      for (const n of range(100)) await publish(broker, 'room', String(n));
      await eventually(() => assert.isAtLeast(before.ids.length, 10));
      for (const delivery of before.deliveries.slice(0, acknowledged)) first.ack(delivery);
      await first.park();
      const recorder = new Recorder();
      const second = await broker.sessionQueues.open(spec, recorder);
      assert.isTrue(second.resumed);
      await eventually(() => assert.equal(recorder.calls[0], 'lost overflow'));
      await second.close();
    }
  });

  it('loses nothing without a notice, however slow its owners and whenever they let go', async () => {
    const { broker, peer } = current();
    const other = await peer();
    for (const seed of range(4)) {
      const random = pseudoRandom(seed);
      const spec = newSession({ prefetch: 6, maxLength: 12 });
      const history: string[] = [];
      let published = 0;
      for (const round of range(10)) {
        const recorder = new Recorder();
        const edge = random(2) === 0 ? broker : other;
        const session = await edge.sessionQueues.open(spec, recorder);
        // That its queue is gone is told as well.
        if (round > 0 && !session.resumed) history.push('lost with its queue');
        await session.bind(keyOf('room'));
        let acknowledged = 0;
        // From nothing to well beyond what it holds; an owner that acknowledges all, some or nothing.
        for (const _ of range(random(8))) {
          const burst = range(random(12), published);
          published += burst.length;
          await Promise.all(burst.map((n) => publish(other, 'room', String(n))));
          for (const delivery of recorder.deliveries.slice(acknowledged)) {
            if (random(8) === 0) break;
            session.ack(delivery);
            acknowledged += 1;
          }
          if (random(4) === 0) for (const notice of [...recorder.notices]) session.ack(notice);
        }
        if (round < 9) {
          await session.park();
        } else {
          published = await drain(session, recorder, (id) => publish(other, 'room', id), published);
          await session.close();
        }
        history.push(...recorder.calls);
      }
      assert.equal(undeclaredGap(history), undefined, `seed ${seed}: ${history}`);
      assert.isAbove(history.filter((call) => call.startsWith('lost')).length, 0, 'overflows');
      assert.isAbove(history.length, published / 4, 'most of it is not lost');
    }
  });

  it('gives the notice again, to whoever owns the session, until it is acknowledged', async () => {
    const { broker, peer } = current();
    const other = await peer();
    const spec = newSession({ prefetch: 5, maxLength: 20 });
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await first.park();
    for (const n of range(40)) await publish(broker, 'room', String(n));
    for (const edge of [broker, other, broker]) {
      const recorder = new Recorder();
      const owner = await edge.sessionQueues.open(spec, recorder);
      await owner.bind(keyOf('room'));
      await eventually(() => assert.deepEqual(recorder.calls, ['lost overflow']));
      await owner.park();
    }
    const recorder = new Recorder();
    const last = await other.sessionQueues.open(spec, recorder);
    await publish(broker, 'room', 'after');
    await eventually(() => assert.deepEqual(recorder.calls, ['lost overflow', 'after']));
    const [notice] = recorder.notices;
    if (notice !== undefined) last.ack(notice);
    await last.park();
    const told = new Recorder();
    const again = await broker.sessionQueues.open(spec, told);
    assert.isTrue(again.resumed);
    await eventually(() => assert.deepEqual(told.calls, ['after']));
    await again.close();
  });

  it('gives a notice also where the queue overflows again before anybody has acknowledged it', async () => {
    const { broker } = current();
    for (const surplus of range(8)) {
      const spec = newSession({ prefetch: 5, maxLength: 20 });
      const first = await broker.sessionQueues.open(spec, new Recorder());
      await first.bind(keyOf('room'));
      await first.park();
      for (const n of range(40)) await publish(broker, 'room', String(n));
      const told = new Recorder();
      const second = await broker.sessionQueues.open(spec, told);
      await second.bind(keyOf('room'));
      await eventually(() => assert.deepEqual(told.calls, ['lost overflow']));
      await second.park();
      for (const n of range(20 + surplus)) await publish(broker, 'room', String(n));
      const recorder = new Recorder();
      const third = await broker.sessionQueues.open(spec, recorder);
      await eventually(() => assert.equal(recorder.calls[0], 'lost overflow', `${surplus} more`));
      await third.close();
    }
  });

  it('takes no notice of an earlier epoch for one of this', async () => {
    const { broker, interrupt } = current();
    const spec = newSession({ prefetch: 5, maxLength: 20 });
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await first.park();
    for (const n of range(40)) await publish(broker, 'room', String(n));
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    await eventually(() => assert.lengthOf(recorder.notices, 1));
    await interrupt();
    await eventually(() => assert.lengthOf(recorder.notices, 2));
    const [old, latest] = recorder.notices;
    assert.notEqual(old?.epoch, latest?.epoch);
    if (old !== undefined) session.ack(old);
    await session.park();
    const next = new Recorder();
    const heir = await broker.sessionQueues.open(spec, next);
    await eventually(() => assert.deepEqual(next.calls, ['lost overflow']));
    await heir.close();
  });

  it('goes on without a notice where its owner keeps up, however much comes', async () => {
    const { broker, peer } = current();
    const publisher = await peer();
    const recorder = new Recorder((delivery) => session.ack(delivery));
    const spec = newSession({ prefetch: 10, maxLength: 50 });
    const session = await broker.sessionQueues.open(spec, recorder);
    await session.bind(keyOf('room'));
    for (const n of range(60)) {
      await Promise.all(range(8).map((m) => publish(publisher, 'room', String(n * 8 + m))));
      await eventually(() => assert.isAtLeast(recorder.ids.length, n * 8 - 16));
    }
    await eventually(() => assert.lengthOf(recorder.ids, 480));
    assert.deepEqual(recorder.calls, range(480).map(String));
    await session.close();
  });

  it('refuses a session that could not hold more than its owner has in hand', async () => {
    const { broker } = current();
    const spec = newSession({ prefetch: 10, maxLength: 10 });
    let error: unknown;
    await broker.sessionQueues.open(spec, new Recorder()).catch((reason: unknown) => {
      error = reason;
    });
    assert.instanceOf(error, RangeError);
  });
}

/** Publishes, and acknowledges what comes, until the latest has come. Returns the next number to publish. */
async function drain(
  session: SessionQueue,
  recorder: Recorder,
  publishId: (id: string) => Promise<unknown>,
  from: number,
): Promise<number> {
  for (let id = from; ; id += 1) {
    const told = recorder.notices.length;
    await publishId(String(id));
    await eventually(() => {
      for (const delivery of recorder.deliveries) session.ack(delivery);
      assert.isTrue(recorder.ids.includes(String(id)) || recorder.notices.length > told);
    });
    if (recorder.ids.includes(String(id))) return id + 1;
  }
}

/** The first message that was skipped and of which no notice was given, before it was missed or after. */
function undeclaredGap(history: readonly string[]): string | undefined {
  let next: number | undefined = 0;
  let gap: string | undefined;
  for (const call of history) {
    if (call.startsWith('lost')) {
      // Whatever is missing here is told.
      next = undefined;
      gap = undefined;
    } else if (/^\d+$/.test(call)) {
      const id = Number(call);
      if (next !== undefined && id > next) gap ??= `${next} to ${id}`;
      next = Math.max(next ?? 0, id + 1);
    }
  }
  return gap;
}

function assertRising(ids: readonly string[]): void {
  const numbers = ids.map(Number);
  assert.deepEqual(
    numbers,
    [...numbers].sort((a, b) => a - b),
  );
}
