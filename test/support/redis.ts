/** A Redis for tests: the one of the machine, else a private one; whatever is published there carries a prefix of the test's own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { eventually } from './eventually.ts';
import { isFreePort } from './scripts.ts';

export interface TestRedis {
  readonly port: number;
  /** For publishing and looking. */
  readonly client: Redis;
  close(): Promise<void>;
}

export function uniqueRedisPrefix(): string {
  return `test_${randomBytes(6).toString('hex')}_`;
}

const usualPort = 6379;

/** Resolves with a sentence where a machine has no Redis and none can be started. */
export async function testRedis(): Promise<TestRedis | string> {
  const shared = await connectTo(usualPort).catch(() => undefined);
  if (shared !== undefined) {
    return { port: usualPort, client: shared, close: async () => shared.disconnect() };
  }
  return startPrivateRedis();
}

/** One that the test may stop, with whatever else it is to be started with. */
export async function startPrivateRedis(
  ...options: readonly string[]
): Promise<TestRedis | string> {
  const port = await freePort();
  const server = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', ...options],
    { stdio: 'ignore' },
  );
  let failure: string | undefined;
  server.on('error', () => {
    failure = 'no Redis at 127.0.0.1:6379, and no redis-server to start';
  });
  server.on('exit', () => {
    failure ??= 'redis-server does not stay up';
  });
  const at = options.indexOf('--requirepass');
  const password = at === -1 ? undefined : options[at + 1];
  const client = await eventually<Redis | string>(() => failure ?? connectTo(port, password));
  if (typeof client === 'string') return client;
  return {
    port,
    client,
    async close() {
      client.disconnect();
      await ended(server);
    },
  };
}

async function connectTo(port: number, password?: string): Promise<Redis> {
  const client = new Redis({
    port,
    lazyConnect: true,
    retryStrategy: () => null,
    ...(password === undefined ? {} : { password }),
  });
  client.on('error', () => undefined);
  await client.connect();
  await client.ping();
  return client;
}

async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = 7_700 + Math.floor(Math.random() * 1_000);
    if (await isFreePort(port)) return port;
  }
  throw new Error('no free port for Redis');
}

function ended(server: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    server.once('exit', () => resolve());
    server.kill('SIGKILL');
  });
}
