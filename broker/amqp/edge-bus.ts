/** The bus between edges: one exclusive queue per member on the exchange `warren.edges`. */
import type { ConsumeMessage } from 'amqplib';
import type { EdgeId } from '../../contracts/ids.ts';
import { edgeQueueNames, type TopologyNames } from '../../contracts/topology.ts';
import type { BusAddress, BusMessage, EdgeBus, EdgeBusMember, EdgeBusReceiver } from '../port.ts';
import { BoundQueue } from './bound-queue.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import type { Lane } from './lane.ts';

/** Messages that wait for a member; presence and control repair themselves, so the oldest may go. */
const maxLength = 50_000;
const senderHeader = 'x-edge';

export class AmqpEdgeBus implements EdgeBus {
  readonly #lane: Lane;
  readonly #publisher: ConfirmPublisher;
  readonly #names: TopologyNames;
  #count = 0;

  constructor(lane: Lane, publisher: ConfirmPublisher, names: TopologyNames) {
    this.#lane = lane;
    this.#publisher = publisher;
    this.#names = names;
  }

  async announce(from: EdgeId, body: Buffer): Promise<void> {
    await this.#publisher.publish(this.#names.edges, routingKey({ kind: 'all' }), body, {
      persistent: false,
      headers: { [senderHeader]: from },
    });
  }

  async join(edgeId: EdgeId, receiver: EdgeBusReceiver): Promise<EdgeBusMember> {
    this.#count += 1;
    const count = this.#count;
    const queue = new BoundQueue(
      {
        name: (linkEpoch) => edgeQueueNames(this.#names, `${edgeId}.${linkEpoch}.${count}`).bus,
        declare: ({ control }, name) =>
          control.assertQueue(name, {
            exclusive: true,
            durable: false,
            arguments: { 'x-max-length': maxLength, 'x-overflow': 'drop-head' },
          }),
        exchange: this.#names.edges,
        noAck: true,
        keys: [routingKey({ kind: 'all' }), routingKey({ kind: 'edge', edgeId })],
      },
      {
        message: (message) => receiver.message(toBusMessage(message)),
        interrupted: () => receiver.interrupted(),
        restored: () => receiver.restored(),
      },
    );
    const lane = this.#lane;
    const publisher = this.#publisher;
    const exchange = this.#names.edges;
    lane.add(queue);
    await queue.opened;
    return {
      async send(to, body) {
        await publisher.publish(exchange, routingKey(to), body, {
          persistent: false,
          headers: { [senderHeader]: edgeId },
        });
      },
      listen: (topic) => queue.bind(routingKey({ kind: 'topic', topic })),
      unlisten: (topic) => queue.unbind(routingKey({ kind: 'topic', topic })),
      async leave() {
        lane.remove(queue);
        await queue.close();
      },
    };
  }
}

/** `!` is outside the alphabet of channel keys, so no app or channel can pose as an address of another kind. */
function routingKey(to: BusAddress): string {
  switch (to.kind) {
    case 'all':
      return '!all';
    case 'edge':
      return `!edge.${to.edgeId}`;
    case 'topic':
      return to.topic;
  }
}

function toBusMessage(message: ConsumeMessage): BusMessage {
  const headers = (message.properties.headers ?? {}) as Readonly<Record<string, unknown>>;
  const from = Object.hasOwn(headers, senderHeader) ? headers[senderHeader] : undefined;
  const key = message.fields.routingKey;
  return {
    from: (typeof from === 'string' ? from : '') as EdgeId,
    to: key === '!all' ? 'all' : key.startsWith('!edge.') ? 'edge' : 'topic',
    body: message.content,
  };
}
