/** The guarantees of `SessionQueues` on who is held up by whom, and on what a queue holds. */
import { assert } from 'chai';
import type { Broker, SessionQueue } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import { type BrokerUnderTest, keyOf, publish, Recorder, range, roundTrips } from './adapter.ts';

export function describeBackPressure(current: () => BrokerUnderTest): void {
  it('leaves at most `prefetch` deliveries unacknowledged; each acknowledgement frees one', async () => {
    const { broker } = current();
    let unacknowledged = 0;
    let most = 0;
    const recorder = new Recorder(() => {
      unacknowledged += 1;
      most = Math.max(most, unacknowledged);
    });
    const session = await openPlain(broker, { prefetch: 4, maxLength: 1_000 }, recorder, 'room');
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
    await openPlain(broker, { prefetch: 1, maxLength: 10 }, slow, 'room');
    const quick = new Recorder((delivery) => session.ack(delivery));
    const session = await openPlain(broker, { prefetch: 1, maxLength: 1_000 }, quick, 'room');
    const ids = range(200).map(String);
    for (const id of ids) await publish(broker, 'room', id);
    await eventually(() => assert.deepEqual(quick.ids, ids));
    assert.deepEqual(slow.ids, ['0']);
  });

  it('drops the oldest waiting messages beyond `maxLength`, never what is in hand', async () => {
    const { broker } = current();
    const recorder = new Recorder();
    const session = await openPlain(broker, { prefetch: 3, maxLength: 10 }, recorder, 'room');
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

export async function openPlain(
  broker: Broker,
  bounds: { readonly prefetch: number; readonly maxLength: number },
  recorder: Recorder,
  channel: string,
): Promise<SessionQueue> {
  const session = await broker.sessionQueues.open({ kind: 'plain', ...bounds }, recorder);
  await session.bind(keyOf(channel));
  return session;
}
