/** What other edges say they hold, applied to the rooms that this edge follows. What does not fit is asked for. */
import type {
  RosterChange,
  RosterMember,
  RosterState,
  RosterVersions,
} from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Room } from './room.ts';
import type { RoomAsks } from './room-asks.ts';
import type { Transition } from './roster.ts';

export type RosterStatement = RosterChange | RosterState | RosterVersions;

export interface RoomInboxOptions {
  readonly rooms: ReadonlyMap<ChannelKey, Room>;
  readonly asks: RoomAsks;
  readonly clock: Clock;
  readonly report: (room: Room, transitions: readonly Transition[]) => void;
}

export class RoomInbox {
  readonly #options: RoomInboxOptions;

  constructor(options: RoomInboxOptions) {
    this.#options = options;
  }

  receive(from: EdgeId, statement: RosterStatement): void {
    switch (statement.type) {
      case 'roster-change':
        this.#change(from, statement);
        break;
      case 'roster-state':
        this.#state(from, statement);
        break;
      case 'roster-versions':
        for (const entry of statement.entries) this.#version(from, entry);
        break;
    }
  }

  #change(from: EdgeId, { key, previous, version, user, member }: RosterChange): void {
    const { rooms, asks, clock, report } = this.#options;
    const room = rooms.get(key);
    // What comes before anybody was asked is in the answers.
    if (room === undefined || room.phase === 'joining') return;
    if (member !== null && member[0] !== user) return;
    const peer = room.peer(from);
    peer.latest = Math.max(peer.latest, version);
    const outcome = room.roster.applyChange(from, previous, version, user, member);
    if (outcome.kind === 'gap') asks.one(from, key);
    if (outcome.kind !== 'applied') return;
    peer.confirmedMs = clock.monotonicMs();
    report(room, outcome.transitions);
    room.answered(from);
  }

  #state(from: EdgeId, state: RosterState): void {
    const { rooms, asks } = this.#options;
    const { key, version } = state;
    const room = rooms.get(key);
    if (room === undefined) return;
    const members = room.peer(from).parts.take(state);
    asks.progressed(from);
    if (members === 'more') return;
    asks.answered(from, key);
    if (members !== 'broken') this.#apply(room, from, version, members);
    else if (version > room.roster.version(from)) asks.one(from, key);
  }

  #version(from: EdgeId, [key, version, members]: RosterVersions['entries'][number]): void {
    const { rooms, asks, clock } = this.#options;
    const room = rooms.get(key);
    if (room === undefined) return;
    const known = room.roster.version(from);
    if (members === 0) {
      asks.answered(from, key);
      // Most edges hold nothing of most rooms: that needs no memory.
      if (known === 0) room.answered(from);
      else this.#apply(room, from, version, []);
      return;
    }
    const peer = room.peer(from);
    peer.latest = Math.max(peer.latest, version);
    if (known < version) asks.one(from, key);
    else if (known === version) peer.confirmedMs = clock.monotonicMs();
  }

  #apply(room: Room, from: EdgeId, version: number, members: readonly RosterMember[]): void {
    const { asks, clock, report } = this.#options;
    const { key, roster } = room;
    const peer = room.peer(from);
    const outcome = roster.applyState(from, version, members);
    if (outcome.kind === 'applied') report(room, outcome.transitions);
    peer.confirmedMs = clock.monotonicMs();
    // A change that came before this state could not be applied then, and is not part of it. Asked for once: versions may lie.
    if (roster.version(from) < peer.latest) asks.one(from, key);
    peer.latest = 0;
    room.answered(from);
  }
}
