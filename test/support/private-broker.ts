/** A RabbitMQ of a test's own, which it may stop and start: started the way make does, with data of its own. */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { isFreePort, isRunning, projectRoot, runScript } from './scripts.ts';

export const brokerScript = join(projectRoot, 'infra/scripts/broker.sh');

/** broker.sh's exit status where a machine offers no way to a broker (sysexits: EX_UNAVAILABLE). */
export const unavailable = 69;

/** Ports that go with a broker's own: Erlang's distribution and its port mapper, see beside() in broker.sh. */
export const companions = [20_000, 25_000] as const;

/** Below the range from which the kernel takes ports for outgoing connections, companions included. */
export async function freeBrokerPort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const port = 5_700 + Math.floor(Math.random() * 1_900);
    const all = await Promise.all([0, ...companions].map((offset) => isFreePort(port + offset)));
    if (all.every(Boolean)) return port;
  }
  throw new Error('no free port for a broker');
}

/** A run that was killed could not stop its broker. The folder names the run, so a later one can. */
export async function stopAbandonedBrokers(): Promise<void> {
  for (const entry of await readdir(tmpdir())) {
    const run = /^warren-broker-(\d+)-/.exec(entry)?.[1];
    if (run === undefined || isRunning(Number(run))) continue;
    const abandoned = join(tmpdir(), entry);
    if ((await stat(abandoned)).uid !== process.getuid?.()) continue;
    await runScript(brokerScript, ['down'], { WARREN_RUN_DIR: join(abandoned, 'ours') });
    await rm(abandoned, { recursive: true, force: true });
  }
}

export interface PrivateBroker {
  readonly url: string;
  /** Politely, as an operator would; what is durable is kept. */
  down(): Promise<void>;
  up(): Promise<void>;
  /** SIGKILL of the broker's process, as a machine that loses power; resolves when it is gone. `up` starts it again. */
  kill(): Promise<void>;
  /** Calls its `rabbitmqctl`, which takes some seconds, and returns what it said. */
  control(...command: readonly string[]): Promise<string>;
  /** Stops it for good. */
  remove(): Promise<void>;
}

/** Resolves with a text where a machine has no way to a broker. */
export async function startPrivateBroker(): Promise<PrivateBroker | string> {
  await stopAbandonedBrokers();
  const directory = await mkdtemp(join(tmpdir(), `warren-broker-${process.pid}-`));
  const port = await freeBrokerPort();
  const environment = {
    WARREN_RUN_DIR: join(directory, 'ours'),
    WARREN_BROKER_PORT: String(port),
    // A container's data would not survive its end.
    WARREN_BROKER_VIA: 'native',
  };
  const run = async (command: 'up' | 'down') => {
    const { code, output } = await runScript(brokerScript, [command], environment);
    if (code !== 0 && code !== unavailable) throw new Error(output);
    return code === unavailable ? output : undefined;
  };
  const reason = await run('up');
  if (reason !== undefined) return reason;
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}`,
    down: async () => void (await run('down')),
    up: async () => void (await run('up')),
    async kill() {
      const state = await readFile(join(environment.WARREN_RUN_DIR, 'broker.state'), 'utf8');
      const pid = Number(/^pid=(\d+)$/m.exec(state)?.[1]);
      process.kill(pid, 'SIGKILL');
      await eventually(() => {
        if (isRunning(pid)) throw new Error(`the broker, pid ${pid}, does not end`);
      });
    },
    async control(...command) {
      const base = join(environment.WARREN_RUN_DIR, 'rabbitmq');
      const { code, output } = await runScript(
        'env',
        [
          '-i',
          `PATH=${process.env['PATH']}:/usr/sbin:/sbin`,
          `HOME=${join(base, 'home')}`,
          `ERL_EPMD_PORT=${port + companions[1]}`,
          `RABBITMQ_CONF_ENV_FILE=${join(base, 'rabbitmq-env.conf')}`,
          'rabbitmqctl',
          '--quiet',
          '--node',
          `warren-${port}@localhost`,
          // Debian's wrapper changes the user, and the home with it.
          '--erlang-cookie',
          await readFile(join(base, 'home', '.erlang.cookie'), 'utf8'),
          ...command,
        ],
        {},
      );
      if (code !== 0) throw new Error(`rabbitmqctl ${command.join(' ')}: ${output}`);
      return output;
    },
    async remove() {
      await run('down');
      await rm(directory, { recursive: true, force: true });
    },
  };
}
