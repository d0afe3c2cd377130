/** Connects sockets with use cases: one client per connection, one use case per kind of frame. */

import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import type { ClientFrame } from '../../contracts/pusher/codec.ts';
import type { RoadContext } from '../delivery/roads.ts';
import type { Subscription } from '../delivery/subscription.ts';
import type { Client, Connection } from '../socket/connection.ts';
import { type ClientEventContext, clientEvent } from './client-events.ts';
import type { Continuities } from './continuity.ts';
import { expel, revoke } from './revoke.ts';
import { type Revoke, Session } from './session.ts';
import { signin } from './signin.ts';
import { type SubscribeContext, subscribe } from './subscribe.ts';
import { unsubscribe, unsubscribeAll } from './unsubscribe.ts';
import type { Users } from './users.ts';

export interface ClientsContext extends SubscribeContext, ClientEventContext {
  readonly users: Users;
  readonly continuities: Continuities;
}

export class Clients {
  readonly #context: ClientsContext;
  readonly #roads: RoadContext;
  /** Sockets that have not proved yet that they may be here, of apps that give them a time for it; in the order in which they came. */
  readonly #unproven = new Set<Session>();
  /** Queues of sockets that have ended and are being closed at the broker. */
  readonly #leaving = new Set<Promise<void>>();
  readonly #revoke: Revoke;

  constructor(context: ClientsContext, roads: RoadContext) {
    this.#context = context;
    this.#roads = roads;
    this.#revoke = (session, subscription, user) => revoke(context, session, subscription, user);
  }

  /** The client behind a new connection. */
  of(connection: Connection): Client {
    const { clock, continuities } = this.#context;
    const continuity = continuities.of(connection);
    const session = new Session(
      connection,
      this.#roads,
      continuity,
      clock.monotonicMs(),
      this.#revoke,
    );
    if (session.app.config.authorizationTimeoutMs > 0) this.#unproven.add(session);
    return new SessionClient(this, session);
  }

  /** Closes sockets that have neither signed in nor joined a channel that needs authorization in the time of their app. */
  sweep(nowMs: number): void {
    for (const session of this.#unproven) {
      const { authorizationTimeoutMs } = session.app.config;
      if (session.isAuthorized || authorizationTimeoutMs === 0) this.#unproven.delete(session);
      else if (nowMs - session.openedMs >= authorizationTimeoutMs) {
        session.connection.close(closeCodes.unauthorized);
      }
    }
  }

  /** Resolves when the broker holds nothing for sockets that have ended so far. */
  async left(): Promise<void> {
    await Promise.all(this.#leaving);
  }

  serve(session: Session, frame: ClientFrame): void {
    switch (frame.kind) {
      case 'subscribe':
        subscribe(this.#context, session, frame);
        return;
      case 'unsubscribe':
        unsubscribe(this.#context, session, frame.channel);
        return;
      case 'signin':
        signin(this.#context.users, session, frame);
        return;
      case 'client-event':
        clientEvent(this.#context, session, frame);
        return;
      case 'ping':
      case 'pong':
        return;
    }
  }

  /** The user of the session was taken off the channel. */
  expel(session: Session, subscription: Subscription): void {
    expel(this.#context, session, subscription);
  }

  leave(session: Session, code: number): void {
    this.#unproven.delete(session);
    this.#context.users.left(session);
    const leaving = Promise.all([
      unsubscribeAll(this.#context, session),
      session.continuity?.end(code),
    ])
      .then(() => undefined)
      .catch((error: unknown) => {
        this.#context.log.warn({ err: error }, 'closing the queue of a socket failed');
      })
      .finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }
}

/** One per connection, so it is a class of two fields and not three closures. */
class SessionClient implements Client {
  readonly #clients: Clients;
  readonly #session: Session;

  constructor(clients: Clients, session: Session) {
    this.#clients = clients;
    this.#session = session;
  }

  frame(frame: ClientFrame): void {
    this.#clients.serve(this.#session, frame);
  }

  pinged(): void {
    this.#session.continuity?.queue.pinged();
  }

  ponged(): void {
    this.#session.continuity?.queue.ponged();
  }

  taken(): void {
    this.#session.roads.taken();
  }

  closed(code: number): void {
    this.#clients.leave(this.#session, code);
  }
}
