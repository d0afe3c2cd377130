/** `bin/warren dead` as an operator runs it, on a real RabbitMQ. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import { projectRoot, runScript } from '../support/scripts.ts';

const yaml = `apps:
  - { id: app-id, key: app-key, secret: app-secret }
events:
  - on: order.*
    to: 'orders.{data.region}'
`;

describe('warren dead', function () {
  this.timeout(60_000);
  let names: TopologyNames;
  let directory: string;
  let broker: Broker;

  before(async () => {
    names = topologyNames(uniquePrefix());
    directory = mkdtempSync(join(tmpdir(), 'warren-dead-'));
    writeFileSync(join(directory, 'warren.yaml'), yaml);
    broker = connectAmqp({
      urls: [brokerUrl],
      names,
      clock: systemClock,
      log: createLog('silent'),
      heartbeatSeconds: 5,
      confirmTimeoutMs: 5_000,
      connectionName: 'warren test',
    });
    let refused = 0;
    const router = await broker.domainEvents.consume({
      patterns: ['#'],
      prefetch: 10,
      async handle() {
        refused += 1;
        return { kind: 'dead-letter', refusal: { code: 'missing_field', text: 'no region' } };
      },
    });
    for (const body of ['{"region":"eu"}', '{}']) {
      await broker.domainEvents.publish({ routingKey: 'order.paid', body: Buffer.from(body) });
    }
    await eventually(() => expect(refused).to.equal(2));
    await router.stop(5_000);
  });

  after(async () => {
    await broker.close();
    rmSync(directory, { recursive: true });
    const admin = await connectToBroker();
    await deleteTopology(admin, names);
    await admin.close();
  });

  const warren = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    runScript(process.execPath, ['--import', 'tsx', join(projectRoot, 'cli/main.ts'), ...args], {
      WARREN_BROKER_URL: brokerUrl,
      WARREN_TOPOLOGY_PREFIX: names.prefix,
      WARREN_CONFIG: join(directory, 'warren.yaml'),
      ...env,
    });

  it('lists letters, explains one, and replays it to the router that routes it by its first key', async () => {
    const listed = await warren(['dead', 'list', '--json']);
    expect(listed.code, listed.output).to.equal(0);
    const { letters } = JSON.parse(listed.output) as { letters: { id: string; key: string }[] };
    expect(letters.map(({ key }) => key)).to.deep.equal(['order.paid', 'order.paid']);
    const id = letters[0]?.id ?? '';
    const explained = await warren(['explain', '--dead', id]);
    expect(explained.code, explained.output).to.equal(0);
    expect(explained.output).to.include('→ orders.eu');
    const replayed = await warren(['dead', 'replay', id]);
    expect(replayed).to.deep.equal({ code: 0, output: 'replayed 1 letter, 1 left\n' });
    const events: string[] = [];
    const router = await broker.domainEvents.consume({
      patterns: ['#'],
      prefetch: 10,
      async handle({ routingKey, body }) {
        events.push(`${routingKey} ${body.toString('utf8')}`);
        return { kind: 'done' };
      },
    });
    await eventually(() => expect(events).to.deep.equal(['order.paid {"region":"eu"}']));
    await router.stop(5_000);
    const dropped = await warren(['dead', 'drop', '--key', 'order.#']);
    expect(dropped.code, dropped.output).to.equal(2);
    expect(dropped.output).to.include('add --yes');
  });

  it('says what is missing or away, and how to put it right', async () => {
    const [away, elsewhere, misused] = await Promise.all([
      warren(['dead', 'list'], { WARREN_BROKER_URL: 'amqp://user:s3cret@127.0.0.1:1' }),
      warren(['dead', 'list'], { WARREN_TOPOLOGY_PREFIX: uniquePrefix() }),
      warren(['explain']),
    ]);
    expect(away.code, away.output).to.equal(1);
    expect(away.output).to.match(
      /cannot use the broker at amqp:\/\/127\.0\.0\.1:1.*\n.*is RabbitMQ running/,
    );
    expect(away.output).to.not.include('s3cret');
    expect(elsewhere.code, elsewhere.output).to.equal(1);
    expect(elsewhere.output).to.match(/there is no queue .*\n.*WARREN_TOPOLOGY_PREFIX/);
    expect(misused.code, misused.output).to.equal(2);
    expect(misused.output).to.include('--key <routing key>');
  });
});
