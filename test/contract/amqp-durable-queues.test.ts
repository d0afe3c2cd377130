/** The cache stream and the webhook queues on a RabbitMQ that operators, other versions and other software work on as well. */
import type { Channel, ChannelModel } from 'amqplib';
import { assert } from 'chai';
import type { AmqpOptions } from '../../broker/amqp/broker.ts';
import { cacheRoutingKey, type TopologyNames, webhookQueueName } from '../../contracts/topology.ts';
import { createLog } from '../../runtime/log.ts';
import { eventually } from '../support/eventually.ts';
import { keyOf, publication, Recorder, range, rejectionOf } from './adapter.ts';
import { type AmqpUnderTest, createUnderTest } from './amqp-under-test.ts';
import { Following, publishCached } from './publication-cache.ts';

let current: AmqpUnderTest | undefined;

async function create(
  options: Partial<AmqpOptions> = {},
  before?: (admin: ChannelModel, names: TopologyNames) => Promise<void>,
): Promise<AmqpUnderTest> {
  current = await createUnderTest(options, before);
  return current;
}

async function withChannel<T>(
  admin: ChannelModel,
  use: (channel: Channel) => Promise<T>,
): Promise<T> {
  const channel = await admin.createChannel();
  const result = await use(channel);
  await channel.close();
  return result;
}

interface Line {
  readonly level: string;
  readonly message: string;
  readonly stream?: string;
}

