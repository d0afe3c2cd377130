import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { expect } from 'chai';
import {
  companions,
  freeBrokerPort,
  brokerScript as script,
  stopAbandonedBrokers,
  unavailable,
} from '../support/private-broker.ts';
import { isFreePort, isRunning, runScript } from '../support/scripts.ts';
import { skipBecause } from '../support/skip.ts';

describe('broker.sh', function () {
  // RabbitMQ needs 10 to 20 s to start on two busy cores; a first start may have to install it.
  this.timeout(300_000);

  let directory: string;
  let port: number;
  let url: string;
  let ours: Record<string, string>;
  /** As another checkout or another user would see the same broker. */
  let others: Record<string, string>;

  before(async function () {
    await stopAbandonedBrokers();
    directory = await mkdtemp(join(tmpdir(), `warren-broker-${process.pid}-`));
    port = await freeBrokerPort();
    url = `amqp://guest:guest@127.0.0.1:${port}`;
    ours = { WARREN_RUN_DIR: join(directory, 'ours'), WARREN_BROKER_PORT: String(port) };
    others = { WARREN_RUN_DIR: join(directory, 'others'), WARREN_BROKER_PORT: String(port) };
    const { code, output } = await runScript(script, ['up'], ours);
    if (code === unavailable) skipBecause(this, `no RabbitMQ to be had here: ${output}`);
    expect(code, output).to.equal(0);
  });

  after(async () => {
    const { code, output } = await runScript(script, ['down'], ours);
    expect(code, output).to.equal(0);
    await rm(directory, { recursive: true, force: true });
  });

  /** What one amqplib connection answers about a queue: its message count, or the refusal's code. */
  async function messagesIn(queue: string): Promise<number | string> {
    const connection = await connect(url);
    try {
      const channel = await connection.createChannel();
      channel.on('error', () => undefined);
      return (await channel.checkQueue(queue)).messageCount;
    } catch (error) {
      return String((error as { code?: unknown }).code);
    } finally {
      await connection.close();
    }
  }

  it('starts a broker that lets a client in and has the topology of definitions.json', async () => {
    expect(await messagesIn('router.events')).to.equal(0);
    expect(await messagesIn('router.events.dlq')).to.equal(0);
    expect(await messagesIn('router.events.other')).to.equal('404');
  });

  it('says in its status that it answers, and that it was started from here', async () => {
    const { code, output } = await runScript(script, ['status'], ours);
    expect(code, output).to.equal(0);
    expect(output).to.match(new RegExp(`up: RabbitMQ [0-9.]+ at 127.0.0.1:${port}, started with `));
  });

  it('finds its broker again without being told the port', async () => {
    const { WARREN_RUN_DIR } = ours as { WARREN_RUN_DIR: string };
    const { output } = await runScript(script, ['url'], { WARREN_RUN_DIR });
    expect(output.trim()).to.equal(url);
  });

  it('hands the broker to a command, and none of the names that only the scripts know', async () => {
    const { output } = await runScript(script, ['exec', 'env'], ours);
    const names = output.split('\n').filter((line) => line.startsWith('WARREN_'));
    expect(names).to.deep.equal([`WARREN_BROKER_URL=${url}`]);
  });

  it('starts nothing when it is up already', async () => {
    const { code, output } = await runScript(script, ['up'], ours);
    expect(code, output).to.equal(0);
    expect(output).to.include('already up').and.not.include('starting');
  });

  it('uses a broker that somebody else runs, and leaves it alone on `down`', async () => {
    const up = await runScript(script, ['up'], others);
    expect(up.code, up.output).to.equal(0);
    expect(up.output).to.include('using the broker that is already there');
    const down = await runScript(script, ['down'], others);
    expect(down.code, down.output).to.equal(0);
    expect(down.output).to.include('alone');
    expect(await messagesIn('router.events')).to.equal(0);
  });

  it('refuses to use a broker that does not know the user', async () => {
    const { code, output } = await runScript(script, ['up'], {
      WARREN_RUN_DIR: join(directory, 'others'),
      WARREN_BROKER_URL: `amqp://stranger:secret-word@127.0.0.1:${port}`,
    });
    expect(code).to.equal(1);
    expect(output).to.include('refuses user stranger').and.not.include('secret-word');
  });

  it('empties a local broker on `reset`', async () => {
    const connection = await connect(url);
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue('router.events', Buffer.from('{}'), { persistent: true });
    await channel.waitForConfirms();
    await connection.close();
    const { code, output } = await runScript(script, ['reset'], ours);
    expect(code, output).to.equal(0);
    expect(output).to.include('router.events is gone, with 1 message');
    expect(await messagesIn('router.events')).to.equal('404');
  });

  it('refuses to reset a broker on another host, without contacting it', async () => {
    const { code, output } = await runScript(script, ['reset'], {
      WARREN_RUN_DIR: join(directory, 'others'),
      // TEST-NET-1 (RFC 5737): an attempt to connect would time out.
      WARREN_BROKER_URL: `${url},amqp://192.0.2.1`,
    });
    expect(code, output).to.equal(4);
    expect(output).to.include('192.0.2.1');
  });

  it('stops what it started, companions included, and says afterwards that nothing answers', async () => {
    const state = await readFile(join(directory, 'ours', 'broker.state'), 'utf8');
    const pid = /^pid=(\d+)$/m.exec(state)?.[1];
    const { code, output } = await runScript(script, ['down'], ours);
    expect(code, output).to.equal(0);
    if (pid !== undefined) expect(isRunning(Number(pid)), `pid ${pid} still runs`).to.equal(false);
    for (const offset of [0, ...companions]) {
      expect(await isFreePort(port + offset), `port ${port + offset}`).to.equal(true);
    }
    const status = await runScript(script, ['status'], ours);
    expect(status.code, status.output).to.equal(3);
  });
});
