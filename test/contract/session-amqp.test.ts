/** Sessions on a RabbitMQ that restarts, on a network that breaks, and beside other software. */
import type { Channel, ChannelModel } from 'amqplib';
import { assert } from 'chai';
import { type AmqpOptions, connectAmqp } from '../../broker/amqp/broker.ts';
import { sessionQueueName, topologyNames } from '../../contracts/topology.ts';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { eventually } from '../support/eventually.ts';
import { type PrivateBroker, startPrivateBroker } from '../support/private-broker.ts';
import { keyOf, publish, Recorder, range, roundTrips, sessionSpecs } from './adapter.ts';
import { type AmqpUnderTest, createUnderTest } from './amqp-under-test.ts';

let current: AmqpUnderTest | undefined;

async function create(options: Partial<AmqpOptions> = {}): Promise<AmqpUnderTest> {
  current = await createUnderTest(options);
  return current;
}

const newSession = sessionSpecs(() => {
  if (current === undefined) throw new Error('only within a test');
  return current;
});

/** Counts the calls of a method of every channel, by queue, until `stop`. */
async function watch(admin: ChannelModel, method: 'assertQueue' | 'deleteQueue') {
  const channel = await admin.createChannel();
  const prototype = Object.getPrototypeOf(channel) as Channel;
  await channel.close();
  const original = prototype[method] as (...args: unknown[]) => Promise<unknown>;
  const queues: string[] = [];
  const counting = function (this: Channel, ...args: unknown[]) {
    queues.push(String(args[0]));
    return original.apply(this, args);
  };
  Object.assign(prototype, { [method]: counting });
  return { queues, stop: () => void Object.assign(prototype, { [method]: original }) };
}

