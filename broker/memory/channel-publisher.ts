/** Publications out, to the queues that are bound to their key. */
import type { ChannelPublisher } from '../port.ts';
import type { Connection } from './connection.ts';

export function createChannelPublisher(connection: Connection): ChannelPublisher {
  return {
    publish: (publication) =>
      connection.publish(() => {
        const queues = connection.host.channels.route(publication.key);
        for (const queue of queues) queue.push(publication);
        const isKept = publication.cached === true || publication.revokes !== undefined;
        if (!isKept) return { routed: queues.size > 0 };
        connection.host.cache.append(publication);
        return { routed: true };
      }),
  };
}
