import { expect } from 'chai';
import { RateWindow } from '../../edge/channels/rate-window.ts';

describe('RateWindow', () => {
  it('lets so many through in any second, whenever it begins', () => {
    const window = new RateWindow();
    const taken = (nowMs: number) => window.take(nowMs, 3);
    expect([0, 500, 900].map(taken)).to.deep.equal([true, true, true]);
    expect([900, 999].map(taken)).to.deep.equal([false, false]);
    expect(taken(1_000)).to.equal(true);
    expect(taken(1_499)).to.equal(false);
    expect(taken(1_500)).to.equal(true);
  });

  it('counts what was let through only: a flood does not lock its sender out', () => {
    const window = new RateWindow();
    for (let nowMs = 0; nowMs < 1_000; nowMs += 1) window.take(nowMs, 2);
    expect(window.take(1_000, 2)).to.equal(true);
  });

  it('lets nothing through at a limit of 0, and follows a limit that changes', () => {
    const window = new RateWindow();
    expect(window.take(0, 0)).to.equal(false);
    expect(window.take(0, 1)).to.equal(true);
    expect(window.take(0, 1)).to.equal(false);
    expect(window.take(0, 2)).to.equal(true);
  });
});
