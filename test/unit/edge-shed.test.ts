import { expect } from 'chai';
import { excess, startShedding } from '../../edge/shed.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('shedding', () => {
  it('leaves an edge alone that has about its share, is alone, or has next to nothing', () => {
    for (const [own, all, edges] of [
      [100, 200, 2],
      [120, 200, 2],
      [1_000, 1_000, 1],
      [12, 12, 2],
      [0, 0, 2],
    ] as const) {
      expect(excess(own, all, edges, 50), `${own} of ${all}`).to.equal(0);
    }
  });

  it('closes what is above the share, at the rate that is allowed', () => {
    expect(excess(1_000, 1_000, 2, 50)).to.equal(50);
    expect(excess(150, 200, 2, 500)).to.equal(50);
  });

  function shed(perSecond: number) {
    const clock = createManualClock();
    const closes: number[] = [];
    const sent: string[] = [];
    let open = Array.from({ length: 200 }, () => ({
      send: (text: string) => void sent.push(text),
      close({ code }: { code: number }) {
        closes.push(code);
        open = open.filter((other) => other !== this);
      },
    }));
    const stop = startShedding({
      perSecond,
      clock,
      random: (_minimum, maximum) => maximum,
      figures: () => ({ own: open.length, all: 200, edges: 2 }),
      connections: () => open,
    });
    return { clock, closes, sent, stop };
  }

  it('goes on until the edge has about its share, with a code that clients come back from', () => {
    const { clock, closes, sent, stop } = shed(10);
    clock.advance(1_000);
    expect(closes).to.have.length(10);
    clock.advance(60_000);
    expect(new Set(closes)).to.deep.equal(new Set([4200]));
    expect(closes.length).to.be.within(70, 100);
    expect(sent.every((text) => text.includes('warren:draining'))).to.equal(true);
    stop();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('is off by default', () => {
    const { clock, closes } = shed(0);
    clock.advance(60_000);
    expect(closes).to.deep.equal([]);
    expect(clock.pendingTimers).to.equal(0);
  });
});
