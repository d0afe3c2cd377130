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
 * Queues with their consumers, and bindings, under a prefix, one a line and sorted. An edge that was started or connected
 * again has another name, so that part is left out.
 */
export async function brokerObjects(
  broker: PrivateBroker,
  prefix: string,
): Promise<readonly string[]> {
  const queues = await broker.control('list_queues', '--no-table-headers', 'name', 'consumers');
  const bindings = await broker.control(
    'list_bindings',
    '--no-table-headers',
    'source_name',
    'destination_name',
    'routing_key',
  );
  return [...queues.split('\n'), ...bindings.split('\n')]
    .filter((line) => line.includes(prefix))
    .map((line) => line.replaceAll(/\b[0-9a-f]{12}(\.\d+)*\b/g, '<node>'))
    .sort();
}
