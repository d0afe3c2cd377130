/** The edge role: puts its parts together, and stops them in the right order. It is given its broker and chooses none. */
import type { Broker } from '../broker/port.ts';
import type { EdgeId, SocketId } from '../contracts/ids.ts';
import { type CloseCode, closeCodes } from '../contracts/pusher/close-codes.ts';
import type { WebhookEvent } from '../contracts/pusher/webhook.ts';
import { fail, type Result } from '../contracts/result.ts';
import type { AppConfig, WarrenConfig } from '../contracts/warren-config.ts';
import { type Clock, delay } from '../runtime/clock.ts';
import type { Readiness, Role } from '../runtime/lifecycle.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import type { Settings } from '../runtime/settings.ts';
import { createApi } from './api/app.ts';
import { ApiEvents } from './api/rate-limit.ts';
import { type App, Apps } from './apps.ts';
import type { BreakerLimits } from './authorizer/authorizer.ts';
import { Authorizers } from './authorizer/authorizers.ts';
import { Clients } from './channels/clients.ts';
import { Continuities, firstOfSocketId } from './channels/continuity.ts';
import { Figures } from './channels/figures.ts';
import { LastEvents } from './channels/last-events.ts';
import { localState } from './channels/local-state.ts';
import { Presence } from './channels/presence.ts';
import { ChannelRegistry } from './channels/registry.ts';
import { Replay } from './channels/replay.ts';
import { Revocations } from './channels/revocations.ts';
import { ChannelRules } from './channels/rules.ts';
import { Users } from './channels/users.ts';
import { type ClusterTimings, joinCluster } from './cluster/cluster.ts';
import { PingPacer } from './delivery/ping-pacer.ts';
import { maxAttachBacklog } from './delivery/policy.ts';
import { RoadLoad } from './delivery/road-load.ts';
import { exposeRoads } from './delivery/roads-metrics.ts';
import { SharedQueue } from './delivery/shared-queue.ts';
import { SocketEvents } from './delivery/socket-events.ts';
import { closePaced } from './drain.ts';
import { Egress } from './egress.ts';
import { defaultServerLimits, startServer } from './server.ts';
import { startShedding } from './shed.ts';
import { Connection, type ConnectionContext } from './socket/connection.ts';
import { Connections } from './socket/connections.ts';
import { type Handshake, readHandshake } from './socket/handshake.ts';
import { sweepPeriodMs } from './socket/heartbeat.ts';
import { newSocketId, type RandomInteger, secureRandom } from './socket/socket-id.ts';
import { Turn } from './socket/turn.ts';
import { EdgeTally, exposeTally } from './tally.ts';
import type { KeySetTimings } from './tokens/key-set.ts';
import { TokenKeys } from './tokens/token-keys.ts';
import { Webhooks } from './webhooks/webhooks.ts';

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
  | 'hotAfter'
  | 'ownQueues'
  | 'resumeWindowMs'
  | 'sessionMaxLength'
  | 'shedPerSecond'
  | 'webhookPrivateTargets'
>;

export interface EdgeOptions {
  readonly broker: Pick<
    Broker,
    | 'domainEvents'
    | 'channelPublisher'
    | 'sessionQueues'
    | 'edgeQueues'
    | 'edgeBus'
    | 'publicationCache'
    | 'webhookQueues'
    | 'clientEvents'
    | 'status'
    | 'onStatus'
  >;
  readonly config: WarrenConfig;
  readonly settings: EdgeSettings;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly edgeId: EdgeId;
  /** Socket ids and the order of closing; cryptographic by default. */
  readonly random?: RandomInteger;
  /** Leases and deadlines between edges. */
  readonly clusterTimings?: Partial<ClusterTimings>;
  /** Of the issuer's key set. */
  readonly keySetTimings?: Partial<KeySetTimings>;
  /** Of the services that channel rules ask. */
  readonly authorizerBreaker?: BreakerLimits;
}

export interface EdgeRole extends Role {
  /** The port that is bound. */
  readonly port: number;
  /**
   * Takes over the apps and channel rules of another configuration, at once and for sockets that are open too: those of apps that
   * are gone or disabled are closed.
   */
  reload(config: WarrenConfig): void;
}

/** Of the time for stopping, what is kept for taking leave of the other edges and of webhook targets. */
const farewellShare = 0.2;
const shortestFarewellMs = 200;
const longestFarewellMs = 2_000;

/**
 * Resolves when the port is bound, broker or not: sockets are greeted and subscriptions wait until it is there.
 * Rejects where the port cannot be bound or a channel rule does not compile.
 */
