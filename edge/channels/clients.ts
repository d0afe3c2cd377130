/** Connects sockets with use cases: one client per connection, one use case per kind of frame. */
import type { ClientFrame } from '../../contracts/pusher/codec.ts';
import type { RoadContext } from '../delivery/roads.ts';
import type { Client, Connection } from '../socket/connection.ts';
import { Session } from './session.ts';
import { type SubscribeContext, subscribe } from './subscribe.ts';
import { unsubscribe, unsubscribeAll } from './unsubscribe.ts';

/** Pusher protocol 7: the number that goes with a client event which is not let through. */
const clientEventRejected = 4301;

export class Clients {
  readonly #context: SubscribeContext;
  readonly #roads: RoadContext;
  /** Queues of sockets that have ended and are being closed at the broker. */
  readonly #leaving = new Set<Promise<void>>();

  constructor(context: SubscribeContext, roads: RoadContext) {
    this.#context = context;
    this.#roads = roads;
  }

  /** The client behind a new connection. */
  of(connection: Connection): Client {
    return new SessionClient(this, new Session(connection, this.#roads));
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
        unsubscribe(this.#context.registry, session, frame.channel);
        return;
      case 'signin':
        session.connection.complain(
          'unknown_event',
          'pusher:signin is not available in this version',
        );
        return;
      case 'client-event':
        session.connection.complain('client_event_rejected', undefined, clientEventRejected);
        return;
      case 'ping':
      case 'pong':
        return;
    }
  }

  leave(session: Session): void {
    const leaving = unsubscribeAll(this.#context.registry, session)
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

  taken(): void {
    this.#session.roads.taken();
  }

  closed(): void {
    this.#clients.leave(this.#session);
  }
}
