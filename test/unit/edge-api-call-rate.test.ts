import { expect } from 'chai';
import type { AppId } from '../../contracts/ids.ts';
import { CallRate, shareOf } from '../../edge/api/call-rate.ts';
import { createManualClock } from '../support/manual-clock.ts';

const app = 'a' as AppId;

describe('CallRate', () => {
  const start = () => {
    const clock = createManualClock();
    return { clock, rate: new CallRate(clock) };
  };

  it('lets the limit through in each second and says what is left', () => {
    const { clock, rate } = start();
    for (let second = 0; second < 3; second += 1) {
      expect(rate.take(app, 1, 3)).to.deep.equal({ allowed: true, remaining: 2 });
      expect(rate.take(app, 2, 3)).to.deep.equal({ allowed: true, remaining: 0 });
      expect(rate.take(app, 1, 3)).to.deep.equal({ allowed: false, retryAfterSeconds: 1 });
      clock.advance(1_000);
    }
  });

  it('takes calls that come together, or none of them', () => {
    const { rate } = start();
    rate.take(app, 2, 3);
    expect(rate.take(app, 2, 3).allowed).to.equal(false);
    expect(rate.take(app, 1, 3).allowed).to.equal(true);
  });

  it('lets a batch beyond the limit through in an empty second, and has the seconds after it pay', () => {
    const { clock, rate } = start();
    expect(rate.take(app, 10, 3)).to.deep.equal({ allowed: true, remaining: 0 });
    expect(rate.take(app, 1, 3)).to.deep.equal({ allowed: false, retryAfterSeconds: 3 });
    expect(rate.take(app, 10, 3)).to.deep.equal({ allowed: false, retryAfterSeconds: 4 });
    clock.advance(2_999);
    expect(rate.take(app, 1, 3)).to.deep.equal({ allowed: false, retryAfterSeconds: 1 });
    clock.advance(1);
    expect(rate.take(app, 1, 3)).to.deep.equal({ allowed: true, remaining: 1 });
  });

  it('keeps to a share below one in a second, over several', () => {
    const { clock, rate } = start();
    let allowed = 0;
    for (let second = 0; second < 30; second += 1) {
      for (let times = 0; times < 5; times += 1) {
        if (rate.take(app, 1, 1 / 3).allowed) allowed += 1;
      }
      clock.advance(1_000);
    }
    expect(allowed).to.be.within(10, 11);
  });

  it('owes nothing for what was within the limit of its time', () => {
    const { clock, rate } = start();
    rate.take(app, 12, 12);
    rate.take(app, 1, 4);
    clock.advance(1_000);
    expect(rate.take(app, 4, 4).allowed).to.equal(true);
    expect(rate.take(app, 1, 4).allowed).to.equal(false);
  });

  it('promises a wait after which the same call is let through', () => {
    for (const perSecond of [0.3, 1, 2.5, 7]) {
      for (const calls of [1, 2, 10]) {
        const { clock, rate } = start();
        rate.take(app, 10, perSecond);
        const refused = rate.take(app, calls, perSecond);
        if (refused.allowed) continue;
        clock.advance((refused.retryAfterSeconds - 1) * 1_000);
        expect(rate.take(app, calls, perSecond).allowed, `${perSecond} ${calls}`).to.equal(false);
        clock.advance(1_000);
        expect(rate.take(app, calls, perSecond).allowed, `${perSecond} ${calls}`).to.equal(true);
      }
    }
  });

  it('lets everything through without a limit, and owes nothing when one comes', () => {
    const { clock, rate } = start();
    for (let times = 0; times < 100; times += 1) {
      expect(rate.take(app, 10, Number.POSITIVE_INFINITY).allowed).to.equal(true);
    }
    clock.advance(1_000);
    rate.take(app, 1, Number.POSITIVE_INFINITY);
    clock.advance(1_000);
    expect(rate.take(app, 1, 1).allowed).to.equal(true);
  });

  it('counts what it let through, for the last whole second only', () => {
    const { clock, rate } = start();
    expect(rate.lastSecond(app)).to.equal(0);
    rate.take(app, 3, 4);
    rate.take(app, 3, 4);
    expect(rate.lastSecond(app)).to.equal(0);
    clock.advance(1_000);
    expect(rate.lastSecond(app)).to.equal(3);
    rate.take(app, 1, 4);
    expect(rate.lastSecond(app)).to.equal(3);
    clock.advance(1_000);
    expect(rate.lastSecond(app)).to.equal(1);
    clock.advance(1_000);
    expect(rate.lastSecond(app)).to.equal(0);
    rate.take(app, 2, 4);
    clock.advance(2_000);
    rate.take(app, 1, 4);
    expect(rate.lastSecond(app), 'the second before was empty').to.equal(0);
  });

  it('counts each app on its own', () => {
    const { rate } = start();
    rate.take(app, 3, 3);
    expect(rate.take('b' as AppId, 3, 3).allowed).to.equal(true);
  });
});

describe('shareOf', () => {
  it('is what the others leave, and never less than an equal part', () => {
    expect(shareOf(12, 0, 3)).to.equal(12);
    expect(shareOf(12, 5, 3)).to.equal(7);
    expect(shareOf(12, 8, 3)).to.equal(4);
    expect(shareOf(12, 9, 3)).to.equal(4);
    expect(shareOf(12, 1_000, 3)).to.equal(4);
    expect(shareOf(1, 5, 4)).to.equal(0.25);
  });

  it('is the limit for an edge that knows of none, not even itself', () => {
    expect(shareOf(12, 20, 0)).to.equal(12);
  });
});
