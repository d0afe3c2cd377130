import { expect } from 'chai';
import { Recent } from '../../edge/channels/recent.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('Recent', () => {
  it('counts events of a group until the window has passed', () => {
    const clock = createManualClock();
    const recent = new Recent(clock, 1_000);
    recent.add('a');
    clock.advance(600);
    recent.add('a');
    recent.add('b');
    expect([recent.count('a'), recent.count('b')]).to.deep.equal([2, 1]);
    clock.advance(400);
    expect([recent.count('a'), recent.count('b')]).to.deep.equal([1, 1]);
    clock.advance(600);
    expect([recent.count('a'), recent.count('b')]).to.deep.equal([0, 0]);
  });

  it('counts what is held for as long as it is, and each thing once', () => {
    const clock = createManualClock();
    const recent = new Recent(clock, 1_000);
    recent.hold('a', 'x');
    recent.hold('a', 'x');
    clock.advance(5_000);
    expect(recent.count('a')).to.equal(1);
    recent.letGo('a', 'x', false);
    expect(recent.count('a')).to.equal(1);
    recent.hold('a', 'x');
    clock.advance(5_000);
    expect(recent.count('a')).to.equal(1);
    recent.letGo('a', 'x', true);
    expect(recent.count('a')).to.equal(0);
    recent.hold('a', 'y');
    recent.letGo('a', 'y', false);
    clock.advance(1_000);
    expect(recent.count('a')).to.equal(0);
  });

  it('is not fooled by what was never held', () => {
    const recent = new Recent(createManualClock(), 1_000);
    recent.letGo('a', 'x', true);
    expect(recent.count('a')).to.equal(0);
  });
});
