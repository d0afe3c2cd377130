/** The other edges, as the use cases of this one see them. */
import type { DirectoryKey } from '../../contracts/directory-key.ts';
import type { AppId, ChannelKey, ChannelName, EdgeId } from '../../contracts/ids.ts';

/** What this edge knows of the cluster and shares with it. Nothing here is stored anywhere but in the edges themselves. */
export interface Cluster {
  readonly rooms: PresenceRooms;
  readonly directory: Directory;
  /** The edges that are alive, this one included. */
  edges(): readonly EdgeId[];
  /** What the other edges last said about an app; a few seconds old. */
  othersLoad(app: AppId): ClusterLoad;
  /**
   * Which channels are occupied, merged from all live edges.
   * @throws ClusterIncomplete where an edge stayed silent: a partial answer would be taken for the whole
   */
  channels(query: ChannelsQuery): Promise<ReadonlyMap<ChannelName, Occupancy>>;
  /**
   * Closes every socket that is signed in as the user, on all edges. Resolves with their number when all edges have done it.
   * @throws ClusterIncomplete
   */
  terminate(app: AppId, user: string): Promise<number>;
  /**
   * Tells the other edges that a session with continuity has a connection here. At most once, and not while the broker is away: an edge
   * that does not hear of it keeps a connection that gets nothing any more, until its client is found to be silent.
   */
  claimSession(key: string, atMs: number): void;
  /** Says goodbye, so that nobody waits for the lease to end. Idempotent. */
  leave(): Promise<void>;
}

export interface ClusterLoad {
  readonly connections: number;
  /** Events published over the HTTP API in one second. */
  readonly apiEvents: number;
}

export interface ChannelsQuery {
  readonly app: AppId;
  /** Names that begin so; empty for all. */
  readonly prefix: string;
  /** Only these; absent for all. */
  readonly names?: readonly ChannelName[];
  /** Whether user ids of presence channels are wanted. */
  readonly users: boolean;
}

export interface Occupancy {
  readonly subscriptions: number;
  /** Of presence channels, where they were asked for; each once. */
  readonly users?: ReadonlySet<string>;
}

/** Some edge that counts as alive has not answered in time, or the broker is away. It passes. */
export class ClusterIncomplete extends Error {
  readonly silent: readonly EdgeId[];

  constructor(silent: readonly EdgeId[], message: string) {
    super(message);
    this.name = 'ClusterIncomplete';
    this.silent = silent;
  }
}

/** What the cluster asks of this edge. */
export interface LocalState {
  /** Open sockets and API events of the second before, per app that has any. */
  load(): Iterable<readonly [AppId, ClusterLoad]>;
  /** Occupied channels of this edge. */
  channels(query: ChannelsQuery): Iterable<readonly [ChannelName, Occupancy]>;
  /** Another edge has a connection of the session, made at `atMs` by its clock. */
  sessionClaimed(key: string, atMs: number, edge: EdgeId): void;
  /** Closes the sockets of this edge that are signed in as the user; says how many. */
  terminate(app: AppId, user: string): number;
  /** Closes those too that are members of a presence channel as the user. */
  disconnect(app: AppId, user: string): void;
}

/** Who is in which presence channel, over all edges. One room per presence channel. */
export interface PresenceRooms {
  /**
   * Begins to follow a room. Resolves when the members that other edges hold are known: at the latest after a few seconds, where an
   * edge stays silent; then its members come in as additions. Waits while the broker is away. Each call needs its `close`.
   */
  open(key: ChannelKey): Promise<void>;
  close(key: ChannelKey): void;
  /** Users in the room. */
  size(key: ChannelKey): number;
  has(key: ChannelKey, user: string): boolean;
  /** User and user_info (JSON text), each user once, in the order in which they came. */
  members(key: ChannelKey): Iterable<readonly [user: string, info: string | null]>;
  /**
   * One more socket of this edge belongs to the user. The room must be open. Takes effect at once: a user who is new to the room is
   * reported as added before this returns, and the other edges are told.
   */
  enter(key: ChannelKey, user: string, info: string | null): void;
  /** One socket less; the last one takes the user out of this edge after `graceMs`, unless the user is back by then. */
  leave(key: ChannelKey, user: string, graceMs: number): void;
}

/** Reports of one user alternate: added, removed, added. A user with sockets on several edges is added once, and removed once. */
export interface RoomListener {
  added(key: ChannelKey, user: string, info: string | null): void;
  removed(key: ChannelKey, user: string): void;
}

/**
 * Cluster-wide sums. Each key has one owner among the live edges, which adds up what they report; a second one knows the same and
 * takes its place. Sums follow within a moment (reports are gathered), and after the death of an edge within its lease.
 */
export interface Directory {
  /** What this edge holds of the key; 0 withdraws it. */
  report(key: DirectoryKey, count: number): void;
  /** Wants to hear sums: the present one soon, then each change. Counted; each call needs its `unwatch`. */
  watch(key: DirectoryKey): void;
  unwatch(key: DirectoryKey): void;
}

export interface DirectoryListener {
  /** The sum of a watched key. Sums above 100 come at most every 5 s while they change. */
  total(key: DirectoryKey, total: number): void;
  /** Only at the owner: the sum was 0 and is not any more. */
  appeared(key: DirectoryKey): void;
  /** Only at the owner: the sum fell to 0 and stayed there for the delay. Alternates with `appeared`. */
  vanished(key: DirectoryKey): void;
  /** Only at the owner: the sum has changed; at the same pace as `total`. */
  changed(key: DirectoryKey, total: number): void;
}
