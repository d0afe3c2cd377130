/** The state of one client: its socket, its subscriptions and its roads. The use cases beside this file act on it. */
import type { ChannelName } from '../../contracts/ids.ts';
import type { App } from '../apps.ts';
import { type RoadContext, Roads } from '../delivery/roads.ts';
import type { Subscription } from '../delivery/subscription.ts';
import type { Connection } from '../socket/connection.ts';

export class Session {
  readonly connection: Connection;
  readonly subscriptions = new Map<ChannelName, Subscription>();
  readonly roads: Roads;
  /** `warren:session` has been said. */
  announced = false;

  constructor(connection: Connection, roads: RoadContext) {
    this.connection = connection;
    this.roads = new Roads(roads, connection.socketId, connection.outbox);
  }

  get app(): App {
    return this.connection.handshake.app;
  }

  get asksForContinuity(): boolean {
    return this.connection.handshake.sessionId !== undefined;
  }
}
