/**
 * Sessions outlive edges: stock clients over three edges behind a balancer, while edges, routers and links die. `make chaos` runs it
 * for ten minutes; SEED and MINUTES are its parameters.
 */
import { strict as assert } from 'node:assert';
import type { Verdict } from '../support/history-entries.ts';
import { assertNothingLeft } from './baseline.ts';
import type { Deck } from './faults.ts';
import { summary } from './report.ts';
import { ChaosRun } from './run.ts';

const minutes = Number(process.env['MINUTES'] ?? 0);
const seed = Number(process.env['SEED'] || Math.floor(Math.random() * 4_294_967_296));

const deck: Deck = {
  'edge-kill': 21,
  deploy: 1,
  'router-kill': 3,
  'page-cut': 3,
  'page-freeze': 2,
  'page-delay': 2,
  rejoin: 3,
  'broker-cut': 2,
  'broker-freeze': 1,
};
const least = { 'edge-kill': 20, deploy: 1, 'router-kill': 2, 'page-cut': 2, 'broker-cut': 2 };

describe('sessions with continuity, while edges, routers and links die', function () {
  this.timeout((minutes + 6) * 60_000);
  let run: ChaosRun | undefined;
  let verdict: Verdict;

  before(async () => {
    process.stdout.write(`    replay with: make chaos SEED=${seed} MINUTES=${minutes}\n`);
    run = await ChaosRun.start({
      seed,
      pages: 40,
      continuity: true,
      environment: { WARREN_RESUME_WINDOW_MS: '60000' },
    });
    await run.breakThings(deck, [300, 1_500], minutes * 60_000);
    verdict = await run.settle({ demands: { deliveries: 20_000, faults: least } });
    process.stdout.write(`${summary(verdict)}\n`);
  });

  after(async () => {
    await run?.stop();
  });

  const expectNone = (
    kind: 'lost' | 'duplicated' | 'reordered' | 'foreign' | 'misreported' | 'gaps',
  ) => {
    if (verdict[kind].length > 0) assert.fail(`seed ${seed}\n${run?.explain(verdict)}`);
  };

  it('is a run that proves something', () => assert.deepEqual(verdict.invalid, []));
  it('loses nothing that was confirmed', () => expectNone('lost'));
  it('reorders no first sighting', () => expectNone('reordered'));
  it('repeats only what was not acknowledged, or a router’s confirm window', () =>
    expectNone('duplicated'));
  it('shows nobody what is not theirs', () => expectNone('foreign'));
  it('reports the session before the first subscription, truly', () => expectNone('misreported'));
  it('resumes every time: no gap is declared', () => expectNone('gaps'));

  it('leaves no queue, binding or consumer of a session behind', async () => {
    assert.ok(run !== undefined);
    await assertNothingLeft(run);
  });
});

describe('the same without sessions', function () {
  this.timeout(120_000);

  it('loses events, and the judge sees it', async () => {
    const run = await ChaosRun.start({ seed, pages: 10, continuity: false });
    try {
      await run.breakThings({ 'edge-kill': 3 }, [1_000, 1_500]);
      const verdict = await run.settle({
        demands: { deliveries: 500, faults: { 'edge-kill': 3 } },
      });
      assert.deepEqual(verdict.invalid, []);
      assert.ok(verdict.lost.length > 0, run.explain(verdict));
      assert.deepEqual([verdict.reordered.length, verdict.foreign.length], [0, 0]);
    } finally {
      await run.stop();
    }
  });
});