export async function startEdge(options: EdgeOptions): Promise<EdgeRole> {
  const { broker, config, settings, clock, metrics, edgeId } = options;
  const log = options.log.child({ edge: edgeId });
  const random = options.random ?? secureRandom;
  const apps = new Apps(config.apps);
  const rules = new ChannelRules(config.channels);
  const tally = new EdgeTally();
  const { keySetTimings, authorizerBreaker } = options;
  const authorizers = new Authorizers(config.channels, {
    clock,
    log,
    metrics,
    ...(authorizerBreaker === undefined ? {} : { breaker: authorizerBreaker }),
  });
  const tokenKeys =
    config.auth &&
    new TokenKeys(config.auth.jwt, {
      clock,
      log,
      metrics,
      ...(keySetTimings === undefined ? {} : { keySetTimings }),
    });
  const registry = new ChannelRegistry();
  const connections = new Connections();
  const apiEvents = new ApiEvents(clock);
  let stopping: Promise<void> | undefined;

  const webhooks = new Webhooks({
    queues: broker.webhookQueues,
    apps: () => apps.all().map((app) => app.config),
    clock,
    log,
    metrics,
    allowPrivate: settings.webhookPrivateTargets,
    onStatus: (listener) => broker.onStatus(listener),
    edgeId,
  });
  const egress = new Egress({
    port: broker.clientEvents,
    config: config.egress,
    clock,
    log,
    metrics,
  });
  const emit = (app: AppConfig, event: WebhookEvent) => {
    webhooks.emit(app, event);
    egress.emit(app, event);
  };

  // Rooms and sums call back into what is made right below, and not before the bus is joined.
  const cluster = joinCluster({
    edgeBus: broker.edgeBus,
    edgeId,
    clock,
    log,
    ...(options.clusterTimings === undefined ? {} : { timings: options.clusterTimings }),
    local: {
      load: () => local.load(),
      channels: (query) => local.channels(query),
      sessionClaimed: (key, atMs, edge) => local.sessionClaimed(key, atMs, edge),
      terminate: (app, user) => local.terminate(app, user),
      disconnect: (app, user) => local.disconnect(app, user),
    },
    rooms: {
      added: (key, user, info) => presence.added(key, user, info),
      removed: (key, user) => presence.removed(key, user),
    },
    directory: {
      total: (key, total) => figures.total(key, total),
      appeared: (key) => figures.appeared(key),
      vanished: (key) => figures.vanished(key),
      changed: (key, total) => figures.changed(key, total),
    },
  });
  const users = new Users(cluster.directory);
  const figures: Figures = new Figures({
    apps,
    registry,
    directory: cluster.directory,
    egress: () => egress.config,
    emit,
    userTotal: (app, user, total) => users.total(app, user, total),
  });
  const presence = new Presence({
    registry,
    rooms: cluster.rooms,
    graceMs: (app, channel) => rules.presenceGraceMs(app.config.id, channel),
    userHere: (app, channel, user, isHere) => figures.memberHere(app, channel, user, isHere),
  });
  const local = localState({
    apps,
    registry,
    presence,
    users,
    apiEventsLastSecond: (app) => apiEvents.lastSecond(app),
    continuities: () => continuities,
  });
  const pacer = new PingPacer(clock);
  const continuities: Continuities = new Continuities({
    queues: broker.sessionQueues,
    pacer,
    clock,
    log,
    tally,
    settings: {
      prefetch: settings.prefetch,
      maxLength: settings.sessionMaxLength,
      windowMs: settings.resumeWindowMs,
    },
    edgeId,
    edges: () => cluster.edges().length,
    claim: (key, atMs) => cluster.claimSession(key, atMs),
  });
  const revocations = new Revocations({
    apps,
    registry,
    clock,
    late: (session, subscription) => clients.expel(session, subscription),
  });
  const lastEvents = new LastEvents({
    cache: broker.publicationCache,
    clock,
    log,
    revoked: (revocation) => revocations.seen(revocation),
  });
  const load = new RoadLoad();
  const shared = new SharedQueue({
    queues: broker.edgeQueues,
    edgeId,
    queueMaxLength: settings.queueMaxLength,
    socketBufferBytes: settings.socketBufferBytes,
    clock,
    tally,
  });
  const socketEvents = new SocketEvents({
    queues: broker.edgeQueues,
    edgeId,
    apps: () => apps.all().map((app) => app.config.id),
    connections,
    socketBufferBytes: settings.socketBufferBytes,
    clock,
    log,
    tally,
  });
  const clients: Clients = new Clients(
    {
      registry,
      presence,
      figures,
      users,
      rules,
      revocations,
      continuities,
      replay: new Replay(lastEvents, emit),
      publisher: broker.channelPublisher,
      egress,
      emit,
      clock,
      log,
      tally,
    },
    {
      queues: broker.sessionQueues,
      shared,
      load,
      limits: {
        hotAfter: settings.hotAfter,
        ownQueues: settings.ownQueues,
        attachBacklog: maxAttachBacklog,
      },
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

  const connectionsElsewhere = (app: App) => cluster.othersLoad(app.config.id).connections;

  function admit(url: string, origin: string | undefined): Result<Handshake, CloseCode> {
    return stopping === undefined
      ? readHandshake(url, origin, apps, connectionsElsewhere)
      : fail(closeCodes.reconnect);
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
      domainEvents: config.ingress?.http === true ? broker.domainEvents : undefined,
      rules,
      authorizers,
      tokenKeys,
      cluster,
      cache: lastEvents,
      apiEvents,
      clock,
      log,
      tally,
      readiness,
    }),
    admit,
    accept(webSocket, socket, admitted) {
      const address = 'remoteAddress' in socket ? String(socket.remoteAddress) : '';
      const handshake = { ...admitted, address };
      const isTaken = (id: SocketId) => connections.has(id);
      const socketId = newSocketId(random, isTaken, firstOfSocketId(handshake));
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
    users: () => users.size,
    edges: () => cluster.edges().length,
    cachedChannels: () => lastEvents.size,
    sessions: () => continuities.size,
  });
  const periodMs = sweepPeriodMs(settings);
  exposeRoads(metrics, load, shared);
  const stopSweep = connections.sweep(clock, periodMs);
  const stopShedding = startShedding({
    perSecond: settings.shedPerSecond,
    clock,
    random,
    figures() {
      let all = connections.size;
      for (const app of apps.all()) all += connectionsElsewhere(app);
      return { own: connections.size, all, edges: cluster.edges().length };
    },
    connections: () => connections.all(),
  });
  const stopUnproven = clock.every(periodMs, () => clients.sweep(clock.monotonicMs()));
  const stopWatching = broker.onStatus((status) => {
    if (status.ready) log.info({}, 'the broker is ready');
    else log.warn({ reason: status.reason }, 'the broker is away');
  });
  webhooks.start();
  socketEvents.start();
  tokenKeys?.start();
  log.info({ host: settings.host, port: server.port }, 'edge is listening');

  /** Every wait ends at the deadline, whatever the clients and the broker do. */
  async function stop(drainMs: number): Promise<void> {
    stopShedding();
    const over = new AbortController();
    const farewellMs = Math.min(
      longestFarewellMs,
      Math.max(shortestFarewellMs, drainMs * farewellShare),
    );
    const closingMs = Math.max(0, drainMs - farewellMs);
    const deadline = delay(clock, closingMs, over.signal);
    const ended = server.stopListening();
    const closed = (async () => {
      await closePaced(connections.all(), closingMs, clock, random);
      await connections.emptied();
      await Promise.all([ended, clients.left()]);
    })();
    await Promise.race([closed, deadline]);
    over.abort();
    for (const connection of connections.all()) {
      connection.close(closeCodes.reconnect);
      connection.terminate();
    }
    await farewell(farewellMs);
    server.destroy();
    authorizers.stop();
    tokenKeys?.stop();
    stopSweep();
    stopUnproven();
    pacer.stop();
    stopWatching();
    log.info({}, 'edge has stopped');
  }

  /** The others need not wait for a lease to end; a target's next sender begins where this one stops. */
  async function farewell(withinMs: number): Promise<void> {
    const over = new AbortController();
    const parting = Promise.allSettled([
      cluster.leave(),
      webhooks.stop(withinMs),
      egress.stop(withinMs),
      lastEvents.close(),
      shared.close(),
      socketEvents.close(),
    ]);
    await Promise.race([parting, delay(clock, withinMs, over.signal)]);
    over.abort();
  }

  function closeAll(gone: readonly App[], reason: CloseCode): void {
    if (gone.length === 0) return;
    for (const connection of connections.all()) {
      if (gone.includes(connection.handshake.app)) connection.close(reason);
    }
  }

  return {
    port: server.port,
    readiness,
    reload(next) {
      rules.replace(next.channels);
      authorizers.replace(next.channels);
      const change = apps.update(next.apps);
      closeAll(change.removed, closeCodes.unknownApp);
      closeAll(change.disabled, closeCodes.appDisabled);
      webhooks.reload();
      egress.reload(next.egress);
      figures.reload();
      socketEvents.reload();
    },
    stop(drainMs) {
      stopping ??= stop(drainMs);
      return stopping;
    },
  };
}
