/** A whole roster state as messages of bounded size, and back. */
import type { RosterMember, RosterState } from '../../contracts/edge-message.ts';
import type { ChannelKey } from '../../contracts/ids.ts';

const maxPartMembers = 500;
const maxPartBytes = 256 * 1024;
/** Far beyond the sockets that one edge can hold; a sender that goes on past it is not listened to. */
const maxStateMembers = 250_000;

/** At least one part. One that holds a single member may be larger than 256 KB; no other is. */
export function* splitState(
  key: ChannelKey,
  version: number,
  members: Iterable<RosterMember>,
): Iterable<RosterState> {
  let part = 0;
  let gathered: RosterMember[] = [];
  let bytes = 0;
  for (const member of members) {
    const memberBytes = Buffer.byteLength(JSON.stringify(member)) + 1;
    const isFull = gathered.length >= maxPartMembers || bytes + memberBytes > maxPartBytes;
    if (isFull && gathered.length > 0) {
      yield { type: 'roster-state', key, version, part, last: false, members: gathered };
      part += 1;
      gathered = [];
      bytes = 0;
    }
    gathered.push(member);
    bytes += memberBytes;
  }
  yield { type: 'roster-state', key, version, part, last: true, members: gathered };
}

/** Puts the parts of one sender's state together. Holds 250,000 members at most. */
export class StateParts {
  #version = 0;
  #next = 0;
  #members: RosterMember[] = [];

  /** The whole state, once its last part is here. `broken`: a part is missing or there are too many; what came before is dropped. */
  take(state: RosterState): readonly RosterMember[] | 'more' | 'broken' {
    if (state.part === 0) {
      this.#version = state.version;
      this.#next = 0;
      this.#members = [];
    } else if (state.part !== this.#next || state.version !== this.#version) {
      return this.#drop();
    }
    if (this.#members.length + state.members.length > maxStateMembers) return this.#drop();
    for (const member of state.members) this.#members.push(member);
    this.#next += 1;
    if (!state.last) return 'more';
    const members = this.#members;
    this.#drop();
    return members;
  }

  #drop(): 'broken' {
    this.#next = 0;
    this.#members = [];
    this.#version = 0;
    return 'broken';
  }
}
