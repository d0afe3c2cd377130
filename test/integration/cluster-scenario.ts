/** One edge's share of a cluster without sockets: what it holds is set by the test, what it is told is written down. */
import type { EdgeBus } from '../../broker/port.ts';
import type { DirectoryKey } from '../../contracts/directory-key.ts';
import type { AppId, ChannelKey, ChannelName, EdgeId } from '../../contracts/ids.ts';
import { type ClusterTimings, joinCluster } from '../../edge/cluster/cluster.ts';
import type { Cluster, ClusterLoad, Occupancy } from '../../edge/cluster/port.ts';
import type { Clock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';

export const app = 'app' as AppId;
export const presenceKey = 'app.presence-room' as ChannelKey;
export const chat: DirectoryKey = { kind: 'channel', app, channel: 'chat' as ChannelName };

export interface TestMember {
  readonly id: EdgeId;
  readonly cluster: Cluster;
  readonly load: Map<AppId, ClusterLoad>;
  readonly channels: Map<ChannelName, Occupancy>;
  /** Sockets signed in, by user. */
  readonly users: Map<string, number>;
  /** What room and directory said, in order: `added 7`, `appeared chat`. */
  readonly said: string[];
  /** The last total of each channel. */
  readonly totals: Map<string, number>;
  readonly claims: string[];
}

export function startMember(
  name: string,
  edgeBus: EdgeBus,
  clock: Clock,
  timings: Partial<ClusterTimings> = {},
): TestMember {
  const id = `edge-${name}` as EdgeId;
  const load = new Map<AppId, ClusterLoad>();
  const channels = new Map<ChannelName, Occupancy>();
  const users = new Map<string, number>();
  const said: string[] = [];
  const totals = new Map<string, number>();
  const claims: string[] = [];
  const nameOf = (key: DirectoryKey) => (key.kind === 'channel' ? key.channel : key.kind);
  const cluster = joinCluster({
    edgeBus,
    edgeId: id,
    clock,
    log: createLog('silent'),
    timings,
    local: {
      load: () => load,
      channels: ({ prefix }) => [...channels].filter(([channel]) => channel.startsWith(prefix)),
      terminate(_app, user) {
        const closed = users.get(user) ?? 0;
        users.delete(user);
        return closed;
      },
      disconnect: () => undefined,
      sessionClaimed: (key, atMs, edge) => claims.push(`${key} ${atMs} ${edge}`),
    },
    rooms: {
      added: (_key, user) => said.push(`added ${user}`),
      removed: (_key, user) => said.push(`removed ${user}`),
    },
    directory: {
      total: (key, total) => totals.set(nameOf(key), total),
      appeared: (key) => said.push(`appeared ${nameOf(key)}`),
      vanished: (key) => said.push(`vanished ${nameOf(key)}`),
      changed: () => undefined,
    },
  });
  return { id, cluster, load, channels, users, said, totals, claims };
}

/** What all of them have announced of channels, in the order of the members. */
export function announcements(members: readonly TestMember[]): readonly string[] {
  return members.flatMap(({ said }) => said.filter((word) => /^(appeared|vanished)/.test(word)));
}
