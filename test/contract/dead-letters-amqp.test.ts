/** What only RabbitMQ itself can do to dead letters and their queues. */
import { assert } from 'chai';
import type { DeadLetter } from '../../contracts/dead-letter.ts';
import { routerQueues } from '../../contracts/topology.ts';
import { eventually } from '../support/eventually.ts';
import { range, rejectionOf } from './adapter.ts';
import { type AmqpUnderTest, createUnderTest } from './amqp-under-test.ts';

describe('dead letters over AMQP', function () {
  this.timeout(20_000);
  let current: AmqpUnderTest;

  beforeEach(async () => {
    current = await createUnderTest();
  });
  afterEach(() => current.dispose());

  async function declare(): Promise<void> {
    const channel = await current.admin.createChannel();
    for (const queue of routerQueues(current.names)) {
      await channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments });
    }
    await channel.close();
  }

  async function fill(count: number, properties: object = {}): Promise<void> {
    const channel = await current.admin.createConfirmChannel();
    const headers = { 'x-warren-routing-key': 'order.paid', 'x-warren-exchange': 'domain.events' };
    for (const n of range(count)) {
      const options = { persistent: true, headers, ...properties };
      channel.sendToQueue(current.names.routerDeadLetters, Buffer.from(String(n)), options);
    }
    await channel.waitForConfirms();
    await channel.close();
  }

  async function found(limit = 100): Promise<readonly DeadLetter[]> {
    const letters = await current.operate();
    const all: DeadLetter[] = [];
    await letters.walk({
      queue: 'events',
      limit,
      visit: (letter) => {
        all.push(letter);
        return 'keep';
      },
    });
    await letters.close();
    return all;
  }

  it('says which queue is missing', async () => {
    const letters = await current.operate();
    const error = await rejectionOf(
      letters.walk({ queue: 'events', limit: 1, visit: () => 'keep' }),
    );
    assert.equal(error.code, 'broker_topology');
    assert.include(error.message, current.names.routerDeadLetters);
  });

  it('takes nothing out where the queue of the router is gone, not even with a correlation id', async () => {
    await declare();
    await fill(3, { correlationId: 'theirs' });
    const channel = await current.admin.createChannel();
    const letters = await current.operate();
    await channel.deleteQueue(current.names.routerEvents);
    const walk = () =>
      rejectionOf(letters.walk({ queue: 'events', limit: 10, visit: () => 'replay' }));
    assert.equal((await walk()).code, 'broker_topology');
    assert.lengthOf(await found(), 3);
    await channel.close();
  });

  it('takes nothing out where the queue of the router goes while copies are under way', async () => {
    await declare();
    await fill(450);
    const admin = await current.admin.createChannel();
    const letters = await current.operate();
    let visited = 0;
    let firstPage = 0;
    let deleted: Promise<unknown> | undefined;
    const error = await rejectionOf(
      letters.walk({
        queue: 'events',
        limit: 450,
        // The first one has the queue looked at; it is deleted before the second page has come.
        visit: () => {
          visited += 1;
          return visited === 1 || deleted !== undefined ? 'replay' : 'keep';
        },
        progress: (tally) => {
          firstPage = tally.visited;
          deleted ??= admin.deleteQueue(current.names.routerEvents);
        },
      }),
    );
    await deleted;
    assert.equal(error.code, 'broker_topology');
    assert.isBelow(firstPage, 450);
    await eventually(async () => {
      const numbers = (await found(450)).map(({ event }) => Number(event.body.toString('utf8')));
      assert.deepEqual(numbers, range(449, 1));
    });
    await admin.close();
  });

  it('reads what the broker dead-lettered itself, and puts it back by its first routing key', async () => {
    const channel = await current.admin.createConfirmChannel();
    const { routerDeadLetters, routerEvents, domainEvents } = current.names;
    await declare();
    const source = `${current.names.prefix}source`;
    await channel.assertQueue(source, {
      arguments: {
        'x-queue-type': 'quorum',
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': routerDeadLetters,
      },
    });
    await channel.bindQueue(source, domainEvents, '#');
    channel.publish(domainEvents, 'order.paid', Buffer.from('{}'), { persistent: true });
    await channel.waitForConfirms();
    const message = await eventually(async () => {
      const got = await channel.get(source);
      if (got === false) throw new Error('nothing there yet');
      return got;
    });
    channel.reject(message, false);
    const [letter] = await eventually(async () => {
      const all = await found();
      assert.lengthOf(all, 1);
      return all;
    });
    assert.equal(letter?.code, 'rejected');
    assert.equal(letter?.event.routingKey, 'order.paid');
    assert.equal(letter?.event.exchange, domainEvents);
    assert.closeTo(letter?.atMs ?? 0, Date.now(), 5_000);
    assert.deepEqual({ ...letter?.event.headers }, {});
    const letters = await current.operate();
    await letters.walk({ queue: 'events', limit: 1, visit: () => 'replay' });
    const keys: string[] = [];
    const router = await current.broker.domainEvents.consume({
      patterns: ['#'],
      prefetch: 1,
      async handle({ routingKey }) {
        keys.push(routingKey);
        return { kind: 'done' };
      },
    });
    await eventually(() => assert.deepEqual(keys, ['order.paid']));
    await router.stop(1_000);
    await channel.deleteQueue(source);
    assert.equal((await channel.checkQueue(routerEvents)).messageCount, 0);
  });

  it('can be looked at more often than RabbitMQ 4 delivers by default', async () => {
    await declare();
    await fill(1);
    for (const _ of range(25)) assert.lengthOf(await found(), 1);
  });
});
