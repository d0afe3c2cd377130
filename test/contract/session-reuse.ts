/** The guarantees of `SessionQueues` where one plain queue serves several owners in turn. */
import { assert } from 'chai';
import type { Delivery } from '../../broker/port.ts';
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

const plain = { kind: 'plain', prefetch: 5, maxLength: 1_000 } as const;

export function describeReuse(current: () => BrokerUnderTest): void {
  it('gives a new owner nothing of what was published for the former', async () => {
    const { broker, peer } = current();
    const publisher = await peer();
    for (const round of range(6)) {
      const former = new Recorder();
      const first = await broker.sessionQueues.open(plain, former);
      await first.bind(keyOf('mine'));
      await first.bind(keyOf('ours'));
      for (const n of range(30)) await publish(publisher, n % 2 ? 'mine' : 'ours', `${round}-${n}`);
      await eventually(() => assert.lengthOf(former.ids, 5));
      await first.close();
      await roundTrips(broker);
      const recorder = new Recorder((delivery) => second.ack(delivery));
      const second = await broker.sessionQueues.open(plain, recorder);
      await second.bind(keyOf('ours'));
      await publish(publisher, 'mine', 'not for it');
      await publish(publisher, 'ours', `${round}-new`);
      await eventually(() => assert.include(recorder.ids, `${round}-new`));
      assert.deepEqual(recorder.ids, [`${round}-new`]);
      assert.lengthOf(former.ids, 5, 'the former owner is told nothing more');
      await second.close();
    }
  });

  it('gives a new owner nothing of the former while that is flooded', async () => {
    const { broker, peer } = current();
    const publisher = await peer();
    let isOver = false;
    let flooded = 0;
    const flood = async () => {
      while (!isOver) {
        await Promise.all(range(20).map(() => publish(publisher, 'flooded', `f-${flooded++}`)));
      }
    };
    const flooding = flood();
    for (const round of range(40)) {
      const first = await broker.sessionQueues.open(plain, new Recorder());
      await first.bind(keyOf('flooded'));
      await eventually(() => assert.isAbove(flooded, round * 20));
      const closing = first.close();
      if (round % 2 === 0) await closing;
      const seen: Delivery[] = [];
      const recorder = new Recorder((delivery) => {
        seen.push(delivery);
        second.ack(delivery);
      });
      const second = await broker.sessionQueues.open(plain, recorder);
      if (round % 4 < 2) {
        await second.bind(keyOf(`quiet-${round}`));
        await publish(publisher, `quiet-${round}`, 'quiet');
        await eventually(() => assert.include(recorder.ids, 'quiet'));
        assert.deepEqual(recorder.ids, ['quiet']);
      } else {
        // What was published before it asked for the channel has a lower number.
        const before = flooded - 20;
        await second.bind(keyOf('flooded'));
        await eventually(() => assert.isAtLeast(seen.length, 1));
        const first = Number(seen[0]?.id.slice(2));
        assert.isAtLeast(first, before - 20, `${first} was published long before ${before}`);
      }
      await closing;
      await second.close();
    }
    isOver = true;
    await flooding;
  });

  it('never takes a call of a former owner for one of the new', async () => {
    const { broker } = current();
    const former = new Recorder();
    const first = await broker.sessionQueues.open(plain, former);
    await first.bind(keyOf('room'));
    for (const n of range(5)) await publish(broker, 'room', String(n));
    await eventually(() => assert.lengthOf(former.ids, 5));
    await first.close();
    await roundTrips(broker);
    const recorder = new Recorder();
    const second = await broker.sessionQueues.open(plain, recorder);
    await second.bind(keyOf('room'));
    for (const n of range(10)) await publish(broker, 'room', `new-${n}`);
    await eventually(() => assert.lengthOf(recorder.ids, 5));
    for (const { tag, epoch } of former.deliveries) first.ack({ tag, epoch });
    for (const { tag } of recorder.deliveries) {
      first.ack({ tag, epoch: recorder.deliveries[0]?.epoch ?? 0 });
      for (const { epoch } of former.deliveries) second.ack({ tag, epoch });
    }
    await first.unbind(keyOf('room'));
    await first.close();
    assert.equal((await rejectionOf(first.bind(keyOf('other')))).code, 'closed');
    await roundTrips(broker);
    assert.lengthOf(recorder.ids, 5, 'nothing was acknowledged');
    for (const delivery of [...recorder.deliveries]) second.ack(delivery);
    await eventually(() =>
      assert.deepEqual(
        recorder.ids,
        range(10).map((n) => `new-${n}`),
      ),
    );
    await second.close();
  });

  it('serves the next owner as well where the connection is lost in between', async () => {
    const { broker, peer, interrupt } = current();
    const publisher = await peer();
    const first = await broker.sessionQueues.open(plain, new Recorder());
    await first.bind(keyOf('room'));
    await first.close();
    await roundTrips(broker);
    await interrupt();
    await eventually(() => assert.isFalse(broker.status().ready));
    await eventually(() => assert.isTrue(broker.status().ready));
    const recorder = new Recorder();
    const second = await broker.sessionQueues.open(plain, recorder);
    await second.bind(keyOf('room'));
    await publish(publisher, 'room', '1');
    await eventually(() => assert.deepEqual(recorder.calls, ['1']));
    await second.close();
  });

  it('closes many queues at once, and leaves nothing bound', async () => {
    const { broker, peer } = current();
    const publisher = await peer();
    const sessions = await Promise.all(
      range(100).map(() => broker.sessionQueues.open(plain, new Recorder())),
    );
    await Promise.all(sessions.map((session) => session.bind(keyOf('room'))));
    await Promise.all(sessions.map((session) => session.close()));
    assert.isFalse((await publish(publisher, 'room', '1')).routed);
    const recorders = range(100).map(() => new Recorder());
    const next = await Promise.all(
      recorders.map((recorder) => broker.sessionQueues.open(plain, recorder)),
    );
    await Promise.all(next.map((session) => session.bind(keyOf('room'))));
    await publish(publisher, 'room', '2');
    for (const { calls } of recorders) await eventually(() => assert.deepEqual(calls, ['2']));
    await Promise.all(next.map((session) => session.close()));
  });
}
