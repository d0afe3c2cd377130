/** Asks the broker whether anything is bound to a routing key: publishes there, and sees whether the message comes back. */
import type { ChannelModel } from 'amqplib';

/** The keys of these that reach a queue; what was published there stays in it. */
export async function routedKeys(
  connection: ChannelModel,
  exchange: string,
  keys: readonly string[],
): Promise<readonly string[]> {
  const channel = await connection.createConfirmChannel();
  const returned = new Set<string>();
  channel.on('return', ({ fields }) => returned.add(fields.routingKey));
  for (const key of keys) {
    channel.publish(exchange, key, Buffer.from('{}'), { mandatory: true });
  }
  await channel.waitForConfirms();
  await channel.close();
  return keys.filter((key) => !returned.has(key));
}
