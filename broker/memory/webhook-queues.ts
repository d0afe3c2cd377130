/** Webhook reports in and out. */
import { isWebhookTarget } from '../../contracts/topology.ts';
import { BrokerError } from '../errors.ts';
import type { WebhookQueues } from '../port.ts';
import type { Connection } from './connection.ts';
import { OrderedConsumer } from './ordered-consumer.ts';
import type { StoredReport } from './webhook-reports.ts';

export function createWebhookQueues(connection: Connection): WebhookQueues {
  const { webhooks } = connection.host;
  return {
    async publish(target, report) {
      requireTarget(target);
      await connection.publish(() => webhooks.push(target, report));
    },
    async consume({ target, prefetch, handle }) {
      requireTarget(target);
      await connection.whenUp();
      const consumer = new OrderedConsumer<StoredReport>(connection, {
        line: webhooks.hold(target),
        prefetch,
        async handle(report) {
          const outcome = await handle(report);
          if (outcome.kind === 'done') return undefined;
          return () => webhooks.deadLetter(target, report, outcome.reason);
        },
        ended: () => webhooks.release(target),
      });
      return { stop: (deadlineMs) => consumer.stop(deadlineMs) };
    },
  };
}

function requireTarget(target: string): void {
  if (!isWebhookTarget(target)) {
    throw new BrokerError('broker_topology', `illegal webhook target: ${target.slice(0, 80)}`);
  }
}
