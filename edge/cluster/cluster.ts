/** Puts the parts together: the bus, who is alive, what is asked, who is in which room, what is counted. */
import type { EdgeBus } from '../../broker/port.ts';
import type { EdgeMessage } from '../../contracts/edge-message.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { ClusterBus } from './bus.ts';
import { Directory, type DirectoryTimings } from './directory.ts';
import { Membership, type MembershipTimings } from './membership.ts';
import type { Cluster, DirectoryListener, LocalState, RoomListener } from './port.ts';
import { Questions } from './questions.ts';
import type { RoomTimings } from './room-bus.ts';
import { Rooms } from './rooms.ts';

export interface ClusterOptions {
  readonly edgeBus: Pick<EdgeBus, 'join'>;
  readonly edgeId: EdgeId;
  readonly clock: Clock;
  readonly log: Log;
  readonly local: LocalState;
  readonly rooms: RoomListener;
  readonly directory: DirectoryListener;
  readonly timings?: Partial<ClusterTimings>;
}

/** All in milliseconds. */
export interface ClusterTimings extends MembershipTimings, DirectoryTimings {
  /** How long the other edges may take to answer a question. */
  readonly questionMs: number;
  /** How long leaving may take. */
  readonly leaveMs: number;
  /** From the goodbye until this edge hands over: what others sent before they heard it has come by then. */
  readonly lingerMs: number;
  readonly rooms: Partial<RoomTimings>;
}

export const defaultClusterTimings: ClusterTimings = {
  helloMs: 2_000,
  leaseMs: 8_000,
  answersMs: 500,
  gatherMs: 50,
  viewSettleMs: 1_000,
  vanishDelayMs: 3_000,
  largeTotalMs: 5_000,
  doubtMs: 2_000,
  retainMs: 15_000,
  retryMs: 1_000,
  questionMs: 3_000,
  leaveMs: 1_500,
  lingerMs: 150,
  rooms: {},
};

/**
 * Returns at once and joins the bus in the background, as soon as the broker is there. Until then rooms wait to be opened, sums wait
 * to be told, and questions are refused.
 */
export function joinCluster(options: ClusterOptions): Cluster {
  const { edgeBus, edgeId, clock, log, local } = options;
  const timings = { ...defaultClusterTimings, ...options.timings };
  const bus = new ClusterBus({
    edgeBus,
    edgeId,
    clock,
    log,
    listener: {
      message: receive,
      joined: () => membership.arrived(),
      interrupted() {
        membership.interrupted();
        questions.interrupted();
        rooms.interrupted();
        directory.interrupted();
      },
      restored() {
        membership.arrived();
        rooms.restored();
      },
    },
  });
  const membership: Membership = new Membership({
    edgeId,
    bus,
    clock,
    log,
    load: () => local.load(),
    timings,
    listener: {
      joined(edge) {
        rooms.edgeJoined(edge);
        directory.edgeJoined(edge);
      },
      returned: (edge) => directory.edgeReturned(edge),
      left(edge, how, lastHeardMs) {
        questions.edgeLeft(edge);
        rooms.edgeLeft(edge);
        directory.edgeLeft(edge, how, lastHeardMs);
      },
      settled: () => directory.settled(),
    },
  });
  const questions = new Questions({
    edgeId,
    bus,
    membership,
    clock,
    local,
    deadlineMs: timings.questionMs,
  });
  const rooms = new Rooms({
    edgeId,
    clock,
    log,
    bus,
    membership,
    listener: options.rooms,
    timings: timings.rooms,
  });
  const directory = new Directory({
    edgeId,
    bus,
    clock,
    listener: options.directory,
    timings,
    lastHeardMs: (edge) => membership.lastHeardMs(edge),
  });

  function receive(from: EdgeId, message: EdgeMessage): void {
    if (message.type === 'disconnect') {
      // From a router, which is no member.
      local.disconnect(message.app, message.user);
      return;
    }
    if (from === edgeId) {
      // What this edge says to all comes back to it; the parts know it already.
      if (message.type === 'hello') membership.echo();
      return;
    }
    if (message.type === 'hello') membership.hello(from, message);
    else if (message.type === 'bye') membership.bye(from);
    else if (membership.heard(from)) dispatch(from, message);
    // The last word of an edge that leaves comes after its goodbye.
    else if (message.type === 'directory-handover' && membership.hasLeft(from)) {
      directory.receive(from, message);
    }
  }

  function dispatch(
    from: EdgeId,
    message: Exclude<EdgeMessage, { readonly type: 'hello' | 'bye' | 'disconnect' }>,
  ): void {
    switch (message.type) {
      case 'roster-change':
      case 'roster-state':
      case 'roster-ask':
      case 'roster-versions':
        rooms.receive(from, message);
        break;
      case 'directory-report':
      case 'directory-totals':
      case 'directory-handover':
        directory.receive(from, message);
        break;
      case 'session-claim':
        local.sessionClaimed(message.key, message.at, from);
        break;
      case 'ask':
        void questions.asked(from, message.id, message.question);
        break;
      case 'answer':
        questions.answered(from, message);
        break;
    }
  }

  let leaving: Promise<void> | undefined;
  /** Each wait ends at the deadline, and nothing is left behind then. */
  async function leave(): Promise<void> {
    const over = new AbortController();
    const deadline = delay(clock, timings.leaveMs, over.signal);
    questions.close();
    const farewell = (async () => {
      await Promise.allSettled([rooms.close(), directory.withdraw()]);
      const linger = bus.up && !membership.isAlone;
      membership.leave();
      // Where it does not get through, silence says the same, later.
      await bus.send({ kind: 'all' }, { type: 'bye' }).catch(() => undefined);
      if (linger) await delay(clock, timings.lingerMs, over.signal);
      directory.handOver();
    })();
    await Promise.race([farewell, deadline]);
    membership.leave();
    directory.close();
    await Promise.race([bus.leave(), deadline]);
    over.abort();
  }

  bus.join();
  return {
    rooms,
    directory,
    edges: () => membership.edges(),
    othersLoad: (app) => membership.othersLoad(app),
    channels: (query) => questions.channels(query),
    terminate: (app, user) => questions.terminate(app, user),
    claimSession(key, atMs) {
      void bus
        .send({ kind: 'all' }, { type: 'session-claim', key, at: atMs })
        .catch((error: unknown) => log.debug({ err: error }, 'a session could not be claimed'));
    },
    leave() {
      leaving ??= leave();
      return leaving;
    },
  };
}
