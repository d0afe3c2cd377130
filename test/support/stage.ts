/** Several edges in this process, each with a connection of its own to a real RabbitMQ, under a prefix of their own. */
import { connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import { targetsOf } from '../../edge/webhooks/targets.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from './broker.ts';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from './edge.ts';
import { eventually } from './eventually.ts';

export interface Stage {
  readonly edges: readonly TestEdge[];
  readonly app: TestEdge['app'];
  readonly names: TopologyNames;
  /** The n-th edge, counted round. */
  edge(n: number): TestEdge;
  port(n: number): number;
  /** One more edge. */
  start(): Promise<TestEdge>;
  close(): Promise<void>;
}

/** Resolves when every edge counts all of them as alive. */
export async function startStage(
  count: number,
  options: Omit<TestEdgeOptions, 'broker' | 'link'> = {},
): Promise<Stage> {
  const names = topologyNames(uniquePrefix());
  const links: Broker[] = [];
  const edges: TestEdge[] = [];
  const close = async () => {
    await Promise.all(edges.map((edge) => edge.close()));
    await Promise.all(links.map((link) => link.close()));
    const connection = await connectToBroker();
    const targets = edges.flatMap(({ app }) => targetsOf(app)).map(({ id }) => id);
    await deleteTopology(connection, names, [], targets);
    await connection.close();
  };
  const start = async () => {
    const link = connectAmqp({
      urls: [brokerUrl],
      names,
      clock: systemClock,
      log: createLog('silent'),
      heartbeatSeconds: 10,
      confirmTimeoutMs: 10_000,
      connectionName: 'warren test edge',
    });
    links.push(link);
    const edge = await startTestEdge({ ...options, link });
    edges.push(edge);
    await eventually(() => {
      const state = edge.edge.readiness();
      if (!state.ready) throw new Error(state.reason);
    }, 20_000);
    return edge;
  };
  try {
    for (let n = 0; n < count; n += 1) await start();
    await eventually(async () => {
      for (const edge of edges) {
        if ((await edge.metric('warren_cluster_edges')) !== count) throw new Error('not all there');
      }
    }, 20_000);
  } catch (error) {
    await close();
    throw error;
  }
  const edge = (n: number) => {
    const found = edges[n % edges.length];
    if (found === undefined) throw new Error('a stage has at least one edge');
    return found;
  };
  return { edges, app: edge(0).app, names, edge, port: (n) => edge(n).edge.port, start, close };
}
