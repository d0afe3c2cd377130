/** Limits of an app, all settable per app in warren.yaml; defaults follow hosted Pusher where it documents one. */

export interface AppLimits {
  /** Characters, 1 to 200. */
  readonly channelNameLength: number;
  /** Characters of an event name. */
  readonly eventNameLength: number;
  /** Bytes of an event's data. */
  readonly eventPayloadBytes: number;
  /** Channels that one trigger may name. */
  readonly channelsPerEvent: number;
  /** Events that one batch may hold. */
  readonly eventsPerBatch: number;
  /** Open sockets of the app in the cluster, approximately. */
  readonly connections: number;
  /** Channels that one socket may be subscribed to. */
  readonly channelsPerConnection: number;
  /** Bytes of one frame from a client; a longer one closes the socket (WebSocket 1009). */
  readonly clientFrameBytes: number;
  /** Client events of one socket in any second; more are dropped with error 4301. */
  readonly clientEventsPerSecond: number;
  /** Bytes of a client event's data. */
  readonly clientEventBytes: number;
  /** Users in one presence channel, cluster-wide, approximately. */
  readonly presenceMembers: number;
  /** Bytes of a member's user_info as JSON. */
  readonly presenceUserInfoBytes: number;
  /** Users that one signed-in user may watch; more are left out with error 4302. */
  readonly watchlistUsers: number;
  /** How long the last event of a cache channel is kept, in seconds. */
  readonly cacheSeconds: number;
  /** Events published over the HTTP API per second, cluster-wide, approximately; 0: no limit. */
  readonly apiEventsPerSecond: number;
  /** Queries over the HTTP API per second and edge; 0: no limit. */
  readonly apiReadsPerSecond: number;
}

export const defaultLimits: AppLimits = {
  channelNameLength: 200,
  eventNameLength: 200,
  eventPayloadBytes: 10_240,
  channelsPerEvent: 100,
  eventsPerBatch: 10,
  connections: 100_000,
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
