import { expect } from 'chai';
import { retryWaitMs } from '../../edge/webhooks/retry.ts';

const timings = { retryMinMs: 1_000, retryMaxMs: 60_000 };

describe('retryWaitMs', () => {
  const range = (failures: number) =>
    [0, 0.999].map((random) => Math.round(retryWaitMs(failures, timings, random) / 100) / 10);

  it('doubles from a second to a minute, with half of it by chance', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 50].map(range)).to.deep.equal([
      [1, 2],
      [2, 4],
      [4, 8],
      [8, 16],
      [16, 32],
      [30, 60],
      [30, 60],
      [30, 60],
    ]);
  });

  it('stays bounded after any number of failures', () => {
    expect(retryWaitMs(100_000, timings, 0.5)).to.equal(45_000);
  });
});
