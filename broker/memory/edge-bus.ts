/** What edges say to each other. A member's queue holds so many messages at most; beyond it the oldest are dropped. */
import type { BusAddress, BusMessage, EdgeBus } from '../port.ts';
import type { Connection } from './connection.ts';
import { OwnQueue } from './own-queue.ts';

const maxBusMessages = 10_000;

export function createEdgeBus(connection: Connection): EdgeBus {
  return {
    async announce(from, body) {
      await connection.publish(() => {
        const to = { kind: 'all' } as const;
        for (const member of connection.host.edges.route(routingKey(to))) {
          member.push({ from, to: to.kind, body });
        }
      });
    },
    async join(edgeId, receiver) {
      const { edges } = connection.host;
      const queue = new OwnQueue<BusMessage>(connection, {
        exchange: edges,
        maxLength: maxBusMessages,
        consumer: { deliver: (message) => receiver.message(message) },
        interrupted: () => receiver.interrupted(),
        restored: () => receiver.restored(),
      });
      await queue.open();
      await queue.bind(routingKey({ kind: 'all' }));
      await queue.bind(routingKey({ kind: 'edge', edgeId }));
      return {
        async send(to, body) {
          queue.requireOpen();
          await connection.publish(() => {
            const message: BusMessage = { from: edgeId, to: to.kind, body };
            for (const member of edges.route(routingKey(to))) member.push(message);
          });
        },
        listen: (topic) => queue.bind(routingKey({ kind: 'topic', topic })),
        async unlisten(topic) {
          queue.unbind(routingKey({ kind: 'topic', topic }));
        },
        async leave() {
          queue.close();
        },
      };
    },
  };
}

/** The three kinds differ in their first word, so none can be taken for another. */
function routingKey(address: BusAddress): string {
  switch (address.kind) {
    case 'all':
      return 'all';
    case 'edge':
      return `edge.${address.edgeId}`;
    case 'topic':
      return `topic.${address.topic}`;
  }
}
