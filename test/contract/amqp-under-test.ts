/** The AMQP adapter on a real RabbitMQ, with a network between them that a test can break. */
import { randomBytes } from 'node:crypto';
import type { ChannelModel, GetMessage } from 'amqplib';
import { assert } from 'chai';
import { type AmqpOptions, connectAmqp } from '../../broker/amqp/broker.ts';
import { connectDeadLetters } from '../../broker/amqp/dead-letters.ts';
import type { Broker, DeadLetters } from '../../broker/port.ts';
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import { delay, systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import type { BrokerUnderTest, HeardEvent } from './adapter.ts';

export interface AmqpUnderTest extends BrokerUnderTest {
  /** The network between `broker` and RabbitMQ. */
  readonly proxy: TcpProxy;
  /** A connection of an operator. */
  readonly admin: ChannelModel;
  readonly names: TopologyNames;
}

/** @param before what an operator has done to the broker before Warren first connects */
export async function createUnderTest(
  options: Partial<AmqpOptions> = {},
  before: (admin: ChannelModel, names: TopologyNames) => Promise<void> = async () => undefined,
): Promise<AmqpUnderTest> {
  const target = new URL(brokerUrl);
  const proxy = await startTcpProxy({ host: target.hostname, port: Number(target.port || '5672') });
  const proxied = new URL(brokerUrl);
  proxied.hostname = '127.0.0.1';
  proxied.port = String(proxy.port);
  const names = topologyNames(uniquePrefix());
  const opened: (Broker | DeadLetters)[] = [];
  const sessionKeys: string[] = [];
  const webhookTargets: string[] = [];
  const foreignExchanges: string[] = [];
  const foreignQueues: string[] = [];
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
      retrySourcesAfterMs: 200,
      ...options,
    });
    opened.push(broker);
    await eventually(() => assert.deepEqual(broker.status(), { ready: true }));
    return broker;
  };
  const admin = await connectToBroker();
  await before(admin, names);
  const broker = await open(proxied.href);
  const publisher = await admin.createConfirmChannel();
  return {
    broker,
    proxy,
    admin,
    names,
    peer: () => open(brokerUrl),
    foreignName: (name) => names.prefix + name,
    async declareExchange(name) {
      await publisher.assertExchange(name, 'topic');
      foreignExchanges.push(name);
    },
    async declareQueue(name) {
      await publisher.assertQueue(name);
      foreignQueues.push(name);
    },
    async publishRaw({ exchange = names.domainEvents, routingKey, body, ...properties }) {
      publisher.publish(exchange, routingKey, body, properties);
      await publisher.waitForConfirms();
    },
    async deadLetters() {
      return (await lettersIn(admin, names.routerDeadLetters)).map((message) => {
        const headers: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
        return {
          routingKey: String(headers['x-warren-routing-key']),
          body: message.content,
          headers,
          messageId: String(message.properties.messageId),
          contentType: String(message.properties.contentType),
          reason: String(headers['x-warren-reason']),
        };
      });
    },
    async webhookDeadLetters() {
      return (await lettersIn(admin, names.webhookDeadLetters)).map((message) => {
        const headers: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
        return {
          body: message.content.toString('utf8'),
          // What the broker dead-letters it explains in its own way.
          reason: String(headers['x-warren-reason'] ?? headers['x-first-death-reason']),
        };
      });
    },
    async hearClients(pattern) {
      const heard: HeardEvent[] = [];
      const channel = await admin.createChannel();
      const { queue } = await channel.assertQueue('', { exclusive: true });
      await channel.bindQueue(queue, names.clients, pattern);
      await channel.consume(
        queue,
        (message) => {
          if (message === null) return;
          const { fields, properties, content } = message;
          heard.push({
            key: fields.routingKey,
            id: String(properties.messageId),
            contentType: String(properties.contentType),
            headers: { ...properties.headers },
            body: content.toString('utf8'),
          });
        },
        { noAck: true },
      );
      return heard;
    },
    async operate() {
      const letters = await connectDeadLetters({
        urls: [proxied.href],
        names,
        clock: systemClock,
        heartbeatSeconds: 5,
        confirmTimeoutMs: 5_000,
      });
      opened.push(letters);
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
    webhookTarget() {
      const target = randomBytes(9).toString('base64url');
      webhookTargets.push(target);
      return target;
    },
    async dispose() {
      proxy.setMode('pass');
      // One that does not close must not keep the others, or what was declared, from going.
      const closing = Promise.allSettled(opened.map((each) => each.close()));
      await Promise.race([closing, delay(systemClock, 5_000)]);
      await proxy.close();
      for (const name of foreignQueues) await publisher.deleteQueue(name);
      for (const name of foreignExchanges) await publisher.deleteExchange(name);
      await deleteTopology(admin, names, sessionKeys, webhookTargets);
      await admin.close();
    },
  };
}

/** They go back to the queue. */
async function lettersIn(admin: ChannelModel, queue: string): Promise<readonly GetMessage[]> {
  const channel = await admin.createChannel();
  const letters: GetMessage[] = [];
  for (;;) {
    const message = await channel.get(queue);
    if (message === false) break;
    letters.push(message);
  }
  await channel.close();
  return letters;
}