describe('durable queues of the AMQP adapter', function () {
  this.timeout(20_000);

  afterEach(async () => {
    await current?.dispose();
    current = undefined;
  });

  describe('the cache stream', () => {
    it('costs one message for all calls of `caughtUp` that wait at the same time', async () => {
      const { broker, admin, names } = await create();
      const following = await broker.publicationCache.follow(new Following());
      const before = await markersIn(admin, names);
      await Promise.all(range(50).map(() => following.caughtUp()));
      assert.equal((await markersIn(admin, names)) - before, 1);
      const first = following.caughtUp();
      await Promise.all(
        range(50).map(() => new Promise(setImmediate).then(() => following.caughtUp())),
      );
      await first;
      assert.equal((await markersIn(admin, names)) - before, 3, 'those who came later share one');
    });

    it('says broker_timeout where the answer takes too long', async () => {
      const { broker, proxy } = await create({ confirmTimeoutMs: 300, heartbeatSeconds: 60 });
      const following = await broker.publicationCache.follow(new Following());
      proxy.setMode('blackhole');
      assert.equal((await rejectionOf(following.caughtUp())).code, 'broker_timeout');
      proxy.cut();
    });

    it('says broker_timeout where a marker does not come back, and goes on where it was if all else comes', async () => {
      const { broker, admin, names } = await create({ confirmTimeoutMs: 500 });
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      await publishCached(broker, range(3));
      await following.caughtUp();
      await withChannel(admin, async (channel) => {
        // The marker goes astray: it is confirmed, and the stream does not get it.
        await channel.assertQueue(`${names.prefix}astray`, { exclusive: true });
        await channel.bindQueue(`${names.prefix}astray`, names.channels, cacheRoutingKey);
        await channel.unbindQueue(names.publicationCache, names.channels, cacheRoutingKey);
        const rejected = rejectionOf(following.caughtUp());
        channel.sendToQueue(names.publicationCache, Buffer.from('3'), { messageId: '3' });
        assert.equal((await rejected).code, 'broker_timeout');
        await channel.deleteQueue(`${names.prefix}astray`);
      });
      assert.deepEqual(follower.numbers, range(4));
      await eventually(() => following.caughtUp());
    });

    it('is declared anew where somebody deletes it, and read from its beginning, unasked', async () => {
      const { broker, admin, names } = await create();
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      await publishCached(broker, range(5));
      await following.caughtUp();
      await withChannel(admin, (channel) => channel.deleteQueue(names.publicationCache));
      await eventually(async () => {
        await publishCached(broker, [5]);
        assert.include(follower.numbers, 5);
      });
      await eventually(() => following.caughtUp());
    });

    it('is read from its beginning where it was made anew while the connection was away', async () => {
      const under = await create({ confirmTimeoutMs: 500 });
      const { broker, admin, names } = under;
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      await publishCached(broker, range(20));
      await following.caughtUp();
      await under.cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      await withChannel(admin, (channel) => channel.deleteQueue(names.publicationCache));
      await publishCached(await under.peer(), [20]);
      await under.reconnect();
      await eventually(() => assert.deepEqual(follower.numbers, range(21)));
      await eventually(() => following.caughtUp());
    });

    it('is bound again where somebody has unbound it', async () => {
      const { broker, admin, names } = await create();
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      await withChannel(admin, (channel) =>
        channel.unbindQueue(names.publicationCache, names.channels, cacheRoutingKey),
      );
      assert.equal((await rejectionOf(following.caughtUp())).code, 'broker_unavailable');
      await eventually(() => following.caughtUp());
      await publishCached(broker, [1]);
      await following.caughtUp();
      assert.deepEqual(follower.numbers, [1]);
    });

    it('is taken as it is where it exists with other arguments', async () => {
      const { broker } = await create({}, (admin, names) =>
        withChannel(admin, async (channel) => {
          await channel.assertQueue(names.publicationCache, {
            arguments: { 'x-queue-type': 'stream', 'x-max-age': '1h' },
          });
        }),
      );
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      await publishCached(broker, [1]);
      await following.caughtUp();
      assert.deepEqual(follower.numbers, [1]);
    });

    it('is bound by whoever publishes, so that nothing is lost before the first edge reads it', async () => {
      const under = await create();
      await publishCached(under.broker, range(3));
      await under.broker.close();
      const follower = new Following();
      await (await under.peer()).publicationCache.follow(follower);
      assert.deepEqual(follower.numbers, range(3));
    });

    for (const [obstacle, block] of [
      ['somebody else’s queue of that name', { exclusive: true, durable: false }],
      ['a queue of that name that is no stream', { durable: true }],
    ] as const) {
      it(`is waited for where ${obstacle} is in the way, with the cause in the log, and all else works`, async () => {
        const lines: Line[] = [];
        const log = createLog(
          'error',
          {},
          { write: (line) => lines.push(JSON.parse(line) as Line) },
        );
        const { broker, admin, names } = await create({ log }, (connection, { publicationCache }) =>
          withChannel(connection, async (channel) => {
            await channel.assertQueue(publicationCache, block);
          }),
        );
        const follower = new Following();
        let resolved = false;
        const following = broker.publicationCache.follow(follower).then((handle) => {
          resolved = true;
          return handle;
        });
        const line = await eventually(() => {
          const found = lines.find(({ stream }) => stream === names.publicationCache);
          assert.isDefined(found);
          return found;
        });
        assert.equal(line?.level, 'error');
        assert.match(line?.message ?? '', /stream_queue.*has to be deleted/s);

        const recorder = new Recorder();
        const session = await broker.sessionQueues.open(
          { kind: 'plain', prefetch: 10, maxLength: 100 },
          recorder,
        );
        await session.bind(keyOf('room'));
        await broker.channelPublisher.publish(publication('room', '1', { cached: true }));
        await eventually(() => assert.deepEqual(recorder.ids, ['1']));
        assert.isFalse(resolved);
        assert.isEmpty(follower.seen);

        await withChannel(admin, (channel) => channel.deleteQueue(names.publicationCache));
        const handle = await following;
        await publishCached(broker, [2]);
        await handle.caughtUp();
        assert.include(follower.numbers, 2);
        assert.isBelow(lines.length, 10, 'it does not flood the log');
      });
    }
  });

  describe('webhook queues', () => {
    const done = async () => ({ kind: 'done' }) as const;

    it('are declared again by the next call where one is gone, after a rejection that may be retried', async () => {
      const { broker, admin, names, webhookTarget } = await create();
      const target = webhookTarget();
      await broker.webhookQueues.publish(target, Buffer.from('0'));
      const remove = () =>
        withChannel(admin, (channel) => channel.deleteQueue(webhookQueueName(names, target)));
      await remove();
      const error = await rejectionOf(broker.webhookQueues.publish(target, Buffer.from('1')));
      assert.isTrue(error.retryable);
      await broker.webhookQueues.publish(target, Buffer.from('2'));
      const bodies: string[] = [];
      await broker.webhookQueues.consume({
        target,
        prefetch: 1,
        handle({ body }) {
          bodies.push(body.toString('utf8'));
          return done();
        },
      });
      await eventually(() => assert.deepEqual(bodies, ['2']));
      await remove();
      await eventually(() => broker.webhookQueues.publish(target, Buffer.from('3')));
      await eventually(() => assert.deepEqual(bodies, ['2', '3'], 'it is consumed again too'));
    });

    it('keep a report whose dead-letter queue is gone, until it is there again', async () => {
      const { broker, admin, names, webhookTarget, webhookDeadLetters } = await create();
      const target = webhookTarget();
      const handled: string[] = [];
      await broker.webhookQueues.consume({
        target,
        prefetch: 1,
        async handle({ body }) {
          handled.push(body.toString('utf8'));
          return handled.length === 1
            ? { kind: 'done' }
            : { kind: 'dead-letter', reason: 'the target answered 410' };
        },
      });
      await broker.webhookQueues.publish(target, Buffer.from('0'));
      await eventually(() => assert.lengthOf(handled, 1));
      await withChannel(admin, (channel) => channel.deleteQueue(names.webhookDeadLetters));
      await broker.webhookQueues.publish(target, Buffer.from('1'));
      await eventually(() => assert.deepEqual(handled, ['0', '1', '1']));
      await eventually(async () => assert.lengthOf(await webhookDeadLetters(), 1));
    });

    it('are consumed once where consuming was refused for a while', async () => {
      const lines: Line[] = [];
      const log = createLog('warn', {}, { write: (line) => lines.push(JSON.parse(line) as Line) });
      const { broker, admin, names, webhookTarget } = await create({ log });
      const target = webhookTarget();
      const queue = webhookQueueName(names, target);
      const holder = await admin.createChannel();
      await holder.assertQueue(queue);
      await holder.consume(queue, () => undefined, { exclusive: true, consumerTag: 'holder' });
      const consuming = broker.webhookQueues.consume({ target, prefetch: 1, handle: done });
      await eventually(() =>
        assert.lengthOf(
          lines.filter(({ message }) => message === 'cannot consume'),
          4,
        ),
      );
      await holder.cancel('holder');
      const consumption = await consuming;
      await eventually(async () => assert.equal((await holder.checkQueue(queue)).consumerCount, 1));
      await consumption.stop(1_000);
      assert.equal((await holder.checkQueue(queue)).consumerCount, 0);
      await holder.close();
    });

    it('answer broker_timeout where a declaration is not answered, and publish once the network is back', async () => {
      const { broker, proxy, webhookTarget } = await create({
        confirmTimeoutMs: 500,
        heartbeatSeconds: 60,
      });
      const target = webhookTarget();
      proxy.setMode('blackhole');
      const error = await rejectionOf(broker.webhookQueues.publish(target, Buffer.from('0')));
      assert.equal(error.code, 'broker_timeout');
      // Nobody else has cut it, and no heartbeat is due.
      await eventually(() => assert.isFalse(broker.status().ready, 'that connection is given up'));
      proxy.setMode('pass');
      // The next connection may have been begun, in vain, before the network was back.
      await eventually(() => broker.webhookQueues.publish(target, Buffer.from('1')), 20_000);
    });

    it('let only so many reports wait for their declaration', async () => {
      const { broker, proxy, webhookTarget } = await create({
        confirmTimeoutMs: 500,
        heartbeatSeconds: 60,
        maxUnconfirmed: 3,
      });
      const target = webhookTarget();
      proxy.setMode('blackhole');
      const calls = range(4).map(() =>
        rejectionOf(broker.webhookQueues.publish(target, Buffer.from('0'))),
      );
      assert.deepEqual(
        (await Promise.all(calls)).map(({ code }) => code),
        ['broker_timeout', 'broker_timeout', 'broker_timeout', 'broker_busy'],
      );
      proxy.cut();
    });
  });
});

/** Reads the stream up to a message of its own. */
async function markersIn(admin: ChannelModel, names: TopologyNames): Promise<number> {
  const channel = await admin.createChannel();
  await channel.prefetch(100);
  const sentinel = `sentinel ${Math.random()}`;
  let count = 0;
  const read = new Promise<void>((resolve) => {
    void channel.consume(
      names.publicationCache,
      (message) => {
        if (message === null) return;
        channel.ack(message);
        const id = String(message.properties.messageId);
        if (id === sentinel) resolve();
        else if (message.fields.routingKey === cacheRoutingKey && !id.startsWith('sentinel')) {
          count += 1;
        }
      },
      { arguments: { 'x-stream-offset': 'first' } },
    );
  });
  channel.publish(names.channels, cacheRoutingKey, Buffer.alloc(0), { messageId: sentinel });
  await read;
  await channel.close();
  return count;
}
