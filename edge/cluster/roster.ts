/**
 * The roster of one room: which user is in it on which edge. Pure. Per edge it keeps what that edge said last, by the edge's own
 * versions; merging takes the higher one, so the order in which statements come, and how often, makes no difference.
 */
import type { RosterMember } from '../../contracts/edge-message.ts';
import type { EdgeId } from '../../contracts/ids.ts';

/** A user came to the room or left it, all edges taken together. Transitions of one user alternate. */
export interface Transition {
  readonly kind: 'added' | 'removed';
  readonly user: string;
  /** Null with `removed`. */
  readonly info: string | null;
}

/** `stale`: known already. `gap`: something between what is known and this has not come; nothing was changed. */
export type Outcome =
  | { readonly kind: 'applied'; readonly transitions: readonly Transition[] }
  | { readonly kind: 'stale' }
  | { readonly kind: 'gap' };

const stale: Outcome = { kind: 'stale' };
const gap: Outcome = { kind: 'gap' };
const unseen: Outcome = { kind: 'applied', transitions: [] };

/** What one edge holds. */
interface Holding {
  version: number;
  readonly members: Map<string, RosterMember>;
}

/** The member that stands for a user whom several edges hold: the earliest, then the lesser edge id. */
interface Standing {
  edge: EdgeId;
  member: RosterMember;
  /** Edges that hold the user. */
  holders: number;
}

export class Roster {
  readonly #holdings = new Map<EdgeId, Holding>();
  #users = new Map<string, Standing>();
  /** Users of a whole state came after others that were there later. */
  #unordered = false;

  get size(): number {
    return this.#users.size;
  }

  has(user: string): boolean {
    return this.#users.has(user);
  }

  /** Each user once, in the order in which they came. */
  members(): Iterable<readonly [user: string, info: string | null]> {
    if (this.#unordered) {
      this.#users = new Map([...this.#users].sort(byArrival));
      this.#unordered = false;
    }
    return pairs(this.#users);
  }

  /** What is known of an edge; 0 where nothing is. */
  version(edge: EdgeId): number {
    return this.#holdings.get(edge)?.version ?? 0;
  }

  count(edge: EdgeId): number {
    return this.#holdings.get(edge)?.members.size ?? 0;
  }

  held(edge: EdgeId): Iterable<RosterMember> {
    return this.#holdings.get(edge)?.members.values() ?? [];
  }

  /** Edges of which anything is known. */
  edges(): Iterable<EdgeId> {
    return this.#holdings.keys();
  }

  /**
   * One change of what an edge holds; its cost depends on the number of edges only.
   *
   * @param previous the version that it follows; 0: the edge held nothing, so the change says all that it holds
   * @param member null: the user has left the edge
   */
  applyChange(
    edge: EdgeId,
    previous: number,
    version: number,
    user: string,
    member: RosterMember | null,
  ): Outcome {
    const known = this.#holdings.get(edge);
    if (version <= (known?.version ?? 0)) return stale;
    if (previous === 0) {
      if (known !== undefined && known.members.size > 0) {
        return this.#replace(edge, version, member === null ? [] : [member]);
      }
    } else if (previous !== known?.version) {
      return gap;
    }
    const holding = this.#holding(edge);
    holding.version = version;
    const transition =
      member === null ? this.#take(edge, holding, user) : this.#put(edge, holding, member);
    return transition === undefined ? unseen : { kind: 'applied', transitions: [transition] };
  }

  /** All that an edge holds at a version; its cost is that of what the edge holds and held. */
  applyState(edge: EdgeId, version: number, members: readonly RosterMember[]): Outcome {
    if (version <= this.version(edge)) return stale;
    const outcome = this.#replace(edge, version, members);
    if (members.length > 0) this.#unordered = true;
    return outcome;
  }

  /** The edge is gone, and so is all that it held. */
  drop(edge: EdgeId): readonly Transition[] {
    const holding = this.#holdings.get(edge);
    if (holding === undefined) return [];
    this.#holdings.delete(edge);
    const transitions: Transition[] = [];
    for (const user of holding.members.keys()) {
      const transition = this.#take(edge, holding, user);
      if (transition !== undefined) transitions.push(transition);
    }
    return transitions;
  }

  #replace(edge: EdgeId, version: number, members: readonly RosterMember[]): Outcome {
    const holding = this.#holding(edge);
    holding.version = version;
    const next = new Map(members.map((member) => [member[0], member]));
    const transitions: Transition[] = [];
    for (const user of holding.members.keys()) {
      if (next.has(user)) continue;
      const transition = this.#take(edge, holding, user);
      if (transition !== undefined) transitions.push(transition);
    }
    for (const member of next.values()) {
      const transition = this.#put(edge, holding, member);
      if (transition !== undefined) transitions.push(transition);
    }
    return { kind: 'applied', transitions };
  }

  #holding(edge: EdgeId): Holding {
    let holding = this.#holdings.get(edge);
    if (holding === undefined) {
      holding = { version: 0, members: new Map() };
      this.#holdings.set(edge, holding);
    }
    return holding;
  }

  #put(edge: EdgeId, holding: Holding, member: RosterMember): Transition | undefined {
    const [user, info] = member;
    const isNew = !holding.members.has(user);
    holding.members.set(user, member);
    const standing = this.#users.get(user);
    if (standing === undefined) {
      this.#users.set(user, { edge, member, holders: 1 });
      return { kind: 'added', user, info };
    }
    if (isNew) standing.holders += 1;
    if (standing.edge === edge) this.#elect(user, standing);
    else if (isBefore(member, edge, standing.member, standing.edge)) {
      standing.edge = edge;
      standing.member = member;
    }
    return undefined;
  }

  #take(edge: EdgeId, holding: Holding, user: string): Transition | undefined {
    const standing = this.#users.get(user);
    if (!holding.members.delete(user) || standing === undefined) return undefined;
    standing.holders -= 1;
    if (standing.holders === 0) {
      this.#users.delete(user);
      return { kind: 'removed', user, info: null };
    }
    if (standing.edge === edge) this.#elect(user, standing);
    return undefined;
  }

  #elect(user: string, standing: Standing): void {
    let elected: RosterMember | undefined;
    for (const [edge, { members }] of this.#holdings) {
      const member = members.get(user);
      if (member === undefined) continue;
      if (elected !== undefined && !isBefore(member, edge, elected, standing.edge)) continue;
      elected = member;
      standing.edge = edge;
      standing.member = member;
    }
  }
}

function isBefore(
  member: RosterMember,
  edge: EdgeId,
  other: RosterMember,
  otherEdge: EdgeId,
): boolean {
  const [, , since] = member;
  const [, , otherSince] = other;
  return since === otherSince ? edge < otherEdge : since < otherSince;
}

function byArrival(
  [, { member }]: readonly [string, Standing],
  [, { member: other }]: readonly [string, Standing],
): number {
  return member[2] - other[2];
}

function* pairs(
  users: ReadonlyMap<string, Standing>,
): Iterable<readonly [user: string, info: string | null]> {
  for (const [user, { member }] of users) yield [user, member[1]];
}
