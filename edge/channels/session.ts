/** The state of one client: its socket, its user, its subscriptions and its roads. The use cases beside this file act on it. */
import type { ChannelName } from '../../contracts/ids.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import type { SignedInUser } from '../../contracts/pusher/identity.ts';
import type { App } from '../apps.ts';
import { type RoadContext, Roads } from '../delivery/roads.ts';
import type { Subscriber, Subscription } from '../delivery/subscription.ts';
import type { Connection } from '../socket/connection.ts';
import type { Continuity } from './continuity.ts';
import type { RateWindow } from './rate-window.ts';

/** Takes a user off a channel, where the session is that user's. */
export type Revoke = (session: Session, subscription: Subscription, user: string) => void;

export class Session implements Subscriber {
  readonly connection: Connection;
  readonly subscriptions = new Map<ChannelName, Subscription>();
  readonly roads: Roads;
  readonly openedMs: number;
  /** `warren:session` has been said, where there is no continuity to be had. */
  announced = false;
  /** Set once, by a sign-in; never changed to another user. */
  user: SignedInUser | undefined;
  /** It has signed in, or joined a channel that needs authorization. */
  isAuthorized = false;
  /** Channels that the user was taken off on this socket, where a signature is needed: those that it has are void. */
  readonly revokedFrom = new Set<ChannelName>();
  readonly #revoke: Revoke;
  /** Made by the first client event. */
  clientEvents: RateWindow | undefined;

  /** Where the connection asked for it and there is one to be had. */
  readonly continuity: Continuity | undefined;

  constructor(
    connection: Connection,
    roads: RoadContext,
    continuity: Continuity | undefined,
    openedMs: number,
    revoke: Revoke,
  ) {
    this.connection = connection;
    this.continuity = continuity;
    this.roads = new Roads(roads, connection.socketId, connection.outbox, {
      overflow: () => connection.close(closeCodes.overCapacity),
      continuity: continuity?.queue,
    });
    this.openedMs = openedMs;
    this.#revoke = revoke;
  }

  revoked(subscription: Subscription, user: string): void {
    this.#revoke(this, subscription, user);
  }

  get app(): App {
    return this.connection.handshake.app;
  }

  get asksForContinuity(): boolean {
    return this.connection.handshake.sessionId !== undefined;
  }
}
