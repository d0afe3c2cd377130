/** Which road a subscription takes. One pure decision, made once per subscription. */

export type RoadKind = 'own-queue';

export interface RoadFacts {
  /** The session is to survive its edge; only an own queue can carry that. */
  readonly continuity: boolean;
  /** Sockets of this edge that are subscribed to the channel already. */
  readonly localSubscribers: number;
}

/** Every connection has its own queue, for now whatever the facts are. */
export function chooseRoad(_facts: RoadFacts): RoadKind {
  return 'own-queue';
}
