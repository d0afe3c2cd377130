/** The roads of one connection: picks one for each subscription and opens what it needs. */
import { BrokerError } from '../../broker/errors.ts';
import type { SessionQueues } from '../../broker/port.ts';
import type { SocketId } from '../../contracts/ids.ts';
import type { EdgeTally } from '../tally.ts';
import { OwnQueue } from './own-queue.ts';
import { chooseRoad, type RoadFacts, type RoadKind, type RoadLimits } from './policy.ts';
import type { Road } from './road.ts';
import type { RoadLoad } from './road-load.ts';
import type { SharedListener, SharedQueue } from './shared-queue.ts';
import { SharedRoad } from './shared-queue-road.ts';
import type { Subscription } from './subscription.ts';

/** What the roads of all connections share. */
export interface RoadContext {
  readonly queues: SessionQueues;
  readonly shared: SharedQueue;
  readonly load: RoadLoad;
  readonly limits: RoadLimits;
  readonly tally: EdgeTally;
  readonly prefetch: number;
  readonly queueMaxLength: number;
}

/** What a connection brings along. */
export interface RoadEnds {
  /** More waits for the socket than may wait: close it, now, with a code that clients retry. */
  overflow(): void;
  /** The queue of the session, where it has one. Its owner closes it. */
  readonly continuity?: Road | undefined;
}

/** What is known of a subscription when it joins. */
export type RoadRequest = Pick<RoadFacts, 'continuity' | 'delivery'>;

/**
 * How many left channels each connection remembers the road of. A client that goes through more of them before it comes back to the
 * first may be given another road there, and see again what it saw before it left, where that road is behind.
 */
const maxRemembered = 128;

export class Roads {
  readonly #context: RoadContext;
  readonly #socketId: SocketId;
  readonly #outbox: SharedListener['outbox'];
  readonly #ends: RoadEnds;
  /** On any road, or waiting for it. */
  readonly #subscriptions = new Set<Subscription>();
  /** By channel name. */
  readonly #former = new Map<string, RoadKind>();
  #own: OwnQueue | undefined;
  #shared: SharedRoad | undefined;
  #isClosed = false;

  constructor(
    context: RoadContext,
    socketId: SocketId,
    outbox: SharedListener['outbox'],
    ends: RoadEnds,
  ) {
    this.#context = context;
    this.#socketId = socketId;
    this.#outbox = outbox;
    this.#ends = ends;
  }

  /** As `Road.join`. The road is chosen the first time. */
  async join(subscription: Subscription, request: RoadRequest): Promise<void> {
    if (this.#isClosed) throw new BrokerError('closed', 'the connection has ended');
    if (subscription.road === undefined) {
      subscription.road = this.#choose(subscription, request);
      this.#subscriptions.add(subscription);
      this.#context.load.subscribed(subscription.key);
    }
    await this.#road(subscription.road).join(subscription);
  }

  start(subscription: Subscription): void {
    if (subscription.road !== undefined) this.#road(subscription.road).start(subscription);
  }

  leave(subscription: Subscription): void {
    if (subscription.road === undefined || !this.#subscriptions.delete(subscription)) return;
    this.#context.load.left(subscription.key);
    this.#remember(subscription.channel.name, subscription.road);
    this.#road(subscription.road).leave(subscription);
  }

  /** The socket took everything and has room for more. */
  taken(): void {
    this.#own?.taken();
  }

  /** Lets go of everything at the broker but the session; resolves when that is done. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const subscription of this.#subscriptions) {
      this.#context.load.left(subscription.key);
      if (subscription.road === 'edge-queue') this.#shared?.leave(subscription);
    }
    this.#subscriptions.clear();
    await this.#own?.close();
  }

  #choose({ key, channel }: Subscription, { continuity, delivery }: RoadRequest): RoadKind {
    const { load, limits } = this.#context;
    return chooseRoad(
      {
        continuity: continuity && this.#ends.continuity !== undefined,
        delivery,
        localSubscribers: load.subscribers(key),
        hasOwnQueue: this.#own !== undefined,
        ownQueues: load.ownQueues,
        attachBacklog: load.attaching,
        former: this.#former.get(channel.name),
      },
      limits,
    );
  }

  #remember(channel: string, road: RoadKind): void {
    this.#former.delete(channel);
    this.#former.set(channel, road);
    if (this.#former.size <= maxRemembered) return;
    const [oldest] = this.#former.keys();
    if (oldest !== undefined) this.#former.delete(oldest);
  }

  #road(kind: RoadKind): Road {
    const { queues, shared, load, tally, prefetch, queueMaxLength } = this.#context;
    switch (kind) {
      case 'own-queue':
        this.#own ??= new OwnQueue({
          queues,
          spec: { kind: 'plain', prefetch, maxLength: queueMaxLength },
          socketId: this.#socketId,
          outbox: this.#outbox,
          load,
          tally,
        });
        return this.#own;
      case 'edge-queue':
        this.#shared ??= new SharedRoad(shared, this.#socketId, this.#outbox, () =>
          this.#ends.overflow(),
        );
        return this.#shared;
      case 'continuity': {
        const road = this.#ends.continuity;
        if (road === undefined) throw new Error('chosen only where there is one');
        return road;
      }
    }
  }
}
