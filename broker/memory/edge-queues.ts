/** One queue per edge, with counted bindings and without acknowledgements. */
import type { ChannelKey } from '../../contracts/ids.ts';
import type { Publication } from '../../contracts/publication.ts';
import type { EdgeQueue, EdgeQueues } from '../port.ts';
import type { Connection } from './connection.ts';
import { deliveryOf } from './delivery.ts';
import { OwnQueue } from './own-queue.ts';

export function createEdgeQueues(connection: Connection): EdgeQueues {
  return {
    async open(spec, receiver) {
      let epoch = connection.host.nextEpoch();
      const queue = new OwnQueue<Publication>(connection, {
        exchange: connection.host.channels,
        maxLength: spec.maxLength,
        consumer: {
          deliver: (publication, tag, redelivered) =>
            receiver.delivered(deliveryOf(publication, tag, epoch, redelivered)),
        },
        interrupted: () => receiver.interrupted(),
        restored: () => {
          epoch = connection.host.nextEpoch();
          receiver.restored();
        },
      });
      await queue.open();
      return countedBindings(queue);
    },
  };
}

function countedBindings(queue: OwnQueue<Publication>): EdgeQueue {
  const counts = new Map<ChannelKey, number>();
  return {
    async bind(key) {
      queue.requireOpen();
      counts.set(key, (counts.get(key) ?? 0) + 1);
      // Bound again even where it is counted already: the first binding may still wait for the broker.
      await queue.bind(key);
    },
    async unbind(key) {
      const count = counts.get(key);
      if (count === undefined) return;
      if (count > 1) {
        counts.set(key, count - 1);
        return;
      }
      counts.delete(key);
      queue.unbind(key);
    },
    async close() {
      counts.clear();
      queue.close();
    },
  };
}
