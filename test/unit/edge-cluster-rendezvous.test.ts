import { expect } from 'chai';
import type { EdgeId } from '../../contracts/ids.ts';
import { Ring, rendezvousHash } from '../../edge/cluster/rendezvous.ts';

const edges = Array.from({ length: 10 }, (_, n) => `edge-${n}` as EdgeId);
const shards = Array.from({ length: 5_000 }, (_, n) =>
  rendezvousHash(`["channel","a","room-${n}"]`),
);

describe('Ring', () => {
  it('gives the same targets whatever order the edges are listed in', () => {
    const one = new Ring(edges);
    const other = new Ring([...edges].reverse());
    for (const shard of shards) expect(one.targets(shard)).to.deep.equal(other.targets(shard));
  });

  it('names two different edges, or only the one there is', () => {
    for (const shard of shards) {
      const { owner, backup } = new Ring(edges).targets(shard);
      expect(owner).to.not.equal(backup);
    }
    const [alone = '' as EdgeId] = edges;
    expect(new Ring([alone]).targets(7)).to.deep.equal({ owner: alone, backup: undefined });
    expect(new Ring([]).targets(7)).to.deep.equal({ owner: undefined, backup: undefined });
  });

  it('gives each edge about its share', () => {
    const owned = new Map<EdgeId | undefined, number>();
    for (const shard of shards) {
      const { owner } = new Ring(edges).targets(shard);
      owned.set(owner, (owned.get(owner) ?? 0) + 1);
    }
    for (const edge of edges) expect(owned.get(edge)).to.be.within(350, 650);
  });

  it('makes the backup the owner where an edge goes, and moves nothing else', () => {
    const before = new Ring(edges);
    for (const gone of edges.slice(0, 3)) {
      const after = before.without(gone);
      for (const shard of shards) {
        const was = before.targets(shard);
        const is = after.targets(shard);
        expect(is.owner).to.equal(was.owner === gone ? was.backup : was.owner);
        if (was.owner !== gone && was.backup !== gone) expect(is).to.deep.equal(was);
      }
    }
  });

  it('makes the former owner the backup where an edge comes between', () => {
    const before = new Ring(edges.slice(1));
    const [newcomer = '' as EdgeId] = edges;
    const after = before.with(newcomer);
    let moved = 0;
    for (const shard of shards) {
      const was = before.targets(shard);
      const is = after.targets(shard);
      if (is.owner === newcomer) {
        moved += 1;
        expect(is.backup).to.equal(was.owner);
      } else {
        expect(is.owner).to.equal(was.owner);
      }
    }
    expect(moved).to.be.within(350, 650);
  });

  it('ranks equal scores by id', () => {
    const tied = ['e522789', 'e739192'] as EdgeId[];
    expect(new Set(tied.map(rendezvousHash)).size).to.equal(1);
    for (const shard of [1, 2, 3]) {
      const { owner } = new Ring(tied).targets(shard);
      expect(owner).to.equal('e522789');
      expect(new Ring([...tied].reverse()).targets(shard).owner).to.equal(owner);
    }
  });
});