describe('sessions of the AMQP adapter', function () {
  this.timeout(30_000);

  afterEach(async () => {
    await current?.dispose();
    current = undefined;
  });

  it('tells of an overflow that its owner died with, whatever it had acknowledged', async () => {
    for (const acknowledged of [0, 3, 5, 10]) {
      const under = await create();
      const other = await under.peer();
      const spec = newSession({ prefetch: 10, maxLength: 20 });
      const before = new Recorder();
      const first = await under.broker.sessionQueues.open(spec, before);
      await first.bind(keyOf('room'));
      for (const n of range(100)) await publish(other, 'room', String(n));
      await eventually(() => assert.lengthOf(before.ids, 10));
      for (const delivery of before.deliveries.slice(0, acknowledged)) first.ack(delivery);
      await under.cutOff();
      const recorder = new Recorder();
      const second = await other.sessionQueues.open(spec, recorder);
      if (second.resumed) {
        await eventually(() => assert.deepEqual(recorder.calls, ['lost overflow']));
      }
      await second.close();
      await under.dispose();
      current = undefined;
    }
  });

  it('waits for an owner whose connection is half open, and then gets all in order', async () => {
    const under = await create({ heartbeatSeconds: 1 });
    const other = await under.peer();
    const spec = newSession({ prefetch: 3 });
    const before = new Recorder();
    const first = await under.broker.sessionQueues.open(spec, before);
    await first.bind(keyOf('room'));
    for (const n of range(5)) await publish(other, 'room', String(n));
    await eventually(() => assert.lengthOf(before.ids, 3));
    under.proxy.setMode('blackhole');
    const recorder = new Recorder();
    const opening = other.sessionQueues.open({ ...spec, prefetch: 100 }, recorder);
    await roundTrips(other);
    assert.deepEqual(recorder.calls, [], 'it is still the other one’s');
    const second = await opening;
    await eventually(() => assert.deepEqual(recorder.calls, range(5).map(String)));
    await second.close();
    under.proxy.cut();
  });

  it('is opened by one of several that want to make it at the same time', async () => {
    const under = await create();
    const edges = [under.broker, await under.peer(), await under.peer()];
    const spec = newSession();
    const recorders = edges.map(() => new Recorder());
    const openings = edges.map(async (edge, n) => {
      const session = await edge.sessionQueues.open(spec, recorders[n] ?? new Recorder());
      await session.bind(keyOf('room'));
      await publish(edge, 'room', String(n));
      await eventually(() => assert.include(recorders[n]?.ids ?? [], String(n)));
      await session.park();
    });
    await Promise.all(openings);
    assert.isEmpty(recorders.flatMap(({ notices }) => notices));
    const recorder = new Recorder();
    const last = await under.broker.sessionQueues.open(spec, recorder);
    await eventually(() => assert.lengthOf(recorder.calls, 3));
    await last.close();
  });

  it('takes a queue that somebody died making for lost', async () => {
    const { broker, admin, names } = await create();
    const spec = newSession();
    const channel = await admin.createChannel();
    await channel.assertQueue(sessionQueueName(names, spec.key), {
      durable: true,
      arguments: {
        'x-expires': spec.windowMs,
        'x-max-length': 1_005,
        'x-overflow': 'drop-head',
        'x-single-active-consumer': true,
      },
    });
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    assert.isTrue(session.resumed);
    await eventually(() => assert.deepEqual(recorder.calls, ['lost unknown']));
    await session.close();
  });

  it('takes nothing that comes through an exchange for a message of its own', async () => {
    const { broker, admin, names } = await create();
    const spec = newSession({ prefetch: 5, maxLength: 20 });
    const first = await broker.sessionQueues.open(spec, new Recorder());
    await first.bind(keyOf('room'));
    await first.park();
    const channel = await admin.createConfirmChannel();
    for (const type of [
      'warren.marker',
      'warren.birth',
      'warren.birth-end',
      'warren.lost',
      'warren.note',
    ]) {
      for (const _ of range(15))
        channel.publish(names.channels, keyOf('room'), Buffer.from('x'), { type });
    }
    await channel.waitForConfirms();
    const recorder = new Recorder();
    const second = await broker.sessionQueues.open(spec, recorder);
    await eventually(() => assert.deepEqual(recorder.calls, ['lost overflow']));
    await second.bind(keyOf('room'));
    channel.publish(names.channels, keyOf('room'), Buffer.from('x'), {
      type: 'warren.note',
      messageId: 'forged',
    });
    await eventually(() => assert.deepEqual(recorder.calls, ['lost overflow', 'forged']));
    await second.close();
  });

  it('is made anew, with its bindings and a notice, where somebody deletes its queue', async () => {
    const { broker, admin, names } = await create();
    const spec = newSession();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    await session.bind(keyOf('room'));
    await (await admin.createChannel()).deleteQueue(sessionQueueName(names, spec.key));
    await eventually(() =>
      assert.deepEqual(recorder.calls, ['interrupted', 'restored', 'lost unknown']),
    );
    await publish(broker, 'room', 'after');
    await eventually(() => assert.equal(recorder.calls.at(-1), 'after'));
    await session.close();
  });

  it('resumes without a notice after the one that its queue was made anew with, once that is acknowledged', async () => {
    const { broker, admin, names } = await create();
    const spec = newSession();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(spec, recorder);
    await session.note('noted');
    await (await admin.createChannel()).deleteQueue(sessionQueueName(names, spec.key));
    await eventually(() => assert.lengthOf(recorder.notices, 1));
    for (const notice of recorder.notices) session.ack(notice);
    await session.bind(keyOf('room'));
    await session.park();
    await publish(broker, 'room', 'after');
    const next = new Recorder();
    const heir = await broker.sessionQueues.open(spec, next);
    await eventually(() => assert.deepEqual(next.calls, ['noted noted', 'after']));
    await heir.close();
  });

  it('renews its channel before the broker loses patience: quietly, or else by force', async () => {
    const { broker } = await create({ renewSessionsAfterMs: 300 });
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(newSession(), recorder);
    await session.bind(keyOf('room'));
    await eventually(() => assert.deepEqual(recorder.calls, ['interrupted', 'restored']));
    await publish(broker, 'room', 'held');
    await eventually(() => assert.isAtLeast(recorder.ids.filter((id) => id === 'held').length, 2));
    const between = recorder.calls.slice(recorder.calls.indexOf('held'));
    assert.deepEqual(between.slice(0, 4), ['held', 'interrupted', 'restored', 'held']);
    assert.isEmpty(recorder.notices);
    await session.close();
  });

  it('gives a closed plain queue to the next owner, and deletes one that nobody wants for long', async () => {
    const idle: (() => void)[] = [];
    const clock: Clock = {
      ...systemClock,
      after(delayMs, call) {
        if (delayMs !== 30_000) return systemClock.after(delayMs, call);
        idle.push(call);
        return () => void idle.splice(idle.indexOf(call), 1);
      },
    };
    const { broker, admin } = await create({ clock });
    const declared = await watch(admin, 'assertQueue');
    const deleted = await watch(admin, 'deleteQueue');
    try {
      const spec = { kind: 'plain', prefetch: 7, maxLength: 70 } as const;
      for (const _ of range(5)) {
        const session = await broker.sessionQueues.open(spec, new Recorder());
        await session.bind(keyOf('room'));
        await session.close();
        await eventually(() => assert.lengthOf(idle, 1));
      }
      assert.lengthOf(declared.queues, 1);
      const wider = await broker.sessionQueues.open({ ...spec, maxLength: 71 }, new Recorder());
      assert.lengthOf(declared.queues, 2, 'a queue of another length is another queue');
      await wider.close();
      await eventually(() => assert.lengthOf(idle, 2));
      assert.isEmpty(deleted.queues);
      for (const expire of [...idle]) expire();
      await eventually(() => assert.sameMembers(deleted.queues, declared.queues));
      const again = await broker.sessionQueues.open(spec, new Recorder());
      assert.lengthOf(declared.queues, 3);
      await again.close();
    } finally {
      declared.stop();
      deleted.stop();
    }
  });

  describe('over a restart of the broker', function () {
    this.timeout(120_000);
    let own: PrivateBroker | undefined;

    after(async () => {
      await own?.remove();
    });

    it('tells every session, parked or held', async function () {
      const started = await startPrivateBroker();
      if (typeof started === 'string') {
        this.skip();
        return;
      }
      own = started;
      const names = topologyNames();
      const connect = async () => {
        const broker = connectAmqp({
          urls: [started.url],
          names,
          clock: systemClock,
          log: createLog('silent'),
          heartbeatSeconds: 5,
          confirmTimeoutMs: 5_000,
          backoff: { minimumMs: 50, maximumMs: 500 },
        });
        await eventually(() => assert.isTrue(broker.status().ready), 30_000);
        return broker;
      };
      const broker = await connect();
      const spec = (key: string) =>
        ({
          kind: 'continuity',
          key: key.padEnd(22, '-'),
          prefetch: 5,
          maxLength: 50,
          windowMs: 120_000,
        }) as const;
      const recorder = new Recorder();
      const held = await broker.sessionQueues.open(spec('held'), recorder);
      for (const key of ['parked', 'empty']) {
        const session = await broker.sessionQueues.open(spec(key), new Recorder());
        await session.bind(keyOf(key));
        await session.park();
      }
      await held.bind(keyOf('room'));
      await publish(broker, 'room', 'before');
      await publish(broker, 'parked', 'gone');
      await eventually(() => assert.deepEqual(recorder.calls, ['before']));
      await started.down();
      await started.up();
      await eventually(
        () => assert.deepEqual(recorder.calls.slice(-2), ['restored', 'lost unknown']),
        30_000,
      );
      await eventually(() => assert.isTrue(broker.status().ready), 30_000);
      await publish(broker, 'parked', 'afterwards');
      for (const key of ['parked', 'empty']) {
        const found = new Recorder();
        const session = await broker.sessionQueues.open(spec(key), found);
        assert.isTrue(session.resumed);
        await eventually(() => assert.deepEqual(found.calls, ['lost unknown'], key));
        await session.close();
      }
      await publish(broker, 'room', 'after');
      await eventually(() => assert.equal(recorder.calls.at(-1), 'after'));
      await broker.close();
    });
  });
});
