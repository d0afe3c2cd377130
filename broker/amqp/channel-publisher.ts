/** Publications to the exchange that edges read. */
import type { Publication } from '../../contracts/publication.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { ChannelPublisher } from '../port.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import { publicationProperties } from './message.ts';

export function amqpChannelPublisher(
  publisher: ConfirmPublisher,
  exchange: string,
  clock: Clock,
): ChannelPublisher {
  return {
    publish: (publication: Publication) =>
      publisher.publish(exchange, publication.key, publication.body, {
        ...publicationProperties(publication, clock.now()),
        mandatory: true,
      }),
  };
}
