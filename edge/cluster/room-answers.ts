/**
 * Answers other edges that ask what this one holds. Waiting answers are bounded by the rooms of this edge times the live edges, what
 * the broker has not confirmed by 64 messages and the parts of one room.
 */
import { BrokerError } from '../../broker/errors.ts';
import type { RosterState, RosterVersions } from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import type { RoomBus } from './room-bus.ts';

const maxUnconfirmed = 64;

/** What this edge holds of a room, as the messages that say so. */
export type Answer = (key: ChannelKey) => Iterable<RosterState | RosterVersions>;

export class RoomAnswers {
  readonly #bus: RoomBus;
  readonly #answer: Answer;
  /** A key that is asked for again before its turn is answered once. */
  readonly #waiting = new Map<EdgeId, Set<ChannelKey>>();
  #unconfirmed = 0;

  constructor(bus: RoomBus, answer: Answer) {
    this.#bus = bus;
    this.#answer = answer;
  }

  add(edge: EdgeId, key: ChannelKey): void {
    let keys = this.#waiting.get(edge);
    if (keys === undefined) {
      keys = new Set();
      this.#waiting.set(edge, keys);
    }
    keys.add(key);
    this.#pump();
  }

  left(edge: EdgeId): void {
    this.#waiting.delete(edge);
  }

  /** Whoever still waits asks again. */
  clear(): void {
    this.#waiting.clear();
  }

  #pump(): void {
    for (const [edge, keys] of this.#waiting) {
      for (const key of keys) {
        if (this.#unconfirmed >= maxUnconfirmed) return;
        keys.delete(key);
        // All parts in one go: no change of the room comes between them.
        for (const message of this.#answer(key)) void this.#send(edge, message);
      }
      this.#waiting.delete(edge);
    }
  }

  async #send(edgeId: EdgeId, message: RosterState | RosterVersions): Promise<void> {
    this.#unconfirmed += 1;
    try {
      await this.#bus.send({ kind: 'edge', edgeId }, message);
    } catch (error) {
      // Whoever asked asks again.
      if (!(error instanceof BrokerError)) throw error;
    } finally {
      this.#unconfirmed -= 1;
      this.#pump();
    }
  }
}
