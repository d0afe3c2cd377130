/** After a run: what sessions had at the broker is gone. */
import { strict as assert } from 'node:assert';
import { connect } from 'amqplib';
import { brokerUrl } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import type { PrivateBroker } from '../support/private-broker.ts';
import type { ChaosRun } from './run.ts';

const deadlineMs = 15_000;

/**
 * Closes every page for good, then stops the members. An exchange that can be deleted `if-unused` has no binding left, so there is
 * no queue that still collects for anybody: works on any broker, without its management page.
 */
export async function assertNothingLeft(run: ChaosRun, url = brokerUrl): Promise<void> {
  run.closePages();
  const { names } = run.fleet;
  const connection = await connect(url);
  // A refusal closes its channel.
  const call = async <T>(
    use: (channel: Awaited<ReturnType<typeof connection.createChannel>>) => Promise<T>,
  ) => {
    const channel = await connection.createChannel();
    channel.on('error', () => undefined);
    const result = await use(channel);
    await channel.close();
    return result;
  };
  try {
    await run.fleet.stopMembers();
    // Durable, as the topology declares it; its binding is the only one that may remain.
    await call((channel) => channel.deleteQueue(names.publicationCache));
    await eventually(
      () => call((channel) => channel.deleteExchange(names.channels, { ifUnused: true })),
      deadlineMs,
    );
    await eventually(
      () => call((channel) => channel.deleteExchange(names.edges, { ifUnused: true })),
      deadlineMs,
    );
    const { consumerCount, messageCount } = await call((channel) =>
      channel.checkQueue(names.routerEvents),
    );
    assert.deepEqual([consumerCount, messageCount], [0, 0]);
  } finally {
    await connection.close();
  }
}

/**
 * Queues and bindings under a prefix, one a line and sorted, and how many consumers the channels of all have: the broker's count per
 * queue comes late, and of a stream it keeps those that died with their connection. An edge that was started or connected again has
 * another name, so that part is left out.
 */
export async function brokerObjects(
  broker: PrivateBroker,
  prefix: string,
): Promise<readonly string[]> {
  const list = async (what: string, ...columns: readonly string[]) => {
    const text = await broker.control(what, '--no-table-headers', ...columns);
    return text.split('\n').filter((line) => line.trim() !== '');
  };
  const queues = await list('list_queues', 'name');
  const bindings = await list('list_bindings', 'source_name', 'destination_name', 'routing_key');
  const consumers = (await list('list_channels', 'consumer_count')).map(Number);
  const named = [...queues, ...bindings]
    .filter((line) => line.includes(prefix))
    .map((line) => line.replaceAll(/\b[0-9a-f]{12}(\.\d+)*\b/g, '<node>'));
  return [...named.sort(), `${consumers.reduce((sum, count) => sum + count, 0)} consumers`];
}
