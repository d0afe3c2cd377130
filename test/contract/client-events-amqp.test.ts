/** What services do with their own queues and permissions stays their own affair: RabbitMQ only. */
import { assert } from 'chai';
import { createEgressEvent } from '../../contracts/egress-event.ts';
import type { ChannelName } from '../../contracts/ids.ts';
import { eventually } from '../support/eventually.ts';
import { appId, publication, range, rejectionOf } from './adapter.ts';
import { type AmqpUnderTest, createUnderTest } from './amqp-under-test.ts';

const event = (data = '{}') =>
  createEgressEvent({
    appId,
    channel: { name: 'private-room' as ChannelName, kind: 'private' },
    type: 'client-x',
    timeMs: 0,
    data,
  });

describe('amqp: ClientEvents beside queues of others', function () {
  this.timeout(20_000);
  let current: AmqpUnderTest | undefined;
  afterEach(async () => {
    await current?.dispose();
    current = undefined;
  });

  it('publishes persistent messages', async () => {
    current = await createUnderTest();
    const { admin, names, broker } = current;
    const channel = await admin.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(queue, names.clients, '#');
    await broker.clientEvents.publish(event());
    const message = await channel.get(queue, { noAck: true });
    assert.equal(message !== false && message.properties.deliveryMode, 2);
  });

  it('says that a queue refused it, and goes on', async () => {
    current = await createUnderTest();
    const { admin, names, broker } = current;
    const channel = await admin.createChannel();
    const { queue } = await channel.assertQueue('', {
      exclusive: true,
      arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' },
    });
    await channel.bindQueue(queue, names.clients, '#');
    await broker.clientEvents.publish(event());
    assert.equal((await rejectionOf(broker.clientEvents.publish(event()))).code, 'broker_refused');
    await channel.purgeQueue(queue);
    await broker.clientEvents.publish(event());
  });

  it('rejects while its exchange is gone, disturbs no publication, and works when it is back', async () => {
    current = await createUnderTest();
    const { admin, names, broker } = current;
    const channel = await admin.createChannel();
    await channel.deleteExchange(names.clients);
    const refusals = range(5).map(() => rejectionOf(broker.clientEvents.publish(event())));
    const publications = range(200).map((n) =>
      broker.channelPublisher.publish(publication('room', String(n))),
    );
    await Promise.all(publications);
    for (const error of await Promise.all(refusals)) assert.isTrue(error.retryable);
    assert.deepEqual(broker.status(), { ready: true });
    await channel.assertExchange(names.clients, 'topic', { durable: true });
    await eventually(() => broker.clientEvents.publish(event()));
  });

  it('gives up alone what nobody confirms in time', async () => {
    current = await createUnderTest({ confirmTimeoutMs: 400, heartbeatSeconds: 60 });
    const { broker, proxy } = current;
    proxy.setMode('blackhole');
    const error = await rejectionOf(broker.clientEvents.publish(event()));
    assert.equal(error.code, 'broker_timeout');
    assert.deepEqual(broker.status(), { ready: true }, 'the connection was left alone');
    proxy.cut();
    proxy.setMode('pass');
    await eventually(() => broker.clientEvents.publish(event()));
  });
});
