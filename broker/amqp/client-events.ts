/** What services hear of clients, on the exchange that their own queues are bound to. */
import { egressContentType } from '../../contracts/egress-event.ts';
import type { ClientEvents } from '../port.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';

/**
 * @param publisher of its own: the queues behind the exchange are other people's. One that does not confirm, or a user who may not
 *   publish here, must not stop what goes to browsers.
 */
export function amqpClientEvents(publisher: ConfirmPublisher, exchange: string): ClientEvents {
  return {
    async publish({ key, id, timeMs, headers, body }) {
      await publisher.publish(exchange, key, body, {
        persistent: true,
        contentType: egressContentType,
        messageId: id,
        timestamp: Math.floor(timeMs / 1_000),
        headers,
      });
    },
  };
}
