/** The edge role: puts its parts together, and stops them in the right order. It is given its broker and chooses none. */
import type { Broker } from '../broker/port.ts';
import type { EdgeId } from '../contracts/ids.ts';
import { type CloseCode, closeCodes } from '../contracts/pusher/close-codes.ts';
import { fail, type Result } from '../contracts/result.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import type { Readiness, Role } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Settings } from '../runtime/settings.ts';
import { createApi } from './api/app.ts';
import { Apps } from './apps.ts';
import { Clients } from './channels/clients.ts';
import { ChannelRegistry } from './channels/registry.ts';
import { ChannelRules } from './channels/rules.ts';
import { closePaced } from './drain.ts';
import { defaultServerLimits, startServer } from './server.ts';
import { Connection, type ConnectionContext } from './socket/connection.ts';
import { Connections } from './socket/connections.ts';
import { type Handshake, readHandshake } from './socket/handshake.ts';
import { sweepPeriodMs } from './socket/heartbeat.ts';
import { newSocketId, type RandomInteger, secureRandom } from './socket/socket-id.ts';
import { Turn } from './socket/turn.ts';
import { EdgeTally, exposeTally } from './tally.ts';

export type EdgeSettings = Pick<
  Settings,
  | 'host'
  | 'port'
  | 'activityTimeoutMs'
  | 'pongTimeoutMs'
  | 'slowSocketMs'
  | 'socketBufferBytes'
  | 'prefetch'
  | 'queueMaxLength'
>;

export interface EdgeOptions {
  readonly broker: Pick<Broker, 'channelPublisher' | 'sessionQueues' | 'status' | 'onStatus'>;
  readonly config: WarrenConfig;
  readonly settings: EdgeSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly edgeId: EdgeId;
  /** Socket ids and the order of closing; cryptographic by default. */
  readonly random?: RandomInteger;
}

export interface EdgeRole extends Role {
  /** The port that is bound. */
  readonly port: number;
}

/**
 * Resolves when the port is bound, broker or not: sockets are greeted and subscriptions wait until it is there.
 * Rejects where the port cannot be bound or a channel rule does not compile.
 */
export async function startEdge(options: EdgeOptions): Promise<EdgeRole> {
  const { broker, config, settings, clock, metrics } = options;
  const log = options.log.child({ edge: options.edgeId });
  const random = options.random ?? secureRandom;
  const apps = new Apps(config.apps);
  const tally = new EdgeTally();
  const registry = new ChannelRegistry();
  const connections = new Connections();
  let stopping: Promise<void> | undefined;

  const clients = new Clients(
    { registry, clock, log, tally },
    {
      queues: broker.sessionQueues,
      tally,
      prefetch: settings.prefetch,
      queueMaxLength: settings.queueMaxLength,
    },
  );
  const context: ConnectionContext = {
    clock,
    log,
    tally,
    turn: new Turn(),
    limits: { ...settings, closeTimeoutMs: defaultServerLimits.closeTimeoutMs },
    client: (connection) => clients.of(connection),
    ended(connection) {
      connection.handshake.app.connections -= 1;
      connections.delete(connection);
    },
  };

  function admit(url: string, origin: string | undefined): Result<Handshake, CloseCode> {
    return stopping === undefined ? readHandshake(url, origin, apps) : fail(closeCodes.reconnect);
  }

  function readiness(): Readiness {
    if (stopping !== undefined) return { ready: false, reason: 'draining' };
    const status = broker.status();
    if (status.ready) return { ready: true };
    return { ready: false, reason: status.reason ?? 'the broker is away' };
  }

  const server = await startServer({
    host: settings.host,
    port: settings.port,
    api: createApi({
      apps,
      publisher: broker.channelPublisher,
      rules: new ChannelRules(config.channels),
      auth: config.auth,
      clock,
      log,
      tally,
      readiness,
    }),
    admit,
    accept(webSocket, socket, handshake) {
      const socketId = newSocketId(random, (id) => connections.has(id));
      handshake.app.connections += 1;
      connections.add(new Connection(context, webSocket, socket, handshake, socketId));
    },
    limits: defaultServerLimits,
    log,
    tally,
  });
  exposeTally(metrics, tally, {
    connections: () => connections.size,
    subscriptions: () => registry.subscriptions,
    channels: () => registry.channels,
    bufferedBytes: () => connections.bufferedBytes(),
  });
  const stopSweep = connections.sweep(clock, sweepPeriodMs(settings));
  const stopWatching = broker.onStatus((status) => {
    if (status.ready) log.info({}, 'the broker is ready');
    else log.warn({ reason: status.reason }, 'the broker is away');
  });
  log.info({ host: settings.host, port: server.port }, 'edge is listening');

  /** Every wait ends at the deadline, whatever the clients and the broker do. */
  async function stop(drainMs: number): Promise<void> {
    const over = new AbortController();
    const deadline = delay(clock, drainMs, over.signal);
    const ended = server.stopListening();
    const closed = (async () => {
      await closePaced(connections.all(), drainMs, clock, random);
      await connections.emptied();
      await Promise.all([ended, clients.left()]);
    })();
    await Promise.race([closed, deadline]);
    over.abort();
    for (const connection of connections.all()) {
      connection.close(closeCodes.reconnect);
      connection.terminate();
    }
    server.destroy();
    stopSweep();
    stopWatching();
    log.info({}, 'edge has stopped');
  }

  return {
    port: server.port,
    readiness,
    stop(drainMs) {
      stopping ??= stop(drainMs);
      return stopping;
    },
  };
}
