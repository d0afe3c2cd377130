/** Which road a subscription takes. One pure decision, made once per subscription: nobody is moved while subscribed. */
import type { DeliveryRule } from '../../contracts/warren-config.ts';

/**
 * `own-queue`: the queue of this connection, held back while its client is slow. `edge-queue`: the one queue of this edge, shared by
 * all who listen. `continuity`: the queue of a session, which outlives the edge.
 */
export type RoadKind = 'own-queue' | 'edge-queue' | 'continuity';

export interface RoadFacts {
  /** The session is to survive its edge, and has a queue that does. */
  readonly continuity: boolean;
  /** What the rule of the channel says; `auto` without a rule. */
  readonly delivery: DeliveryRule;
  /** Others on this edge who are subscribed to the channel, or about to be. */
  readonly localSubscribers: number;
  /** This connection has an own queue, or is opening one: one more channel costs a binding, not a queue. */
  readonly hasOwnQueue: boolean;
  /** Own queues of this edge, with those that are being opened. */
  readonly ownQueues: number;
  /** Own queues that the broker is still to declare. */
  readonly attachBacklog: number;
  /** The road that carried this channel to this connection before, as far as that is remembered. */
  readonly former: RoadKind | undefined;
}

export interface RoadLimits {
  /** From this local subscriber on a channel counts as hot. */
  readonly hotAfter: number;
  /** Own queues that an edge may have. */
  readonly ownQueues: number;
  /** Own queues that may wait for the broker before others stop asking for one. */
  readonly attachBacklog: number;
}

/** For `RoadLimits.attachBacklog`: a fifth of a second of a small broker's work. */
export const maxAttachBacklog = 64;

export function chooseRoad(facts: RoadFacts, limits: RoadLimits): RoadKind {
  if (facts.delivery === 'edge') return 'edge-queue';
  if (facts.continuity) return 'continuity';
  if (facts.delivery === 'session') return 'own-queue';
  // One road may be behind the other: back on the same one, nothing comes twice and nothing after what is newer.
  if (facts.former === 'own-queue' && facts.hasOwnQueue) return 'own-queue';
  if (facts.former === 'edge-queue') return 'edge-queue';
  if (facts.localSubscribers + 1 >= limits.hotAfter) return 'edge-queue';
  if (facts.hasOwnQueue) return 'own-queue';
  const isSpent =
    facts.ownQueues >= limits.ownQueues || facts.attachBacklog >= limits.attachBacklog;
  return isSpent ? 'edge-queue' : 'own-queue';
}
