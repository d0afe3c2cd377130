/** One life of the connection to Redis: a subscription, and beside it the commands that a subscribed connection may not send. */
import { isIP } from 'node:net';
import { Redis } from 'ioredis';
import type { RedisServer } from '../../contracts/warren-config.ts';
import type { Clock } from '../../runtime/clock.ts';

export interface SessionOptions {
  readonly server: RedisServer;
  readonly connectionName: string;
  readonly clock: Clock;
  /** Redis pattern over whole channel names. */
  readonly pattern: string;
  /** Listened to beside the pattern. */
  readonly marks: string;
  /** In the order of the server. Must not throw. */
  message(channel: Buffer, message: Buffer): void;
  mark(text: string): void;
}

export interface RedisSession {
  readonly commands: Redis;
  /** Resolves with a sentence when it is over. Holds no credentials. */
  readonly ended: Promise<string>;
  /** Cuts both connections. */
  end(reason: string): void;
}

const connectTimeoutMs = 5_000;
/** A server that does not answer for so long has gone. */
const commandTimeoutMs = 2_000;
const pingMs = 1_000;

/** Resolves when what is published from now on arrives; rejects with a plain `Error` that holds no credentials. */
export async function openSession(options: SessionOptions): Promise<RedisSession> {
  const commands = connection(options);
  const subscriber = connection(options);
  let end: (reason: string) => void = () => undefined;
  const over = new Promise<string>((resolve) => {
    end = resolve;
  });
  let failure: string | undefined;
  for (const one of [commands, subscriber]) {
    // The reason comes as an error, before the end.
    one.on('error', (error: unknown) => {
      failure ??= reasonOf(error);
    });
    one.on('end', () => end(failure ?? 'Redis closed the connection'));
  }
  const cut = () => {
    commands.disconnect();
    subscriber.disconnect();
  };
  const marks = Buffer.from(options.marks, 'utf8');
  subscriber.on('messageBuffer', (channel: Buffer, text: Buffer) => {
    if (channel.equals(marks)) options.mark(text.toString('latin1'));
  });
  subscriber.on('pmessageBuffer', (_pattern: Buffer, channel: Buffer, message: Buffer) => {
    options.message(channel, message);
  });
  try {
    await Promise.all([commands.connect(), subscriber.connect()]);
    await subscriber.subscribe(options.marks);
    await subscriber.psubscribe(options.pattern);
  } catch (error) {
    cut();
    throw new Error(failure ?? reasonOf(error));
  }
  // A subscription says nothing where nothing is published: without asking, a dead one looks like a quiet one.
  const stopPings = options.clock.every(pingMs, () => {
    subscriber.ping().catch((error: unknown) => end(reasonOf(error)));
  });
  return {
    commands,
    ended: over.finally(() => {
      stopPings();
      cut();
    }),
    end,
  };
}

/** What comes back after a loss would be a new subscription that looks like the old one: so nothing comes back by itself. */
function connection({ server, connectionName }: SessionOptions): Redis {
  const { host, port, tls, username, password } = server;
  return new Redis({
    host,
    port,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: isIP(host) === 0 ? { servername: host } : {} } : {}),
    connectionName,
    disableClientInfo: true,
    protocol: 2,
    lazyConnect: true,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResubscribe: false,
    autoResendUnfulfilledCommands: false,
    retryStrategy: () => null,
    reconnectOnError: null,
    connectTimeout: connectTimeoutMs,
    commandTimeout: commandTimeoutMs,
  });
}

/** The sentence alone: the library's errors carry the command that failed, and with AUTH its password. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text === '' ? 'the connection failed' : text;
}
