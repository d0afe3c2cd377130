/**
 * The broker itself stops, dies or runs out of memory under sessions with continuity. What lay in their queues may be lost with it; then
 * every session is told. All else holds as ever.
 */
import { strict as assert } from 'node:assert';
import { eventually } from '../support/eventually.ts';
import type { Verdict } from '../support/history-entries.ts';
import { type PrivateBroker, startPrivateBroker } from '../support/private-broker.ts';
import { skipBecause } from '../support/skip.ts';
import { brokerObjects } from './baseline.ts';
import { summary } from './report.ts';
import { ChaosRun } from './run.ts';

const seed = Number(process.env['SEED'] || Math.floor(Math.random() * 4_294_967_296));
/** Publications between two faults: so much is under way when the next one strikes. */
const between = 100;

describe('sessions with continuity, while the broker stops, dies and blocks', function () {
  // RabbitMQ needs 10 to 20 s for each of three starts on two busy cores.
  this.timeout(400_000);
  let broker: PrivateBroker | undefined;
  let run: ChaosRun | undefined;
  let verdict: Verdict;
  let baseline: readonly string[];
  /** When both restarts were over and everybody had been told. */
  let alarmAt = Number.POSITIVE_INFINITY;

  before(async function () {
    const started = await startPrivateBroker();
    if (typeof started === 'string') skipBecause(this, `no RabbitMQ to be had here: ${started}`);
    broker = started;
    run = await ChaosRun.start({
      seed,
      pages: 40,
      continuity: true,
      url: started.url,
      environment: { WARREN_RESUME_WINDOW_MS: '120000' },
      beforePages: async (prefix) => {
        baseline = await brokerObjects(started, prefix);
      },
    });
    await run.published(between);
    for (const [kind, end] of [
      ['broker-kill', started.kill],
      ['broker-stop', started.down],
    ] as const) {
      await run.fault(kind, end);
      await started.up();
      await run.published(between, 120_000);
      await run.everyPageTold();
    }
    await run.everyPageLive();
    alarmAt = performance.now();
    const limit = async (fraction: string) =>
      void (await started.control('set_vm_memory_high_watermark', fraction));
    await run.fault('alarm', () => limit('0.00001'));
    await run.breakThings({ 'edge-kill': 1, 'page-cut': 2 }, [500, 1_000]);
    await limit('0.4');
    await run.published(between, 60_000);
    verdict = await run.settle({
      demands: {
        deliveries: 1_000,
        faults: { 'broker-kill': 1, 'broker-stop': 1, alarm: 1, 'edge-kill': 1 },
      },
    });
    process.stdout.write(`    seed ${seed}\n${summary(verdict)}\n`);
  });

  after(async () => {
    await run?.stop();
    await broker?.remove();
  });

  const explained = () => `seed ${seed}\n${run?.explain(verdict)}`;

  it('is a run that proves something', () => assert.deepEqual(verdict.invalid, []));

  for (const kind of ['lost', 'duplicated', 'reordered', 'foreign', 'misreported'] as const) {
    it(`finds nothing ${kind} that was not declared`, () =>
      assert.equal(verdict[kind].length, 0, explained()));
  }

  for (const kind of ['broker-kill', 'broker-stop']) {
    it(`tells every session of a loss after the ${kind}`, () => {
      const { faults = [] } = run ?? {};
      const at = faults.findIndex((fault) => fault.kind === kind);
      const from = faults[at]?.at ?? Number.POSITIVE_INFINITY;
      const to = faults[at + 1]?.at ?? Number.POSITIVE_INFINITY;
      const told = verdict.gaps.filter((gap) => gap.at > from && gap.at < to);
      const names = new Set(told.map(({ session }) => session));
      assert.equal(names.size, run?.pages.length, explained());
    });
  }

  it('declares no gap because of a memory alarm', () => {
    const declared = verdict.gaps.filter(({ at }) => at > alarmAt);
    assert.deepEqual(declared, [], explained());
  });

  it('is back at the baseline of queues, bindings and consumers when the pages have gone', async () => {
    assert.ok(run !== undefined && broker !== undefined);
    const { pages, fleet } = run;
    const prefix = fleet.names.prefix;
    const during = await brokerObjects(broker, prefix);
    assert.ok(during.length >= baseline.length + pages.length, 'every session has a queue');
    run.closePages();
    const ours = broker;
    await eventually(
      async () => assert.deepEqual(await brokerObjects(ours, prefix), baseline),
      40_000,
    );
  });
});
