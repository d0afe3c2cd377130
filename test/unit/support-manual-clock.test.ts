import { expect } from 'chai';
import { createManualClock } from '../support/manual-clock.ts';

describe('createManualClock', () => {
  it('stands still until it is moved', () => {
    const clock = createManualClock(1_000);
    expect([clock.now(), clock.monotonicMs()]).to.deep.equal([1_000, 0]);
    clock.advance(5);
    expect([clock.now(), clock.monotonicMs()]).to.deep.equal([1_005, 5]);
  });

  it('calls timers in the order in which they are due, each at its time', () => {
    const clock = createManualClock(0);
    const calls: string[] = [];
    const note = (name: string) => () => calls.push(`${name}@${clock.now()}`);
    clock.after(20, note('late'));
    clock.after(10, note('early'));
    clock.after(10, note('early too'));
    clock.every(8, note('again'));
    clock.advance(20);
    expect(calls).to.deep.equal(['again@8', 'early@10', 'early too@10', 'again@16', 'late@20']);
  });

  it('calls a timer that another one sets, when it falls due within the same move', () => {
    const clock = createManualClock(0);
    const calls: number[] = [];
    clock.after(10, () => clock.after(10, () => calls.push(clock.now())));
    clock.advance(19);
    expect(calls).to.deep.equal([]);
    clock.advance(1);
    expect(calls).to.deep.equal([20]);
  });

  it('does not call what was cancelled, even by another timer at the same time', () => {
    const clock = createManualClock();
    const calls: string[] = [];
    let cancelSecond = () => {};
    clock.after(10, () => cancelSecond());
    cancelSecond = clock.after(10, () => calls.push('second'));
    const stop = clock.every(1, () => {
      calls.push('every');
      stop();
    });
    clock.advance(100);
    expect(calls).to.deep.equal(['every']);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('lets promises go on between timers when it is moved asynchronously', async () => {
    const clock = createManualClock(0);
    const seen: number[] = [];
    const work = (async () => {
      for (let step = 0; step < 3; step += 1) {
        await new Promise<void>((resolve) => {
          clock.after(10, resolve);
        });
        seen.push(clock.now());
      }
    })();
    await clock.advanceAsync(30);
    expect(seen).to.deep.equal([10, 20, 30]);
    await work;
  });

  it('refuses to go back, and to run for ever', () => {
    const clock = createManualClock();
    expect(() => clock.advance(-1)).to.throw(RangeError);
    const again = () => void clock.after(0, again);
    again();
    expect(() => clock.advance(1)).to.throw('again and again');
  });
});
