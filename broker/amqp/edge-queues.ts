/** One queue per edge: counted bindings, no acknowledgements. */
import { edgeQueueNames, type TopologyNames } from '../../contracts/topology.ts';
import type { EdgeQueue, EdgeQueueReceiver, EdgeQueues } from '../port.ts';
import { BoundQueue } from './bound-queue.ts';
import type { Lane } from './lane.ts';
import { toDelivery } from './message.ts';

export class AmqpEdgeQueues implements EdgeQueues {
  readonly #lane: Lane;
  readonly #names: TopologyNames;
  #count = 0;

  /** @param lane without prefetch: its consumers do not acknowledge */
  constructor(lane: Lane, names: TopologyNames) {
    this.#lane = lane;
    this.#names = names;
  }

  async open(
    spec: Parameters<EdgeQueues['open']>[0],
    receiver: EdgeQueueReceiver,
  ): Promise<EdgeQueue> {
    this.#count += 1;
    const count = this.#count;
    const queue = new BoundQueue(
      {
        name: (linkEpoch) =>
          edgeQueueNames(this.#names, `${spec.edgeId}.${linkEpoch}.${count}`).shared,
        declare: ({ control }, name) =>
          control.assertQueue(name, {
            exclusive: true,
            durable: false,
            arguments: { 'x-max-length': spec.maxLength, 'x-overflow': 'drop-head' },
          }),
        exchange: this.#names.channels,
        noAck: true,
      },
      {
        message: (message, epoch) => receiver.delivered(toDelivery(message, epoch)),
        interrupted: () => receiver.interrupted(),
        restored: () => receiver.restored(),
      },
    );
    const lane = this.#lane;
    lane.add(queue);
    await queue.opened;
    const counts = new Map<string, number>();
    return {
      bind(key) {
        counts.set(key, (counts.get(key) ?? 0) + 1);
        return queue.bind(key).catch((error: unknown) => {
          release(counts, key);
          throw error;
        });
      },
      unbind: (key) => (release(counts, key) ? queue.unbind(key) : Promise.resolve()),
      async close() {
        lane.remove(queue);
        await queue.close();
      },
    };
  }
}

/** True when nobody holds the key any more. */
function release(counts: Map<string, number>, key: string): boolean {
  const count = counts.get(key);
  if (count === undefined) return false;
  if (count > 1) {
    counts.set(key, count - 1);
    return false;
  }
  counts.delete(key);
  return true;
}
