/** The guarantees of `EdgeQueues`, one test for each sentence. */
import { assert } from 'chai';
import type { Broker } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerAdapter,
  edgeId,
  keyOf,
  pseudoRandom,
  publication,
  Recorder,
  range,
  rejectionOf,
  roundTrips,
  useBroker,
} from './adapter.ts';

const spec = { edgeId: edgeId('edge-a'), maxLength: 10_000 };

export function describeEdgeQueues(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: EdgeQueues`, () => {
    const current = useBroker(adapter);

    it('delivers in order what is published once `bind` has resolved, without acknowledgements', async () => {
      const { broker, peer } = current();
      const publisher = await peer();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      const ids = range(40).map(String);
      for (const id of ids) {
        await queue.bind(keyOf(`room-${id}`));
        await publish(publisher, `room-${id}`, id);
      }
      const more = range(1_000, 40).map(String);
      await Promise.all(more.map((id) => publish(publisher, 'room-0', id)));
      await eventually(() => assert.lengthOf(recorder.ids, 1_040));
      assert.deepEqual(recorder.ids, [...ids, ...more]);
    });

    it('keeps several queues of one edge apart', async () => {
      const { broker } = current();
      const recorders = [new Recorder(), new Recorder()] as const;
      const one = await broker.edgeQueues.open(spec, recorders[0]);
      const two = await broker.edgeQueues.open(spec, recorders[1]);
      await one.bind(keyOf('a'));
      await two.bind(keyOf('a'));
      await two.bind(keyOf('b'));
      await publish(broker, 'a', 'both');
      await eventually(() => assert.deepEqual(recorders[0].ids, ['both']));
      await one.close();
      await publish(broker, 'b', 'second');
      await eventually(() => assert.deepEqual(recorders[1].ids, ['both', 'second']));
      assert.deepEqual(recorders[0].ids, ['both']);
    });

    it('delivers nothing that is published once the last `unbind` has resolved', async () => {
      const { broker } = current();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      await queue.bind(keyOf('a'));
      await queue.bind(keyOf('b'));
      await queue.unbind(keyOf('a'));
      await publish(broker, 'a', 'after');
      await publish(broker, 'b', 'sentinel');
      await eventually(() => assert.deepEqual(recorder.ids, ['sentinel']));
    });

    it('counts bindings: a key stays bound until each `bind` had its `unbind`', async () => {
      const { broker } = current();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      const key = keyOf('room');
      await Promise.all([queue.bind(key), queue.bind(key)]);
      await queue.bind(key);
      await queue.bind(keyOf('sentinel'));
      for (const left of [2, 1]) {
        await queue.unbind(key);
        await publish(broker, 'room', `${left} left`);
      }
      await queue.unbind(key);
      await publish(broker, 'room', 'none left');
      await publish(broker, 'sentinel', 'sentinel');
      await eventually(() => assert.deepEqual(recorder.ids, ['2 left', '1 left', 'sentinel']));
    });

    it('takes an `unbind` too many calmly: the next `bind` binds', async () => {
      const { broker } = current();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      await queue.unbind(keyOf('room'));
      await queue.bind(keyOf('room'));
      await publish(broker, 'room', '1');
      await eventually(() => assert.deepEqual(recorder.ids, ['1']));
    });

    it('ends in the right state, however `bind` and `unbind` interleave', async () => {
      const { broker } = current();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      await queue.bind(keyOf('sentinel'));
      await interleave(broker, queue, recorder, async () => undefined);
    });

    it('ends in the right state, even where the connection is lost in the midst of it', async () => {
      const { broker, interrupt } = current();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      await queue.bind(keyOf('sentinel'));
      await interleave(broker, queue, recorder, async (round) => {
        if (round % 3 !== 1) return;
        const restorations = recorder.restorations;
        await interrupt();
        await eventually(() => assert.isAbove(recorder.restorations, restorations));
        await eventually(() => assert.isTrue(broker.status().ready));
      });
    });

    it('is restored after a loss of the connection, with the same bindings and their counts', async () => {
      const { broker, peer, interrupt } = current();
      const publisher = await peer();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      for (const channel of ['twice', 'twice', 'once', 'sentinel'])
        await queue.bind(keyOf(channel));
      await interrupt();
      await eventually(() => assert.equal(recorder.restorations, 1));
      assert.equal(recorder.interruptions, 1);
      await queue.unbind(keyOf('twice'));
      await queue.unbind(keyOf('once'));
      for (const channel of ['once', 'twice', 'sentinel'])
        await publish(publisher, channel, channel);
      await eventually(() => assert.deepEqual(recorder.ids, ['twice', 'sentinel']));
    });

    it('loses only what is published before it is restored', async () => {
      const { broker, peer, interrupt } = current();
      const publisher = await peer();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      await queue.bind(keyOf('room'));
      let published = 0;
      for (const times of range(3, 1)) {
        await interrupt();
        await eventually(() => assert.equal(recorder.restorations, times));
        const ids = range(20, published).map(String);
        published += 20;
        for (const id of ids) await publish(publisher, 'room', id);
        await eventually(() => assert.equal(recorder.ids.at(-1), ids.at(-1)));
      }
      assert.deepEqual(recorder.ids, range(60).map(String));
    });

    it('binds what is bound while the broker is away, and resolves when the broker routes it', async () => {
      const { broker, peer, cutOff, reconnect } = current();
      const publisher = await peer();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      await queue.bind(keyOf('gone'));
      await cutOff();
      await eventually(() => assert.equal(recorder.interruptions, 1));
      let bound = false;
      const binding = queue.bind(keyOf('room')).then(() => {
        bound = true;
      });
      await queue.unbind(keyOf('gone'));
      assert.isFalse(bound, 'no broker, no binding');
      await reconnect();
      await binding;
      for (const channel of ['gone', 'room']) await publish(publisher, channel, channel);
      await eventually(() => assert.deepEqual(recorder.ids, ['room']));
    });

    it('keeps the queues of several edges apart, and each gets every publication once', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const recorders = [new Recorder(), new Recorder()] as const;
      const first = await broker.edgeQueues.open(spec, recorders[0]);
      const second = await other.edgeQueues.open(
        { ...spec, edgeId: edgeId('edge-b') },
        recorders[1],
      );
      await first.bind(keyOf('room'));
      await second.bind(keyOf('room'));
      const ids = range(100).map(String);
      for (const id of ids) await publish(broker, 'room', id);
      for (const recorder of recorders) {
        await eventually(() => assert.deepEqual(recorder.ids, ids));
      }
      await first.close();
      await publish(other, 'room', 'last');
      await eventually(() => assert.equal(recorders[1].ids.at(-1), 'last'));
      assert.deepEqual(recorders[0].ids, ids);
    });

    it('removes the queue on `close`, and rejects `bind` with closed from then on', async () => {
      const { broker } = current();
      const queue = await broker.edgeQueues.open(spec, new Recorder());
      await queue.bind(keyOf('room'));
      await queue.close();
      await queue.close();
      assert.isFalse((await publish(broker, 'room', '1')).routed);
      assert.equal((await rejectionOf(queue.bind(keyOf('room')))).code, 'closed');
      await queue.unbind(keyOf('room'));
    });

    it('does not come back once it is closed', async () => {
      const { broker, peer, cutOff, reconnect } = current();
      const publisher = await peer();
      const recorder = new Recorder();
      const queue = await broker.edgeQueues.open(spec, recorder);
      await queue.bind(keyOf('room'));
      await cutOff();
      await eventually(() => assert.equal(recorder.interruptions, 1));
      const waiting = rejectionOf(queue.bind(keyOf('other')));
      await queue.close();
      assert.equal((await waiting).code, 'closed');
      await reconnect();
      await eventually(() => assert.isTrue(broker.status().ready));
      await roundTrips(broker);
      assert.isFalse((await publish(publisher, 'room', '1')).routed);
      assert.equal(recorder.restorations, 0);
    });
  });
}

/** Rounds of calls that do not wait for each other; after each round the bound keys are those with a count above zero. */
async function interleave(
  broker: Broker,
  queue: { bind(key: ReturnType<typeof keyOf>): Promise<void>; unbind: typeof queue.bind },
  recorder: Recorder,
  midst: (round: number) => Promise<void>,
): Promise<void> {
  const random = pseudoRandom(7);
  const channels = range(6).map((n) => `room-${n}`);
  const counts = new Map(channels.map((channel) => [channel, 0]));
  const calls: Promise<void>[] = [];
  const call = (channel: string) => {
    const count = counts.get(channel) ?? 0;
    // Unbinds more often than it binds, so that zero is met again and again.
    if (count > 0 && random(5) < 3) {
      counts.set(channel, count - 1);
      calls.push(queue.unbind(keyOf(channel)));
    } else {
      counts.set(channel, count + 1);
      calls.push(queue.bind(keyOf(channel)));
    }
  };
  for (const round of range(9)) {
    for (const _ of range(30)) call(channels[random(channels.length)] ?? 'room-0');
    await midst(round);
    for (const _ of range(30)) call(channels[random(channels.length)] ?? 'room-0');
    await Promise.all(calls.splice(0));
    recorder.deliveries.length = 0;
    for (const channel of channels) await publish(broker, channel, channel);
    await publish(broker, 'sentinel', 'sentinel');
    await eventually(() => assert.include(recorder.ids, 'sentinel'));
    const bound = channels.filter((channel) => (counts.get(channel) ?? 0) > 0);
    assert.deepEqual(recorder.ids, [...bound, 'sentinel'], `round ${round}`);
  }
}

function publish(broker: Broker, channel: string, id: string) {
  return broker.channelPublisher.publish(publication(channel, id));
}
