/** Webhooks over a real RabbitMQ: what the embedded broker cannot prove. */
import { expect } from 'chai';
import { connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import { topologyNames } from '../../contracts/topology.ts';
import { targetId } from '../../edge/webhooks/targets.ts';
import { Webhooks } from '../../edge/webhooks/webhooks.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { testApp } from '../support/app.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import {
  sdkAccepts,
  startWebhookReceiver,
  type WebhookReceiver,
} from '../support/webhook-receiver.ts';

describe('Webhooks over RabbitMQ', function () {
  this.timeout(30_000);
  const names = topologyNames(uniquePrefix());
  const edges: { readonly webhooks: Webhooks; readonly broker: Broker }[] = [];
  let receiver: WebhookReceiver;

  before(async () => {
    receiver = await startWebhookReceiver();
  });
  after(async () => {
    for (const { webhooks, broker } of edges) {
      await webhooks.stop(1_000);
      await broker.close();
    }
    const admin = await connectToBroker();
    await deleteTopology(admin, names, [], [targetId('app-id', receiver.url)]);
    await admin.close();
    await receiver.close();
  });

  it('one edge sends, the next takes over, each report arrives once and in order', async () => {
    const app = testApp({
      webhooks: [{ url: receiver.url, events: ['channel_occupied'], batch: false }],
    });
    const start = () => {
      const broker = connectAmqp({
        urls: [brokerUrl],
        names,
        clock: systemClock,
        log: createLog('silent'),
        heartbeatSeconds: 5,
        confirmTimeoutMs: 5_000,
        connectionName: 'warren test',
      });
      const webhooks = new Webhooks({
        queues: broker.webhookQueues,
        onStatus: (listener) => broker.onStatus(listener),
        apps: () => [app],
        clock: systemClock,
        log: createLog('silent'),
        allowPrivate: ['127.0.0.1'],
        timings: { retryMinMs: 20 },
      });
      edges.push({ webhooks, broker });
      webhooks.start();
      return (from: number, to: number) => {
        for (let at = from; at < to; at += 1) {
          webhooks.emit(app, { name: 'channel_occupied', channel: `${at}` });
        }
      };
    };
    const arrived = (channel: string) =>
      eventually(() => expect(receiver.channels()).to.include(channel), 15_000);

    receiver.answer(500, 200, 500);
    // The broker is not connected yet: reports wait for it on their edge.
    start()(0, 2);
    await arrived('1');
    const emit = start();
    emit(2, 100);
    await arrived('99');
    emit(100, 200);
    await arrived('110');
    await edges[0]?.webhooks.stop(5_000);
    emit(200, 210);
    await arrived('209');
    const range = Array.from({ length: 210 }, (_, at) => `${at}`);
    // What was answered with 500 was sent again.
    expect(receiver.channels()).to.deep.equal(['0', '0', '1', ...range.slice(1)]);
    for (const request of receiver.requests) expect(sdkAccepts(app, request)).to.equal(true);
  });
});
