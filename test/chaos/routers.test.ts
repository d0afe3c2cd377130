/** Routers die one after another under a stream of domain events to 20 channels: nothing is lost, and each channel keeps its order. */
import { strict as assert } from 'node:assert';
import type { Verdict } from '../support/history-entries.ts';
import { summary } from './report.ts';
import { ChaosRun } from './run.ts';

const seed = Number(process.env['SEED'] || Math.floor(Math.random() * 4_294_967_296));
const kills = 10;

describe('three routers, while they die one after another', function () {
  this.timeout(180_000);
  let run: ChaosRun | undefined;
  let verdict: Verdict;

  before(async () => {
    run = await ChaosRun.start({ seed, pages: 12, continuity: true, edges: 1, routers: 3 });
    await run.breakThings({ 'router-kill': kills }, [300, 900]);
    verdict = await run.settle({
      demands: { deliveries: 1_000, faults: { 'router-kill': kills } },
    });
    process.stdout.write(`    seed ${seed}\n${summary(verdict)}\n`);
  });

  after(async () => {
    await run?.stop();
  });

  it('is a run that proves something', () => assert.deepEqual(verdict.invalid, []));

  for (const kind of ['lost', 'duplicated', 'reordered', 'foreign', 'gaps'] as const) {
    it(`finds nothing ${kind}`, () => {
      assert.equal(verdict[kind].length, 0, `seed ${seed}\n${run?.explain(verdict)}`);
    });
  }
});
