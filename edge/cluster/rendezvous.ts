/**
 * Which edges keep the sum of a key: rendezvous hashing. All edges with the same view agree, and a change of the view moves only the
 * keys of the edge that came or went.
 */
import type { EdgeId } from '../../contracts/ids.ts';

/** The two edges that score highest for a key. `owner` is undefined for an empty view only. */
export interface Targets {
  readonly owner: EdgeId | undefined;
  readonly backup: EdgeId | undefined;
}

/** 32 bits of FNV-1a over UTF-16 code units, then mixed: nobody gains by collisions here, so speed is what counts. */
export function rendezvousHash(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  return mix(hash);
}

/** The finalizer of MurmurHash3: a bijection under which each bit depends on every other. */
function mix(value: number): number {
  let mixed = value ^ (value >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** The edges of one view. */
export class Ring {
  readonly #ids: ReadonlySet<EdgeId>;
  readonly #edges: readonly { readonly id: EdgeId; readonly hash: number }[];

  constructor(edges: Iterable<EdgeId>) {
    this.#ids = new Set(edges);
    this.#edges = [...this.#ids].map((id) => ({ id, hash: rendezvousHash(id) }));
  }

  get edges(): readonly EdgeId[] {
    return [...this.#ids];
  }

  has(edge: EdgeId): boolean {
    return this.#ids.has(edge);
  }

  with(edge: EdgeId): Ring {
    return this.has(edge) ? this : new Ring([...this.edges, edge]);
  }

  without(edge: EdgeId): Ring {
    return new Ring(this.edges.filter((id) => id !== edge));
  }

  /** @param shard `rendezvousHash` of the key's shard; costs one pass over the edges */
  targets(shard: number): Targets {
    let owner: EdgeId | undefined;
    let ownerScore = -1;
    let backup: EdgeId | undefined;
    let backupScore = -1;
    for (const { id, hash } of this.#edges) {
      const score = mix(shard ^ hash);
      if (outranks(score, id, ownerScore, owner)) {
        backup = owner;
        backupScore = ownerScore;
        owner = id;
        ownerScore = score;
      } else if (outranks(score, id, backupScore, backup)) {
        backup = id;
        backupScore = score;
      }
    }
    return { owner, backup };
  }
}

/** Equal scores are ranked by id, or edges that list each other in different order would disagree. */
function outranks(
  score: number,
  id: EdgeId,
  otherScore: number,
  other: EdgeId | undefined,
): boolean {
  return other === undefined || score > otherScore || (score === otherScore && id < other);
}
