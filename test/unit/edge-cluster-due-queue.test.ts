import { expect } from 'chai';
import fc from 'fast-check';
import { DueQueue } from '../../edge/cluster/due-queue.ts';

describe('DueQueue', () => {
  it('hands out what is due, in order of time, and nothing earlier', () => {
    const add = fc.record({ kind: fc.constant('add' as const), atMs: fc.nat({ max: 50 }) });
    const take = fc.record({ kind: fc.constant('take' as const), nowMs: fc.nat({ max: 50 }) });
    fc.assert(
      fc.property(fc.array(fc.oneof(add, take), { maxLength: 80 }), (steps) => {
        const queue = new DueQueue<number>();
        const waiting: number[] = [];
        for (const step of steps) {
          if (step.kind === 'add') {
            queue.add(step.atMs, step.atMs);
            waiting.push(step.atMs);
            waiting.sort((one, other) => one - other);
          } else {
            const isDue = (waiting[0] ?? Number.POSITIVE_INFINITY) <= step.nowMs;
            expect(queue.take(step.nowMs)).to.equal(isDue ? waiting.shift() : undefined);
          }
          expect(queue.size).to.equal(waiting.length);
          expect(queue.nextMs).to.equal(waiting[0] ?? Number.POSITIVE_INFINITY);
        }
      }),
      { numRuns: 500 },
    );
  });
});
