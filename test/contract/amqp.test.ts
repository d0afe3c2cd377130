/** The AMQP adapter keeps the promises of broker/port.ts on a real RabbitMQ, and those that only a network can break. */
import { randomBytes } from 'node:crypto';
import { assert } from 'chai';
import { type AmqpOptions, connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import { topologyNames } from '../../contracts/topology.ts';
import { delay, systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import {
  type BrokerAdapter,
  type BrokerUnderTest,
  type DeadEvent,
  keyOf,
  publication,
  Recorder,
  range,
  rejectionOf,
} from './adapter.ts';
import { describeBroker } from './broker.ts';
import { describeChannelPublisher } from './channel-publisher.ts';
import { describeDomainEvents } from './domain-events.ts';
import { describeEdgeBus } from './edge-bus.ts';
import { describeEdgeQueues } from './edge-queues.ts';
import { describeSessionQueues } from './session-queues.ts';

interface AmqpUnderTest extends BrokerUnderTest {
  /** The network between `broker` and RabbitMQ. */
  readonly proxy: TcpProxy;
}

async function createUnderTest(options: Partial<AmqpOptions> = {}): Promise<AmqpUnderTest> {
  const target = new URL(brokerUrl);
  const proxy = await startTcpProxy({ host: target.hostname, port: Number(target.port || '5672') });
  const proxied = new URL(brokerUrl);
  proxied.hostname = '127.0.0.1';
  proxied.port = String(proxy.port);
  const names = topologyNames(uniquePrefix());
  const opened: Broker[] = [];
  const sessionKeys: string[] = [];
  const open = async (url: string) => {
    const broker = connectAmqp({
      urls: [url],
      names,
      clock: systemClock,
      log: createLog('silent'),
      heartbeatSeconds: 5,
      confirmTimeoutMs: 5_000,
      connectionName: 'warren test',
      backoff: { minimumMs: 10, maximumMs: 100 },
      ...options,
    });
    opened.push(broker);
    await eventually(() => assert.deepEqual(broker.status(), { ready: true }));
    return broker;
  };
  const admin = await connectToBroker();
  const broker = await open(proxied.href);
  const publisher = await admin.createConfirmChannel();
  return {
    broker,
    proxy,
    peer: () => open(brokerUrl),
    async publishRaw({ routingKey, body, ...properties }) {
      publisher.publish(names.domainEvents, routingKey, body, properties);
      await publisher.waitForConfirms();
    },
    async deadLetters() {
      const channel = await admin.createChannel();
      const letters: DeadEvent[] = [];
      for (;;) {
        const message = await channel.get(names.routerDeadLetters);
        if (message === false) break;
        const headers: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
        letters.push({
          routingKey: String(headers['x-warren-routing-key']),
          body: message.content,
          headers,
          messageId: String(message.properties.messageId),
          contentType: String(message.properties.contentType),
          reason: String(headers['x-warren-reason']),
        });
      }
      // They go back to the queue with the channel.
      await channel.close();
      return letters;
    },
    async interrupt() {
      proxy.cut();
    },
    async cutOff() {
      proxy.setMode('refuse');
      proxy.cut();
    },
    async reconnect() {
      proxy.setMode('pass');
    },
    sessionKey() {
      const key = randomBytes(18).toString('base64url');
      sessionKeys.push(key);
      return key;
    },
    async dispose() {
      proxy.setMode('pass');
      // One that does not close must not keep the others, or what was declared, from going.
      const closing = Promise.allSettled(opened.map((each) => each.close()));
      await Promise.race([closing, delay(systemClock, 5_000)]);
      await proxy.close();
      await deleteTopology(admin, names, sessionKeys);
      await admin.close();
    },
  };
}

const amqp: BrokerAdapter = { name: 'amqp', create: () => createUnderTest() };

describe('the AMQP adapter', function () {
  this.timeout(20_000);
  describeBroker(amqp);
  describeDomainEvents(amqp);
  describeChannelPublisher(amqp);
  describeSessionQueues(amqp);
  describeEdgeQueues(amqp);
  describeEdgeBus(amqp);

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
