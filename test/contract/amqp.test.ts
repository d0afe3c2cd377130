/** The AMQP adapter keeps the promises of broker/port.ts on a real RabbitMQ, and those that only a network can break. */
import { assert } from 'chai';
import type { AmqpOptions } from '../../broker/amqp/broker.ts';
import { eventually } from '../support/eventually.ts';
import { type BrokerAdapter, keyOf, publication, Recorder, range, rejectionOf } from './adapter.ts';
import { type AmqpUnderTest, createUnderTest } from './amqp-under-test.ts';
import { describeBroker } from './broker.ts';
import { describeChannelPublisher } from './channel-publisher.ts';
import { describeClientEvents } from './client-events.ts';
import { describeDeadLetters } from './dead-letters.ts';
import { describeDomainEvents } from './domain-events.ts';
import { describeEdgeBus } from './edge-bus.ts';
import { describeEdgeQueues } from './edge-queues.ts';
import { describeEventSources } from './event-sources.ts';
import { describePublicationCache } from './publication-cache.ts';
import { describeSessionQueues } from './session-queues.ts';
import { describeWebhookQueues } from './webhook-queues.ts';

const amqp: BrokerAdapter = { name: 'amqp', create: (bounds) => createUnderTest(bounds) };

describe('the AMQP adapter', function () {
  this.timeout(20_000);
  describeBroker(amqp);
  describeDomainEvents(amqp);
  describeEventSources(amqp);
  describeChannelPublisher(amqp);
  describeSessionQueues(amqp);
  describeEdgeQueues(amqp);
  describeEdgeBus(amqp);
  describePublicationCache(amqp);
  describeWebhookQueues(amqp);
  describeClientEvents(amqp);
  describeDeadLetters(amqp);

  describe('amqp: on a network that has gone silent', () => {
    let current: AmqpUnderTest | undefined;

    async function silent(options: Partial<AmqpOptions>): Promise<AmqpUnderTest> {
      current = await createUnderTest(options);
      current.proxy.setMode('blackhole');
      return current;
    }

    afterEach(async () => {
      current?.proxy.cut();
      await current?.dispose();
      current = undefined;
    });

    it('rejects with broker_timeout what is not confirmed in time, in call order', async () => {
      const { broker } = await silent({ confirmTimeoutMs: 300, heartbeatSeconds: 60 });
      const rejected: number[] = [];
      const codes = await Promise.all(
        range(20).map(async (n) => {
          const call = broker.channelPublisher.publish(publication('room', String(n)));
          const { code } = await rejectionOf(call);
          rejected.push(n);
          return code;
        }),
      );
      assert.deepEqual(new Set(codes), new Set(['broker_timeout']));
      assert.deepEqual(rejected, range(20));
    });

    it('publishes again, in order, once the network is back', async () => {
      const { broker, peer, proxy } = await silent({ confirmTimeoutMs: 300, heartbeatSeconds: 1 });
      await rejectionOf(broker.channelPublisher.publish(publication('room', 'lost')));
      proxy.setMode('pass');
      proxy.cut();
      const recorder = new Recorder();
      const session = await (await peer()).sessionQueues.open(
        { kind: 'plain', prefetch: 100, maxLength: 100 },
        recorder,
      );
      await session.bind(keyOf('room'));
      await eventually(() => assert.isTrue(broker.status().ready));
      await Promise.all(
        range(20).map((n) => broker.channelPublisher.publish(publication('room', String(n)))),
      );
      await eventually(() => assert.deepEqual(recorder.ids, range(20).map(String)));
    });

    it('rejects with broker_busy beyond the bound on unconfirmed publications', async () => {
      const { broker } = await silent({
        maxUnconfirmed: 10,
        confirmTimeoutMs: 500,
        heartbeatSeconds: 60,
      });
      const calls = range(11).map((n) =>
        rejectionOf(broker.channelPublisher.publish(publication('room', String(n)))),
      );
      assert.equal((await calls[10])?.code, 'broker_busy');
      const others = await Promise.all(calls.slice(0, 10));
      assert.deepEqual(new Set(others.map(({ code }) => code)), new Set(['broker_timeout']));
    });

    it('notices within three heartbeats, and is restored when the network is back', async () => {
      const under = await createUnderTest({ heartbeatSeconds: 1 });
      current = under;
      const recorder = new Recorder();
      const session = await under.broker.sessionQueues.open(
        { kind: 'plain', prefetch: 10, maxLength: 100 },
        recorder,
      );
      await session.bind(keyOf('room'));
      under.proxy.setMode('blackhole');
      const since = performance.now();
      await eventually(() => assert.equal(recorder.interruptions, 1));
      assert.isBelow(performance.now() - since, 4_000);
      under.proxy.cut();
      under.proxy.setMode('pass');
      await eventually(() => assert.equal(recorder.restorations, 1));
      await eventually(() => under.broker.channelPublisher.publish(publication('room', '1')));
      await eventually(() => assert.include(recorder.ids, '1'));
    });

    it('closes within a few seconds', async () => {
      const { broker } = await silent({ heartbeatSeconds: 60 });
      const since = performance.now();
      await broker.close();
      assert.isBelow(performance.now() - since, 5_000);
    });
  });
});
