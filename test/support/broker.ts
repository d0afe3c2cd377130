/** The RabbitMQ that tests share: a prefix of its own for each test, and everything under it deleted afterwards. */
import { randomBytes } from 'node:crypto';
import { type ChannelModel, connect } from 'amqplib';
import {
  sessionQueueName,
  type TopologyNames,
  topology,
  webhookQueueName,
} from '../../contracts/topology.ts';

export const brokerUrl = process.env['WARREN_BROKER_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672';

/** Safe to declare under on a broker that others use at the same time. */
export function uniquePrefix(): string {
  return `test-${randomBytes(6).toString('hex')}.`;
}

export function connectToBroker(): Promise<ChannelModel> {
  return connect(brokerUrl, { clientProperties: { connection_name: 'warren test' } });
}

/** Deletes what Warren declares under these names; exclusive queues end with their connections. Missing things are no error. */
export async function deleteTopology(
  connection: ChannelModel,
  names: TopologyNames,
  sessionKeys: readonly string[] = [],
  webhookTargets: readonly string[] = [],
): Promise<void> {
  const channel = await connection.createChannel();
  const { queues, exchanges } = topology(names);
  for (const { name } of queues) await channel.deleteQueue(name);
  for (const key of sessionKeys) await channel.deleteQueue(sessionQueueName(names, key));
  for (const target of webhookTargets) await channel.deleteQueue(webhookQueueName(names, target));
  for (const { name } of exchanges) await channel.deleteExchange(name);
  await channel.close();
}
