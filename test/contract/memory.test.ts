/** The embedded broker keeps the promises of broker/port.ts. */
import { randomBytes } from 'node:crypto';
import { createMemoryBroker, type MemoryBroker } from '../../broker/memory/broker.ts';
import { egressContentType } from '../../contracts/egress-event.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { BrokerAdapter, BrokerUnderTest, HeardEvent } from './adapter.ts';
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

const memory: BrokerAdapter = {
  name: 'memory',
  async create(bounds = {}): Promise<BrokerUnderTest> {
    const broker = createMemoryBroker({ clock: systemClock, ...bounds });
    const admin = broker.peer();
    const opened: MemoryBroker[] = [broker, admin];
    return {
      broker,
      async peer() {
        const peer = broker.peer();
        opened.push(peer);
        return peer;
      },
      foreignName: (name) => name,
      async declareExchange(name) {
        broker.declareExchange(name);
      },
      async declareQueue(name) {
        broker.declareQueue(name);
      },
      publishRaw: (event) => admin.domainEvents.publish(event),
      async deadLetters() {
        return broker.deadLetters().map(({ event, refusal }) => ({
          ...event,
          reason: `${refusal.code}: ${refusal.text}`,
        }));
      },
      async webhookDeadLetters() {
        return broker.webhookDeadLetters().map(({ body, reason }) => ({
          body: body.toString('utf8'),
          reason,
        }));
      },
      async hearClients(pattern) {
        const heard: HeardEvent[] = [];
        admin.listen(pattern, ({ key, id, headers, body }) =>
          heard.push({ key, id, contentType: egressContentType, headers, body: body.toString() }),
        );
        return heard;
      },
      operate: async () => broker.operate(),
      async interrupt() {
        broker.interrupt();
      },
      async cutOff() {
        broker.setReachable(false);
      },
      async reconnect() {
        broker.setReachable(true);
      },
      sessionKey: () => randomBytes(18).toString('base64url'),
      webhookTarget: () => randomBytes(9).toString('base64url'),
      async dispose() {
        for (const each of opened) await each.close();
      },
    };
  },
};

describe('the embedded broker', function () {
  this.timeout(10_000);
  describeBroker(memory);
  describeDomainEvents(memory);
  describeEventSources(memory);
  describeChannelPublisher(memory);
  describeSessionQueues(memory);
  describeEdgeQueues(memory);
  describeEdgeBus(memory);
  describePublicationCache(memory);
  describeWebhookQueues(memory);
  describeClientEvents(memory);
  describeDeadLetters(memory);
});
