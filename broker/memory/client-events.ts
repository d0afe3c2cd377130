/** What services hear of clients, to whoever in this process listens. */
import type { EgressEvent } from '../../contracts/egress-event.ts';
import type { ClientEvents } from '../port.ts';
import type { Connection } from './connection.ts';

/** Stands for a service with a queue of its own. */
export type ClientEventListener = (event: EgressEvent) => void;

export function createClientEvents(connection: Connection): ClientEvents {
  const { clients, turns } = connection.host;
  return {
    publish: (event) =>
      connection.publish(() => {
        const listeners = clients.route(event.key);
        if (listeners.size > 0) turns.later(() => tell(listeners, event));
      }),
  };
}

function tell(listeners: ReadonlySet<ClientEventListener>, event: EgressEvent): void {
  for (const listener of listeners) listener(event);
}

/** @param pattern AMQP topic pattern over the routing key. Returns the way to stop. */
export function listenToClientEvents(
  { host }: Connection,
  pattern: string,
  listener: ClientEventListener,
): () => void {
  // A wrapper, so that one function that listens twice is two queues.
  const own: ClientEventListener = (event) => listener(event);
  host.clients.bind(pattern, own);
  return () => host.clients.forget(own);
}
