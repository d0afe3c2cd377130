/** The state of one client: its socket, its user, its subscriptions and its roads. The use cases beside this file act on it. */
import type { ChannelName } from '../../contracts/ids.ts';
import type { SignedInUser } from '../../contracts/pusher/identity.ts';
import type { App } from '../apps.ts';
import { type RoadContext, Roads } from '../delivery/roads.ts';
import type { Subscription } from '../delivery/subscription.ts';
import type { Connection } from '../socket/connection.ts';
import type { RateWindow } from './rate-window.ts';

export class Session {
  readonly connection: Connection;
  readonly subscriptions = new Map<ChannelName, Subscription>();
  readonly roads: Roads;
  readonly openedMs: number;
  /** `warren:session` has been said. */
  announced = false;
  /** Set once, by a sign-in; never changed to another user. */
  user: SignedInUser | undefined;
  /** It has signed in, or joined a channel that needs authorization. */
  isAuthorized = false;
  /** Made by the first client event. */
  clientEvents: RateWindow | undefined;

  constructor(connection: Connection, roads: RoadContext, openedMs: number) {
    this.connection = connection;
    this.roads = new Roads(roads, connection.socketId, connection.outbox);
    this.openedMs = openedMs;
  }

  get app(): App {
    return this.connection.handshake.app;
  }

  get asksForContinuity(): boolean {
    return this.connection.handshake.sessionId !== undefined;
  }
}
