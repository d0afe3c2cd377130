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
  /** Open sockets of the app on one edge. */
  readonly connections: number;
  /** Channels that one socket may be subscribed to. */
  readonly channelsPerConnection: number;
  /** Bytes of one frame from a client; a longer one closes the socket (WebSocket 1009). */
  readonly clientFrameBytes: number;
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
};
