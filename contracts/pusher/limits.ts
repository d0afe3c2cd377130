/** Limits of an app, all settable per app in warren.yaml; defaults follow hosted Pusher where it documents one. */

export interface AppLimits {
  /** Characters, 1 to 200. */
  readonly channelNameLength: number;
  /** Characters of an event name, 1 to 1,000. */
  readonly eventNameLength: number;
  /** Bytes of an event's data, 1 to 10 MiB. */
  readonly eventPayloadBytes: number;
  /** Channels that one trigger may name, 1 to 10,000. */
  readonly channelsPerEvent: number;
  /** Events that one batch may hold, 1 to 1,000. */
  readonly eventsPerBatch: number;
  /** Open sockets of the app in the cluster, approximately, 1 to 10,000,000. */
  readonly connections: number;
  /** Sessions with continuity in the cluster, approximately, those that wait for their client included, 0 to 1,000,000; more are served as plain connections. */
  readonly sessions: number;
  /** Of these, those of one signed-in user on one edge, 1 to 10,000; more are not kept when their connection ends. */
  readonly sessionsPerUser: number;
  /** Of these, those of one client IP address on one edge, 0 (no limit) to 1,000,000. */
  readonly sessionsPerAddress: number;
  /** Channels that one socket may be subscribed to, 1 to 100,000. */
  readonly channelsPerConnection: number;
  /** Bytes of one frame from a client, 1 KiB to 10 MiB; a longer one closes the socket (WebSocket 1009). */
  readonly clientFrameBytes: number;
  /** Client events of one socket in any second, 1 to 10,000; more are dropped with error 4301. */
  readonly clientEventsPerSecond: number;
  /** Bytes of a client event's data, 1 to 10 MiB. */
  readonly clientEventBytes: number;
  /** Users in one presence channel, cluster-wide, approximately, 1 to 10,000. */
  readonly presenceMembers: number;
  /** Bytes of a member's user_info as JSON, 1 to 65,536. */
  readonly presenceUserInfoBytes: number;
  /** Users that one signed-in user may watch, 0 to 10,000; more are left out with error 4302. */
  readonly watchlistUsers: number;
  /** How long the last event of a cache channel is kept, in seconds, 1 to 86,400: the broker keeps none for longer than a day. */
  readonly cacheSeconds: number;
  /** Events published over the HTTP API per second, cluster-wide, approximately, up to 1,000,000; 0: no limit. */
  readonly apiEventsPerSecond: number;
  /** Queries over the HTTP API per second and edge, up to 1,000,000; 0: no limit. */
  readonly apiReadsPerSecond: number;
}

export const defaultLimits: AppLimits = {
  channelNameLength: 200,
  eventNameLength: 200,
  eventPayloadBytes: 10_240,
  channelsPerEvent: 100,
  eventsPerBatch: 10,
  connections: 100_000,
  sessions: 10_000,
  sessionsPerUser: 20,
  sessionsPerAddress: 0,
  channelsPerConnection: 100,
  clientFrameBytes: 65_536,
  clientEventsPerSecond: 10,
  clientEventBytes: 10_240,
  presenceMembers: 100,
  presenceUserInfoBytes: 1_024,
  watchlistUsers: 100,
  cacheSeconds: 1_800,
  apiEventsPerSecond: 0,
  apiReadsPerSecond: 0,
};
