/** What rooms need of their surroundings, and when they do what. */
import type { BusAddress } from '../../broker/port.ts';
import type { EdgeMessage } from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';

/** The bus, as rooms use it. Order holds per sender; a message comes at most once. */
export interface RoomBus {
  /** Resolves when the broker has confirmed; rejects with `BrokerError`. */
  send(to: BusAddress, message: EdgeMessage): Promise<void>;
  /** Waits for the broker as long as that takes. */
  listen(key: ChannelKey): Promise<void>;
  unlisten(key: ChannelKey): Promise<void>;
}

export interface RoomMembership {
  /** The edges that are alive. */
  edges(): readonly EdgeId[];
  /** Resolves once the edges that were there before this one are known. */
  settled(): Promise<void>;
}

export interface RoomTimings {
  /** How long an opening waits for an edge that stays silent. */
  readonly openDeadlineMs: number;
  /** How long asks wait for others to share their message. */
  readonly gatherMs: number;
  /** Between two asks to the same address. */
  readonly askSpacingMs: number;
  /** After so long without any answer an edge is asked again; twice as long each time, up to 30 s. */
  readonly askRetryMs: number;
  /** After a failed send, until what this edge holds is announced anew. */
  readonly reannounceMs: number;
  /** Between two rounds of anti-entropy. */
  readonly roundMs: number;
  /** What an edge is believed to hold is asked for anew when it has not spoken of it for so long. */
  readonly unheardMs: number;
}

export const defaultRoomTimings: RoomTimings = {
  openDeadlineMs: 2_000,
  gatherMs: 5,
  askSpacingMs: 100,
  askRetryMs: 800,
  reannounceMs: 1_000,
  roundMs: 10_000,
  unheardMs: 60_000,
};

/** Keys of one ask, and entries of one announcement. */
export const maxKeysPerMessage = 500;
