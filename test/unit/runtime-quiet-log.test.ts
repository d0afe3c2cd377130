import { expect } from 'chai';
import { createLog } from '../../runtime/log.ts';
import { QuietLog } from '../../runtime/quiet-log.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('QuietLog', () => {
  it('writes one line for each kind and minute, and says how many were held back', () => {
    const lines: Record<string, unknown>[] = [];
    const write = (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>);
    const clock = createManualClock();
    const log = new QuietLog(createLog('info', {}, { write }), clock);
    for (let times = 0; times < 5; times += 1) log.warn('a', { why: 'a' }, 'refused');
    log.warn('b', { why: 'b' }, 'refused');
    clock.advance(60_000);
    log.warn('a', { why: 'a' }, 'refused');
    expect(
      lines.map(({ why, alikeSinceTheLastLine }) => [why, alikeSinceTheLastLine]),
    ).to.deep.equal([
      ['a', undefined],
      ['b', undefined],
      ['a', 4],
    ]);
  });

  it('is bounded, whatever the kinds', () => {
    let lines = 0;
    const write = () => {
      lines += 1;
    };
    const log = new QuietLog(createLog('info', {}, { write }), createManualClock());
    for (let kind = 0; kind < 1_000; kind += 1) log.warn(String(kind), {}, 'refused');
    expect(lines).to.equal(100);
  });
});
