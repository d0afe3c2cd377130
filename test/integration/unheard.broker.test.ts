/** Publications that nobody listens to: an alternate exchange on `warren.channels` catches them, so that a service can fall back to another way. */
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { expect } from 'chai';
import { connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import { loadConfig } from '../../config/load.ts';
import { parseChannel } from '../../contracts/channel.ts';
import type { AppId } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { topologyNames } from '../../contracts/topology.ts';
import { startRouter } from '../../router/main.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Role } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import { okOf } from '../support/result.ts';

describe('an alternate exchange of warren.channels', function () {
  this.timeout(30_000);
  const names = topologyNames(uniquePrefix());
  const unheard = `${names.prefix}unheard`;
  const metrics = createMetrics();
  let admin: ChannelModel;
  let broker: Broker;
  let router: Role;
  const caught: ConsumeMessage[] = [];

  before(async () => {
    admin = await connectToBroker();
    const channel = await admin.createChannel();
    await channel.assertExchange(unheard, 'fanout', { durable: true });
    // An argument does what a policy does; Warren takes an exchange as it finds it.
    await channel.assertExchange(names.channels, 'topic', {
      durable: true,
      alternateExchange: unheard,
    });
    await channel.assertQueue(unheard, { exclusive: true });
    await channel.bindQueue(unheard, unheard, '');
    await channel.consume(unheard, (message) => void (message && caught.push(message)), {
      noAck: true,
    });
    broker = connectAmqp({
      urls: [brokerUrl],
      names,
      clock: systemClock,
      log: createLog('silent'),
      heartbeatSeconds: 10,
      confirmTimeoutMs: 10_000,
    });
    const loaded = loadConfig("events: [{ on: 'note.*', to: 'notes-{data.room}' }]", {
      path: 'warren.yaml',
      production: false,
    });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    router = await startRouter({
      broker,
      config: loaded.config,
      settings: { routerPrefetch: 10 },
      clock: systemClock,
      log: createLog('silent'),
      metrics,
    });
    await eventually(() => expect(router.readiness().ready).to.equal(true));
  });

  after(async () => {
    await router.stop(1_000);
    await broker.close();
    await deleteTopology(admin, names);
    await (await admin.createChannel()).deleteExchange(unheard);
    await admin.close();
    await metrics.close();
  });

  const publish = (room: string) =>
    broker.domainEvents.publish({
      routingKey: 'note.added',
      body: Buffer.from(JSON.stringify({ room })),
    });

  it('gets what no connection is bound to, as the client would have got it, and nothing else', async () => {
    const heard: string[] = [];
    const session = await broker.sessionQueues.open(
      { kind: 'plain', prefetch: 10, maxLength: 100 },
      {
        delivered: (delivery) => {
          heard.push(delivery.channel);
          session.ack(delivery);
        },
        lost: () => undefined,
        noted: () => undefined,
        interrupted: () => undefined,
        restored: () => undefined,
      },
    );
    const name = okOf(parseChannel('notes-here')).name;
    await session.bind(channelKey('app-id' as AppId, name));
    await publish('here');
    await publish('nowhere');
    await eventually(() => expect(caught).to.have.length(1));
    await eventually(() => expect(heard).to.deep.equal(['notes-here']));
    const [message] = caught;
    expect(message?.properties.headers).to.include({ 'x-channel': 'notes-nowhere' });
    expect(JSON.parse(String(message?.content))).to.deep.include({
      event: 'note.added',
      channel: 'notes-nowhere',
      data: '{"room":"nowhere"}',
    });
    await session.close();
  });
});
