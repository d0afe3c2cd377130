/** What the embedded broker has beyond the port: its bounds, and the switches that simulate a broker in trouble. */
import { assert } from 'chai';
import { createMemoryBroker, type MemoryBrokerOptions } from '../../broker/memory/broker.ts';
import { type Outcome, webhookLifetimeMs } from '../../broker/port.ts';
import { systemClock } from '../../runtime/clock.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';
import {
  edgeId,
  keyOf,
  publication,
  Recorder,
  range,
  rejectionOf,
  silentMember,
} from './adapter.ts';

const plain = { kind: 'plain', prefetch: 10, maxLength: 100 } as const;
const nothing = { queues: 0, bindings: 0, consumers: 0 };

function create(options: Partial<MemoryBrokerOptions> = {}) {
  return createMemoryBroker({ clock: systemClock, ...options });
}

function continuity(key: string, windowMs = 60_000) {
  return {
    kind: 'continuity',
    key: key.padEnd(22, '-'),
    prefetch: 10,
    maxLength: 100,
    windowMs,
  } as const;
}

function event(n: number) {
  return { routingKey: 'event', body: Buffer.from(String(n)) };
}

describe('createMemoryBroker', () => {
  it('delivers nothing within the call that publishes it', async () => {
    const broker = create();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.bind(keyOf('room'));
    const published = broker.channelPublisher.publish(publication('room', '1'));
    assert.isEmpty(recorder.ids);
    await published;
    assert.deepEqual(recorder.ids, ['1'], 'with the confirm at the latest, where there is room');
    await broker.close();
  });

  it('counts what its users left behind, and nothing once they are gone', async () => {
    const broker = create();
    assert.deepEqual(broker.counts(), nothing);
    const peer = broker.peer();
    const session = await broker.sessionQueues.open(plain, new Recorder());
    await session.bind(keyOf('a'));
    await session.bind(keyOf('b'));
    const queue = await peer.edgeQueues.open(
      { edgeId: edgeId('edge-a'), maxLength: 10 },
      new Recorder(),
    );
    await queue.bind(keyOf('a'));
    await peer.edgeBus.join(edgeId('edge-a'), silentMember);
    await peer.sessionQueues.open(continuity('session'), new Recorder());
    await peer.domainEvents.consume({ patterns: ['#'], prefetch: 1, handle: never });
    assert.deepEqual(broker.counts(), { queues: 4, bindings: 5, consumers: 5 });
    await session.close();
    assert.deepEqual(broker.counts(), { queues: 3, bindings: 3, consumers: 4 });
    await peer.close();
    assert.deepEqual(broker.counts(), { queues: 1, bindings: 0, consumers: 0 }, 'it is parked');
    const again = await broker.sessionQueues.open(continuity('session'), new Recorder());
    await again.close();
    assert.deepEqual(broker.counts(), nothing);
    await broker.close();
  });

  it('ends a parked session when its window does, on its clock', async () => {
    const clock = createManualClock();
    const broker = create({ clock });
    const spec = continuity('session', 1_000);
    await (await broker.sessionQueues.open(spec, new Recorder())).park();
    clock.advance(999);
    const second = await broker.sessionQueues.open(spec, new Recorder());
    assert.isTrue(second.resumed);
    clock.advance(5_000);
    assert.equal(broker.counts().queues, 1, 'its window does not run while it is held');
    await second.park();
    clock.advance(1_000);
    assert.deepEqual(broker.counts(), nothing);
    assert.equal(clock.pendingTimers, 0);
    assert.isFalse((await broker.sessionQueues.open(spec, new Recorder())).resumed);
    await broker.close();
  });

  it('drops the session that was parked first beyond its bound', async () => {
    const broker = create({ maxParkedSessions: 2 });
    for (const key of ['first', 'second', 'third']) {
      await (await broker.sessionQueues.open(continuity(key), new Recorder())).park();
    }
    assert.equal(broker.counts().queues, 2);
    const resumed = await Promise.all(
      ['second', 'third', 'first'].map(
        async (key) => (await broker.sessionQueues.open(continuity(key), new Recorder())).resumed,
      ),
    );
    assert.deepEqual(resumed, [true, true, false]);
    await broker.close();
  });

  it('keeps the newest dead letters, up to its bound', async () => {
    const broker = create({ maxDeadLetters: 3 });
    let handled = 0;
    await broker.domainEvents.consume({
      patterns: ['#'],
      prefetch: 10,
      async handle() {
        handled += 1;
        return { kind: 'dead-letter', refusal: { code: 'invalid_json', text: 'no' } };
      },
    });
    for (const n of range(5)) await broker.domainEvents.publish(event(n));
    await eventually(() => assert.equal(handled, 5));
    const letters = broker.deadLetters().map((letter) => letter.event.body.toString('utf8'));
    assert.deepEqual(letters, ['2', '3', '4']);
    await broker.close();
  });

  it('keeps the newest cached publications, up to its bound in bytes and a day, on its clock', async () => {
    const clock = createManualClock();
    const size = publication('room', '0').body.length;
    const broker = create({ clock, maxCachedBytes: 3 * size });
    const kept = async () => {
      const ids: string[] = [];
      const following = await broker.publicationCache.follow({
        published: ({ id }) => ids.push(id),
      });
      await following.close();
      return ids;
    };
    for (const n of range(4)) {
      await broker.channelPublisher.publish(publication('room', String(n), { cached: true }));
      clock.advance(1_000);
    }
    assert.deepEqual(await kept(), ['1', '2', '3']);
    clock.advance(24 * 60 * 60_000 - 3_000);
    assert.deepEqual(await kept(), ['1', '2', '3']);
    clock.advance(1);
    assert.deepEqual(await kept(), ['2', '3']);
    clock.advance(2_000);
    assert.isEmpty(await kept());
    assert.deepEqual(broker.counts(), nothing);
    await broker.close();
  });

  it('goes on with what is kept where a follower was away for longer than that', async () => {
    const broker = create({ maxCachedBytes: 2 * publication('room', '0').body.length });
    const ids: string[] = [];
    const peer = broker.peer();
    const following = await broker.publicationCache.follow({ published: ({ id }) => ids.push(id) });
    broker.setReachable(false);
    for (const n of range(5)) {
      await peer.channelPublisher.publish(publication('room', String(n), { cached: true }));
    }
    broker.setReachable(true);
    await following.caughtUp();
    assert.deepEqual(ids, ['3', '4']);
    await broker.close();
    await peer.close();
  });

  it('keeps cached publications, reports and their dead letters in an outage', async () => {
    const clock = createManualClock();
    const broker = create({ clock });
    const ids: string[] = [];
    const follow = () => broker.publicationCache.follow({ published: ({ id }) => ids.push(id) });
    await follow();
    await broker.channelPublisher.publish(publication('room', '1', { cached: true }));
    await broker.webhookQueues.publish('given-up', Buffer.from('0'));
    clock.advance(webhookLifetimeMs);
    await broker.webhookQueues.publish('target', Buffer.from('1'));
    broker.setOutage(true);
    const error = await rejectionOf(broker.webhookQueues.publish('target', Buffer.from('2')));
    assert.equal(error.code, 'broker_unavailable');
    broker.setOutage(false);
    await (await follow()).close();
    assert.deepEqual(ids, ['1', '1']);
    const bodies: string[] = [];
    await broker.webhookQueues.consume({
      target: 'target',
      prefetch: 1,
      async handle({ body }) {
        bodies.push(body.toString('utf8'));
        return { kind: 'done' };
      },
    });
    await eventually(() => assert.deepEqual(bodies, ['1']));
    assert.deepEqual(
      broker.webhookDeadLetters().map(({ target, reason }) => [target, reason]),
      [['given-up', 'expired']],
    );
    await broker.close();
    assert.deepEqual(broker.counts(), nothing);
  });

  it('keeps the newest dead letters of webhooks, up to its bound, and no timer once nothing waits', async () => {
    const clock = createManualClock();
    const broker = create({ clock, maxDeadLetters: 3, webhookLifetimeMs: 1_000 });
    for (const n of range(5)) {
      await broker.webhookQueues.publish('target', Buffer.from(String(n)));
      clock.advance(100);
    }
    clock.advance(599);
    assert.deepEqual(
      broker.webhookDeadLetters().map(({ body }) => body.toString('utf8')),
      ['0'],
    );
    clock.advance(1_000);
    assert.deepEqual(
      broker.webhookDeadLetters().map(({ body }) => body.toString('utf8')),
      ['2', '3', '4'],
    );
    assert.equal(clock.pendingTimers, 0);
    await broker.close();
  });

  it('hands reports to a consumer whose queue was empty while it was away', async () => {
    const broker = create();
    const peer = broker.peer();
    const bodies: string[] = [];
    await broker.webhookQueues.consume({
      target: 'target',
      prefetch: 1,
      async handle({ body }) {
        bodies.push(body.toString('utf8'));
        return { kind: 'done' };
      },
    });
    broker.setReachable(false);
    await peer.webhookQueues.publish('target', Buffer.from('1'));
    broker.setReachable(true);
    await eventually(() => assert.deepEqual(bodies, ['1']));
    await broker.close();
    await peer.close();
  });

  it('refuses domain events beyond its bound, and takes them again when there is room', async () => {
    const broker = create({ maxDomainEvents: 3 });
    const handled: string[] = [];
    const options = {
      patterns: ['#'],
      prefetch: 10,
      async handle({ body }: { readonly body: Buffer }): Promise<Outcome> {
        handled.push(body.toString('utf8'));
        return { kind: 'done' };
      },
    };
    await (await broker.domainEvents.consume(options)).stop(0);
    for (const n of range(3)) await broker.domainEvents.publish(event(n));
    const error = await rejectionOf(broker.domainEvents.publish(event(3)));
    assert.equal(error.code, 'broker_refused');
    await broker.domainEvents.consume(options);
    await eventually(() => assert.deepEqual(handled, ['0', '1', '2']));
    await broker.domainEvents.publish(event(4));
    await eventually(() => assert.deepEqual(handled, ['0', '1', '2', '4']));
    await broker.close();
  });

  it('refuses publications beyond the bound on unconfirmed ones', async () => {
    const broker = create({ maxUnconfirmed: 5 });
    const calls = range(6).map((n) =>
      broker.channelPublisher.publish(publication('room', String(n))),
    );
    assert.equal((await rejectionOf(Promise.all(calls))).code, 'broker_busy');
    assert.lengthOf(await Promise.all(calls.slice(0, 5)), 5);
    await broker.close();
  });

  it('rejects what is unconfirmed when the connection breaks', async () => {
    const broker = create();
    const calls = range(5).map(() =>
      rejectionOf(broker.channelPublisher.publish(publication('room', '1'))),
    );
    broker.interrupt();
    for (const { code } of await Promise.all(calls)) assert.equal(code, 'broker_unavailable');
    await eventually(() => assert.isTrue(broker.status().ready));
    const last = broker.channelPublisher.publish(publication('room', '2'));
    await broker.close();
    assert.equal((await rejectionOf(last)).code, 'broker_unavailable');
  });

  it('takes every connection down in an outage, and loses all but domain events and dead letters', async () => {
    const broker = create();
    const peer = broker.peer();
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open(plain, recorder);
    await session.bind(keyOf('room'));
    const held = new Recorder();
    const owner = await peer.sessionQueues.open(continuity('held'), held);
    await owner.bind(keyOf('room'));
    await (await peer.sessionQueues.open(continuity('parked'), new Recorder())).park();
    const handled: number[] = [];
    const consume = () =>
      peer.domainEvents.consume({
        patterns: ['#'],
        prefetch: 10,
        async handle({ body }) {
          handled.push(Number(body.toString('utf8')));
          return { kind: 'done' };
        },
      });
    await (await consume()).stop(0);
    await broker.domainEvents.publish(event(1));
    await broker.channelPublisher.publish(publication('room', 'before'));

    broker.setOutage(true);
    for (const each of [broker, peer]) {
      assert.isFalse(each.status().ready);
      const error = await rejectionOf(each.channelPublisher.publish(publication('room', 'no')));
      assert.equal(error.code, 'broker_unavailable');
      assert.equal(
        (await rejectionOf(each.domainEvents.publish(event(2)))).code,
        'broker_unavailable',
      );
    }
    assert.deepEqual([recorder.interruptions, held.interruptions], [1, 1]);
    assert.deepEqual(broker.counts(), nothing);

    broker.setOutage(false);
    assert.deepEqual([recorder.restorations, held.restorations], [1, 1]);
    await consume();
    await peer.channelPublisher.publish(publication('room', 'after'));
    await eventually(() => assert.deepEqual(handled, [1]));
    for (const { ids } of [recorder, held]) assert.deepEqual(ids, ['before', 'after']);
    assert.deepEqual(held.calls, ['before', 'interrupted', 'restored', 'lost unknown', 'after']);
    const parked = await broker.sessionQueues.open(continuity('parked'), new Recorder());
    assert.isFalse(parked.resumed, 'the loss is told');
    await broker.close();
    await peer.close();
  });

  it('refuses publishers under a memory alarm, while consumers and bindings go on', async () => {
    const broker = create();
    const ready: boolean[] = [];
    broker.onStatus((status) => ready.push(status.ready));
    const recorder = new Recorder();
    const session = await broker.sessionQueues.open({ ...plain, prefetch: 1 }, recorder);
    await session.bind(keyOf('room'));
    await broker.channelPublisher.publish(publication('room', '1'));
    await broker.channelPublisher.publish(publication('room', '2'));
    broker.setMemoryAlarm(true);
    assert.match(broker.status().reason ?? '', /memory alarm/);
    const error = await rejectionOf(broker.channelPublisher.publish(publication('room', '3')));
    assert.equal(error.code, 'broker_unavailable');
    const [first] = recorder.deliveries;
    if (first !== undefined) session.ack(first);
    await eventually(() => assert.deepEqual(recorder.ids, ['1', '2']));
    await session.bind(keyOf('other'));
    broker.setMemoryAlarm(false);
    await broker.channelPublisher.publish(publication('other', '4'));
    assert.deepEqual(ready, [false, true]);
    assert.equal(recorder.interruptions, 0);
    await broker.close();
  });

  it('keeps an event that it cannot dead-letter under a memory alarm, until the alarm is over', async () => {
    const clock = createManualClock();
    const broker = create({ clock });
    let handled = 0;
    await broker.domainEvents.consume({
      patterns: ['#'],
      prefetch: 10,
      async handle() {
        handled += 1;
        broker.setMemoryAlarm(handled === 1);
        return { kind: 'dead-letter', refusal: { code: 'invalid_json', text: 'no' } };
      },
    });
    await broker.domainEvents.publish(event(1)).catch(() => undefined);
    await eventually(() => assert.equal(handled, 1));
    await clock.advanceAsync(60_000);
    assert.equal(handled, 1, 'no attempt while it cannot succeed');
    assert.isEmpty(broker.deadLetters());
    broker.setMemoryAlarm(false);
    await eventually(() => assert.lengthOf(broker.deadLetters(), 1));
    assert.equal(handled, 2);
    await broker.close();
    assert.equal(clock.pendingTimers, 0);
  });

  it('spends less than 20 µs of CPU on a message, which is 50,000 a second', async function () {
    this.timeout(20_000);
    const broker = create({ maxUnconfirmed: 1_000 });
    let delivered = 0;
    const session = await broker.sessionQueues.open(
      { kind: 'plain', prefetch: 100, maxLength: 10_000 },
      {
        delivered(delivery) {
          delivered += 1;
          session.ack(delivery);
        },
        lost: () => undefined,
        noted: () => undefined,
        interrupted: () => undefined,
        restored: () => undefined,
      },
    );
    await session.bind(keyOf('room'));
    const message = publication('room', '1');
    const count = 100_000;
    const since = process.cpuUsage();
    for (let sent = 0; sent < count; sent += 500) {
      await Promise.all(range(500).map(() => broker.channelPublisher.publish(message)));
    }
    await eventually(() => assert.equal(delivered, count));
    // CPU time, not wall-clock time: the machine may have other work.
    const { user, system } = process.cpuUsage(since);
    assert.isBelow((user + system) / count, 20);
    await broker.close();
  });
});

function never(): Promise<never> {
  return new Promise(() => undefined);
}
