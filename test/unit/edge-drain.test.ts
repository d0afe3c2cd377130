import { expect } from 'chai';
import { closePaced } from '../../edge/drain.ts';
import { secureRandom } from '../../edge/socket/socket-id.ts';
import { createManualClock } from '../support/manual-clock.ts';

function crowd(size: number) {
  const closed: { readonly index: number; readonly atMs: number; readonly code: number }[] = [];
  const clock = createManualClock();
  const last: string[] = [];
  const connections = Array.from({ length: size }, (_, index) => ({
    send: (text: string) => {
      last[index] = text;
    },
    close: ({ code }: { code: number }) => {
      closed.push({ index, atMs: clock.monotonicMs(), code });
    },
  }));
  return { clock, closed, connections, last };
}

describe('closePaced', () => {
  it('spreads the closes evenly over four fifths of the time', async () => {
    const { clock, closed, connections } = crowd(1_000);
    const done = closePaced(connections, 10_000, clock, secureRandom);
    clock.advance(4_000);
    expect(closed.length).to.be.within(450, 550);
    clock.advance(3_900);
    expect(closed.length).to.be.lessThan(1_000);
    clock.advance(100);
    await done;
    expect(closed.length).to.equal(1_000);
    expect(clock.pendingTimers).to.equal(0);
    const perSecond = Array.from(
      { length: 8 },
      (_, second) => closed.filter(({ atMs }) => Math.floor(atMs / 1_000) === second).length,
    );
    for (const count of perSecond) expect(count).to.be.within(100, 150);
  });

  it('tells each before it closes it, with the code that brings stock clients back', async () => {
    const { clock, closed, connections, last } = crowd(20);
    const done = closePaced(connections, 1_000, clock, secureRandom);
    clock.advance(1_000);
    await done;
    expect(new Set(closed.map(({ code }) => code))).to.deep.equal(new Set([4200]));
    expect(last).to.deep.equal(Array(20).fill('{"event":"warren:draining","data":"{}"}'));
  });

  it('closes in random order', async () => {
    const order = async () => {
      const { clock, closed, connections } = crowd(50);
      const done = closePaced(connections, 1_000, clock, secureRandom);
      clock.advance(1_000);
      await done;
      return closed.map(({ index }) => index);
    };
    const [first, second] = [await order(), await order()];
    expect([...first].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 50 }, (_, i) => i));
    expect(first).not.to.deep.equal(second);
  });

  it('is done at once without connections or without time', async () => {
    const none = crowd(0);
    await closePaced(none.connections, 30_000, none.clock, secureRandom);
    const hurried = crowd(30);
    await closePaced(hurried.connections, 0, hurried.clock, secureRandom);
    expect(hurried.closed.length).to.equal(30);
    expect(none.clock.pendingTimers + hurried.clock.pendingTimers).to.equal(0);
  });
});
