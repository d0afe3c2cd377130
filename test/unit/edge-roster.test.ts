import { expect } from 'chai';
import type { RosterMember } from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import { Roster } from '../../edge/cluster/roster.ts';
import { StateParts, splitState } from '../../edge/cluster/roster-parts.ts';

const a = 'a' as EdgeId;
const b = 'b' as EdgeId;
const c = 'c' as EdgeId;
const key = 'app.presence-x' as ChannelKey;
const member = (user: string, info: string | null = null, since = 1): RosterMember => [
  user,
  info,
  since,
];
const applied = (...transitions: unknown[]) => ({ kind: 'applied', transitions });
const added = (user: string, info: string | null = null) => ({ kind: 'added', user, info });
const removed = (user: string) => ({ kind: 'removed', user, info: null });

describe('Roster', () => {
  it('adds a user with the first edge that holds it and removes it with the last', () => {
    const roster = new Roster();
    expect(roster.applyChange(a, 0, 1, 'u', member('u', '1'))).to.deep.equal(
      applied(added('u', '1')),
    );
    expect(roster.applyChange(b, 0, 1, 'u', member('u'))).to.deep.equal(applied());
    expect(roster.applyChange(a, 1, 2, 'u', null)).to.deep.equal(applied());
    expect(roster.has('u')).to.equal(true);
    expect(roster.applyChange(b, 1, 2, 'u', null)).to.deep.equal(applied(removed('u')));
    expect(roster.size).to.equal(0);
  });

  it('does not apply what it knows, nor what comes behind something that it does not know', () => {
    const roster = new Roster();
    roster.applyChange(a, 0, 3, 'u', member('u'));
    expect(roster.applyChange(a, 0, 3, 'x', member('x')).kind).to.equal('stale');
    expect(roster.applyChange(a, 0, 2, 'x', member('x')).kind).to.equal('stale');
    expect(roster.applyChange(a, 4, 5, 'x', member('x')).kind).to.equal('gap');
    expect(roster.applyChange(b, 4, 5, 'x', member('x')).kind).to.equal('gap');
    expect(roster.applyState(a, 3, []).kind).to.equal('stale');
    expect([...roster.members()]).to.deep.equal([['u', null]]);
    expect(roster.version(a)).to.equal(3);
  });

  it('takes a change that follows nothing for all that the edge holds', () => {
    const roster = new Roster();
    roster.applyChange(a, 0, 1, 'u', member('u'));
    expect(roster.applyChange(a, 0, 5, 'x', member('x'))).to.deep.equal(
      applied(removed('u'), added('x')),
    );
    expect(roster.applyChange(a, 0, 7, 'x', null)).to.deep.equal(applied(removed('x')));
    expect(roster.count(a)).to.equal(0);
  });

  it('replaces what an edge held by its state, and reports only what differs', () => {
    const roster = new Roster();
    roster.applyState(a, 1, [member('u'), member('v'), member('w')]);
    roster.applyChange(b, 0, 1, 'v', member('v'));
    expect(roster.applyState(a, 5, [member('w'), member('x')])).to.deep.equal(
      applied(removed('u'), added('x')),
    );
    expect(roster.drop(a)).to.deep.equal([removed('w'), removed('x')]);
    expect([...roster.members()]).to.deep.equal([['v', null]]);
    expect(roster.version(a)).to.equal(0);
  });

  it('lets the info that came first stand, on a tie that of the lesser edge id, whatever the order of merging', () => {
    const holdings: [EdgeId, RosterMember][] = [
      [a, member('u', 'of a', 7)],
      [b, member('u', 'of b', 5)],
      [c, member('u', 'of c', 5)],
    ];
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const roster = new Roster();
      for (const index of order) {
        const [edge, held] = holdings[index] ?? [a, member('u')];
        roster.applyState(edge, 1, [held]);
      }
      expect([...roster.members()]).to.deep.equal([['u', 'of b']]);
      roster.applyChange(b, 1, 2, 'u', null);
      expect([...roster.members()]).to.deep.equal([['u', 'of c']]);
      roster.drop(c);
      expect([...roster.members()]).to.deep.equal([['u', 'of a']]);
    }
  });

  it('lists members in the order in which they came, also where their states came in another', () => {
    const roster = new Roster();
    roster.applyState(b, 1, [member('third', null, 30), member('fourth', null, 40)]);
    roster.applyState(a, 1, [member('first', null, 10), member('second', null, 20)]);
    const users = () => [...roster.members()].map(([user]) => user);
    expect(users()).to.deep.equal(['first', 'second', 'third', 'fourth']);
    // The clock of its edge is behind, and yet it came last.
    roster.applyChange(c, 0, 1, 'late', member('late', null, 5));
    expect(users()).to.deep.equal(['first', 'second', 'third', 'fourth', 'late']);
  });
});

describe('roster parts', () => {
  const members = (count: number, info = '{}') =>
    Array.from({ length: count }, (_, index) => member(`user ${index}`, info, index));
  const split = (count: number, info?: string) => [...splitState(key, 7, members(count, info))];

  it('hold 500 members at most, and come back as one state', () => {
    const parts = split(1_201);
    expect(parts.map((part) => part.members.length)).to.deep.equal([500, 500, 201]);
    expect(parts.map((part) => part.last)).to.deep.equal([false, false, true]);
    const assembly = new StateParts();
    const [first, second, third] = parts.map((part) => assembly.take(part));
    expect([first, second]).to.deep.equal(['more', 'more']);
    expect(third).to.deep.equal(members(1_201));
  });

  it('stay below 256 KB, however long the members are', () => {
    const info = '"'.repeat(8_000);
    const parts = split(100, info);
    expect(parts.length).to.be.greaterThan(4);
    for (const part of parts) {
      expect(JSON.stringify(part.members).length).to.be.at.most(256 * 1024 + 1);
    }
    expect(parts.flatMap((part) => part.members)).to.deep.equal(members(100, info));
    expect(split(1, 'x'.repeat(300_000)).map((part) => part.members.length)).to.deep.equal([1]);
  });

  it('of which one is missing make no state, and the next whole state does', () => {
    const [first, second, third] = split(1_201);
    if (first === undefined || second === undefined || third === undefined) throw new Error('few');
    const assembly = new StateParts();
    expect(assembly.take(first)).to.equal('more');
    expect(assembly.take(third)).to.equal('broken');
    expect(assembly.take(second)).to.equal('broken');
    expect([first, second, third].map((part) => assembly.take(part)).at(-1)).to.have.length(1_201);
  });

  it('of two versions do not mix', () => {
    const assembly = new StateParts();
    const [first, second] = split(600);
    if (first === undefined || second === undefined) throw new Error('few');
    assembly.take(first);
    expect(assembly.take({ ...second, version: 8 })).to.equal('broken');
  });

  it('are given up where a sender goes on without end', () => {
    const assembly = new StateParts();
    const part = { ...split(1)[0], members: members(500), last: false } as const;
    let taken: unknown;
    let count = 0;
    for (; count < 1_000 && taken !== 'broken'; count += 1) {
      taken = assembly.take({ type: 'roster-state', key, version: 7, ...part, part: count });
    }
    expect(count).to.equal(501);
  });
});
