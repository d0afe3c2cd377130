/**
 * Anti-entropy, a bounded piece each round: announces the versions of rooms that this edge holds members in, and asks for what other
 * edges are believed to hold but have not spoken of for long. So a change that was lost is made good, also the last one of a room
 * that its edge has forgotten since.
 */
import type { RosterVersions } from '../../contracts/edge-message.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import type { Room } from './room.ts';

/** Per round. */
const maxAnnounced = 100;
const maxVisited = 1_000;
/** Members of the states that are asked for in a round, the last one not counted. */
const maxAskedMembers = 2_000;

export interface Round {
  readonly entries: RosterVersions['entries'];
  readonly asks: readonly (readonly [EdgeId, Room])[];
}

export class RoomRounds {
  readonly #rooms: ReadonlyMap<unknown, Room>;
  readonly #edgeId: EdgeId;
  /** A live iterator: rooms that come and go meanwhile do it no harm. */
  #cursor: Iterator<Room>;

  constructor(rooms: ReadonlyMap<unknown, Room>, edgeId: EdgeId) {
    this.#rooms = rooms;
    this.#edgeId = edgeId;
    this.#cursor = rooms.values();
  }

  /** @param unheardSinceMs monotonic; what was confirmed before is asked for */
  next(unheardSinceMs: number): Round {
    const entries: RosterVersions['entries'][number][] = [];
    const asks: [EdgeId, Room][] = [];
    const visits = Math.min(this.#rooms.size, maxVisited);
    let askedMembers = 0;
    for (let visit = 0; visit < visits && entries.length < maxAnnounced; visit += 1) {
      const room = this.#nextRoom();
      if (room === undefined) break;
      const { roster } = room;
      const held = roster.count(this.#edgeId);
      if (held > 0) entries.push([room.key, roster.version(this.#edgeId), held]);
      for (const [edge, { confirmedMs }] of room.peers()) {
        const believed = roster.count(edge);
        if (believed === 0 || confirmedMs > unheardSinceMs || askedMembers >= maxAskedMembers) {
          continue;
        }
        askedMembers += believed;
        asks.push([edge, room]);
      }
    }
    return { entries, asks };
  }

  #nextRoom(): Room | undefined {
    let { done, value } = this.#cursor.next();
    if (done === true) {
      this.#cursor = this.#rooms.values();
      ({ done, value } = this.#cursor.next());
    }
    return done === true ? undefined : value;
  }
}
