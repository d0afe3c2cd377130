/** Routers and edges as processes of their own, on a real RabbitMQ, under a prefix of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import { brokerUrl, deleteTopology, uniquePrefix } from './broker.ts';
import { eventually } from './eventually.ts';

export interface ClusterOptions {
  readonly edges: number;
  readonly routers: number;
  /** Text of warren.yaml. */
  readonly config: string;
  /** Texts of files beside it, by name. */
  readonly files?: Readonly<Record<string, string>>;
  readonly url?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Publisher {
  /** Confirmed; in call order. */
  publish(routingKey: string, body: string | Buffer, properties?: object): Promise<void>;
}

export interface Cluster extends Publisher {
  readonly names: TopologyNames;
  readonly edges: readonly Member[];
  readonly routers: readonly Member[];
  deadLetters(): Promise<readonly DeadLetter[]>;
  stop(): Promise<void>;
}

export interface DeadLetter {
  readonly body: string;
  readonly reason: string;
  readonly routingKey: string;
}

export interface Member {
  readonly port: number;
  readonly metricsPort: number;
  readonly process: ChildProcess;
  /** Lines of its log. */
  readonly log: readonly string[];
  /** Resolves with the exit code. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));
const startDeadlineMs = 30_000;

/** Resolves when every member is ready: connected, declared, listening. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const url = options.url ?? brokerUrl;
  const prefix = uniquePrefix();
  const names = topologyNames(prefix);
  const directory = mkdtempSync(join(tmpdir(), 'warren-e2e-'));
  const config = join(directory, 'warren.yaml');
  writeFileSync(config, options.config);
  for (const [name, text] of Object.entries(options.files ?? {})) {
    writeFileSync(join(directory, name), text);
  }
  const environment = {
    WARREN_BROKER_URL: url,
    WARREN_CONFIG: config,
    WARREN_HOST: '127.0.0.1',
    WARREN_PORT: '0',
    WARREN_METRICS_PORT: '0',
    WARREN_TOPOLOGY_PREFIX: prefix,
    WARREN_DRAIN_MS: '1000',
    ...options.environment,
  };
  const all: Member[] = [];
  const start = async (role: string) => {
    const member = await startMember(role, environment);
    all.push(member);
    return member;
  };
  let connection: ChannelModel | undefined;
  const stop = async () => {
    await Promise.all(all.map((member) => member.stop()));
    connection ??= await connect(url);
    await deleteTopology(connection, names);
    await connection.close();
    rmSync(directory, { recursive: true });
  };
  try {
    const routers = await Promise.all(
      Array.from({ length: options.routers }, () => start('router')),
    );
    const edges = await Promise.all(Array.from({ length: options.edges }, () => start('edge')));
    connection = await connect(url);
    connection.on('error', () => undefined);
    // A test may stop the broker; the end needs a connection that works.
    connection.on('close', () => {
      connection = undefined;
    });
    const channel = await connection.createConfirmChannel();
    channel.on('error', () => undefined);
    return {
      names,
      edges,
      routers,
      publish: publisherOn(channel, names.domainEvents).publish,
      deadLetters: () => readDeadLetters(connection, names),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function publisherOn(channel: ConfirmChannel, exchange: string): Publisher {
  return {
    publish: (routingKey, body, properties = {}) =>
      new Promise((resolve, reject) => {
        channel.publish(
          exchange,
          routingKey,
          Buffer.isBuffer(body) ? body : Buffer.from(body),
          { persistent: true, contentType: 'application/json', ...properties },
          (error: unknown) => (error === null ? resolve() : reject(error)),
        );
      }),
  };
}

async function readDeadLetters(
  connection: ChannelModel | undefined,
  names: TopologyNames,
): Promise<readonly DeadLetter[]> {
  if (connection === undefined) return [];
  const channel = await connection.createChannel();
  const letters: DeadLetter[] = [];
  for (;;) {
    const message = await channel.get(names.routerDeadLetters, { noAck: false });
    if (message === false) break;
    const headers = message.properties.headers ?? {};
    letters.push({
      body: message.content.toString(),
      reason: String(headers['x-warren-reason']),
      routingKey: String(headers['x-warren-routing-key']),
    });
  }
  // Unacknowledged, they return to the queue.
  await channel.close();
  return letters;
}

/** Resolves when it is ready. The caller ends it. */
export async function startMember(
  role: string,
  environment: Readonly<Record<string, string>>,
): Promise<Member> {
  const child = spawn(process.execPath, ['--import', 'tsx', main, 'serve', role], {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const log: string[] = [];
  const exited = once(child, 'exit');
  const up = new Promise<{ port?: number; metricsPort: number }>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.push(line);
      if (line.includes('"warren is up"')) resolve(JSON.parse(line));
    });
    createInterface({ input: child.stderr }).on('line', (line) => log.push(line));
    exited.then(() => reject(new Error(`${role} ended early:\n${log.join('\n')}`)));
  });
  const { port = 0, metricsPort } = await up;
  try {
    await eventually(async () => {
      const answer = await fetch(`http://127.0.0.1:${metricsPort}/readyz`, {
        headers: { connection: 'close' },
      });
      if (answer.status !== 200) throw new Error(`${role} is not ready: ${await answer.text()}`);
    }, startDeadlineMs);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  }
  return {
    port,
    metricsPort,
    process: child,
    log,
    async stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill(signal);
        await exited;
      }
      return child.exitCode;
    },
  };
}
