/** The roads of one connection: picks one for each subscription and opens what it needs. */
import type { SessionQueues } from '../../broker/port.ts';
import type { SocketId } from '../../contracts/ids.ts';
import type { Outbox } from '../socket/outbox.ts';
import type { EdgeTally } from '../tally.ts';
import { OwnQueue } from './own-queue.ts';
import { chooseRoad, type RoadFacts, type RoadKind } from './policy.ts';
import type { Road } from './road.ts';
import type { Subscription } from './subscription.ts';

/** What the roads of all connections share. */
export interface RoadContext {
  readonly queues: SessionQueues;
  readonly tally: EdgeTally;
  readonly prefetch: number;
  readonly queueMaxLength: number;
}

export class Roads {
  readonly #context: RoadContext;
  readonly #socketId: SocketId;
  readonly #outbox: Pick<Outbox, 'push'>;
  #own: OwnQueue | undefined;

  constructor(context: RoadContext, socketId: SocketId, outbox: Pick<Outbox, 'push'>) {
    this.#context = context;
    this.#socketId = socketId;
    this.#outbox = outbox;
  }

  /** As `Road.join`. The road is chosen the first time. */
  join(subscription: Subscription, facts: RoadFacts): Promise<void> {
    subscription.road ??= chooseRoad(facts);
    return this.#road(subscription.road).join(subscription);
  }

  start(subscription: Subscription): void {
    if (subscription.road !== undefined) this.#road(subscription.road).start(subscription);
  }

  leave(subscription: Subscription): void {
    if (subscription.road !== undefined) this.#road(subscription.road).leave(subscription);
  }

  /** The socket took everything and has room for more. */
  taken(): void {
    this.#own?.taken();
  }

  /** Lets go of everything at the broker; resolves when that is done. */
  async close(): Promise<void> {
    await this.#own?.close();
  }

  #road(kind: RoadKind): Road {
    switch (kind) {
      case 'own-queue':
        this.#own ??= new OwnQueue({
          queues: this.#context.queues,
          spec: {
            kind: 'plain',
            prefetch: this.#context.prefetch,
            maxLength: this.#context.queueMaxLength,
          },
          socketId: this.#socketId,
          outbox: this.#outbox,
          tally: this.#context.tally,
        });
        return this.#own;
    }
  }
}
