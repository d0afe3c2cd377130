import { expect } from 'chai';
import { Recent } from '../../edge/webhooks/recent.ts';

describe('Recent', () => {
  it('knows what was added for as long as it is told to, and no longer', () => {
    const recent = new Recent(10, 1_000);
    recent.add('a', 0);
    expect(recent.has('a', 999)).to.equal(true);
    expect(recent.has('a', 1_000)).to.equal(false);
    expect(recent.has('b', 0)).to.equal(false);
  });

  it('counts anew where a key is added again', () => {
    const recent = new Recent(10, 1_000);
    recent.add('a', 0);
    recent.add('b', 100);
    recent.add('a', 600);
    expect(recent.has('a', 1_500)).to.equal(true);
    expect(recent.has('b', 1_500)).to.equal(false);
  });

  it('forgets the oldest beyond its bound', () => {
    const recent = new Recent(2, 1_000);
    for (const key of ['a', 'b', 'c']) recent.add(key, 0);
    expect(recent.size).to.equal(2);
    expect(['a', 'b', 'c'].map((key) => recent.has(key, 0))).to.deep.equal([false, true, true]);
  });
});
