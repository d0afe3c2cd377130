/** Sums over edges that come and go, on a bus that keeps the order of each sender and nothing else. */
import { expect } from 'chai';
import fc from 'fast-check';
import { BrokerError } from '../../broker/errors.ts';
import type { BusAddress, EdgeBus, EdgeBusReceiver } from '../../broker/port.ts';
import { type DirectoryKey, directoryKeyText } from '../../contracts/directory-key.ts';
import type { AppId, ChannelName, EdgeId } from '../../contracts/ids.ts';
import { joinCluster } from '../../edge/cluster/cluster.ts';
import type { Cluster } from '../../edge/cluster/port.ts';
import { createLog } from '../../runtime/log.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';

const keys: readonly DirectoryKey[] = ['a', 'b', 'c', 'd'].map((channel) => ({
  kind: 'channel',
  app: 'app' as AppId,
  channel: channel as ChannelName,
}));
/** One way. An edge that leaves lingers for longer than there and back. */
const maxDelayMs = 60;
/** Longer than the lease: an edge and the one that stands in for it may take an announcement with them where they die together. */
const betweenDeathsMs = 13_000;
/** An edge that leaves before anybody has answered it does not wait for what it may be handed. */
const afterJoiningMs = 1_000;
/** Until somebody stands in for everyone again. */
const afterChangeMs = 2_000;

/** Each message takes its own time from each sender to each receiver, but none overtakes another of the same sender. */
class LateBus implements Pick<EdgeBus, 'join'> {
  readonly #clock: ManualClock;
  readonly #random: () => number;
  readonly #members = new Map<EdgeId, EdgeBusReceiver>();
  readonly #killed = new Set<EdgeId>();
  readonly #busyUntilMs = new Map<string, number>();

  constructor(clock: ManualClock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  async join(edgeId: EdgeId, receiver: EdgeBusReceiver) {
    this.#members.set(edgeId, receiver);
    return {
      send: (to: BusAddress, body: Buffer) => this.#send(edgeId, to, body),
      listen: async () => undefined,
      unlisten: async () => undefined,
      leave: async () => {
        this.#members.delete(edgeId);
      },
    };
  }

  /** Says and hears nothing from now on. */
  kill(edgeId: EdgeId): void {
    this.#members.delete(edgeId);
    this.#killed.add(edgeId);
  }

  isKilled(edgeId: EdgeId): boolean {
    return this.#killed.has(edgeId);
  }

  #send(from: EdgeId, to: BusAddress, body: Buffer): Promise<void> {
    if (!this.#members.has(from)) return Promise.reject(new BrokerError('closed', 'gone'));
    for (const edge of this.#members.keys()) {
      if (to.kind === 'all' || (to.kind === 'edge' && to.edgeId === edge)) {
        this.#deliver(from, edge, to.kind, body);
      }
    }
    return new Promise((resolve) => {
      this.#clock.after(this.#random() * 20, resolve);
    });
  }

  #deliver(from: EdgeId, edge: EdgeId, to: BusAddress['kind'], body: Buffer): void {
    const road = `${from} ${edge}`;
    const nowMs = this.#clock.monotonicMs();
    const atMs = Math.max(this.#busyUntilMs.get(road) ?? 0, nowMs + this.#random() * maxDelayMs);
    this.#busyUntilMs.set(road, atMs);
    this.#clock.after(atMs - nowMs, () => this.#members.get(edge)?.message({ from, to, body }));
  }
}

interface Edge {
  readonly id: EdgeId;
  readonly bornMs: number;
  readonly cluster: Cluster;
  readonly counts: Map<string, number>;
  readonly totals: Map<string, number>;
}

type Step =
  | { readonly kind: 'report'; readonly edge: number; readonly key: number; readonly count: number }
  | { readonly kind: 'join' | 'pass' }
  | { readonly kind: 'leave' | 'kill'; readonly edge: number };

interface Run {
  readonly steps: readonly { readonly step: Step; readonly pauseMs: number }[];
  readonly seed: number;
}

const index = fc.nat({ max: 7 });
const report = fc.record({
  kind: fc.constant('report' as const),
  edge: index,
  key: fc.nat({ max: keys.length - 1 }),
  count: fc.constantFrom(0, 0, 1, 1, 2, 150),
});
const change = (...kinds: readonly ('leave' | 'kill')[]): fc.Arbitrary<Step> =>
  fc.oneof(
    fc.constant({ kind: 'join' as const }),
    ...kinds.map((kind) => fc.record({ kind: fc.constant(kind), edge: index })),
  );
const runs = (view: fc.Arbitrary<Step>): fc.Arbitrary<Run> =>
  fc.record({
    seed: fc.nat(),
    steps: fc.array(
      fc.record({
        step: fc.oneof({ weight: 5, arbitrary: report }, { weight: 1, arbitrary: view }),
        pauseMs: fc.constantFrom(0, 10, 60, 200, 700, 1_500, 4_000, 14_000),
      }),
      { minLength: 5, maxLength: 30 },
    ),
  });

/** Plays a run to its end, and until nothing can be under way any more. */
async function play({ steps, seed }: Run) {
  let state = seed;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const clock = createManualClock();
  const bus = new LateBus(clock, random);
  const log = createLog('silent');
  const announced = new Map<string, string[]>();
  const live: Edge[] = [];
  let born = 0;
  let quietUntilMs = 0;
  let noDeathUntilMs = 0;

  const join = () => {
    if (live.length >= 5) return;
    born += 1;
    const id = `edge-${born}` as EdgeId;
    const totals = new Map<string, number>();
    const say = (key: DirectoryKey, what: string) => {
      // A process that was killed runs on here.
      if (bus.isKilled(id)) return;
      const text = directoryKeyText(key);
      announced.set(text, [...(announced.get(text) ?? []), what]);
    };
    const cluster = joinCluster({
      edgeBus: bus,
      edgeId: id,
      clock,
      log,
      local: {
        load: () => [],
        channels: () => [],
        terminate: () => 0,
        sessionClaimed: () => undefined,
        disconnect: () => undefined,
      },
      rooms: { added: () => undefined, removed: () => undefined },
      directory: {
        total: (key, total) => totals.set(directoryKeyText(key), total),
        appeared: (key) => say(key, 'appeared'),
        vanished: (key) => say(key, 'vanished'),
        changed: () => undefined,
      },
    });
    for (const key of keys) cluster.directory.watch(key);
    live.push({ id, bornMs: clock.monotonicMs(), cluster, counts: new Map(), totals });
  };
  const take = (edge: number, fromMs: number) => {
    if (live.length < 2 || clock.monotonicMs() < fromMs) return undefined;
    const at = edge % live.length;
    const isKnown = clock.monotonicMs() >= (live[at]?.bornMs ?? 0) + afterJoiningMs;
    return isKnown ? live.splice(at, 1)[0] : undefined;
  };

  join();
  join();
  await clock.advanceAsync(3_000);
  for (const { step, pauseMs } of steps) {
    if (step.kind === 'join') join();
    if (step.kind === 'leave') void take(step.edge, quietUntilMs)?.cluster.leave();
    if (step.kind === 'join' || step.kind === 'leave') {
      noDeathUntilMs = clock.monotonicMs() + afterChangeMs;
    }
    if (step.kind === 'kill') {
      const killed = take(step.edge, Math.max(quietUntilMs, noDeathUntilMs));
      if (killed !== undefined) {
        bus.kill(killed.id);
        quietUntilMs = clock.monotonicMs() + betweenDeathsMs;
      }
    }
    if (step.kind === 'report') {
      const edge = live[step.edge % live.length];
      const key = keys[step.key];
      if (edge !== undefined && key !== undefined) {
        edge.counts.set(directoryKeyText(key), step.count);
        edge.cluster.directory.report(key, step.count);
      }
    }
    await clock.advanceAsync(pauseMs);
  }
  await clock.advanceAsync(25_000);
  const truth = (text: string) =>
    live.reduce((sum, { counts }) => sum + (counts.get(text) ?? 0), 0);
  const outcome = { announced, live, truth };
  for (const { id, cluster } of live) {
    bus.kill(id);
    void cluster.leave();
  }
  return outcome;
}

function expectTruth({ live, truth, announced }: Awaited<ReturnType<typeof play>>): void {
  for (const text of keys.map(directoryKeyText)) {
    for (const { id, totals } of live) {
      expect(totals.get(text) ?? 0, `${text} at ${id}`).to.equal(truth(text));
    }
    const last = announced.get(text)?.at(-1) ?? 'vanished';
    expect(last, text).to.equal(truth(text) > 0 ? 'appeared' : 'vanished');
  }
}

describe('the directory of a cluster', function () {
  this.timeout(Number(process.env['LIMIT'] ?? 60_000));

  it('announces each beginning and each end once while edges come and go in order', async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(runs(change('leave')), async (run) => {
        const outcome = await play(run);
        expectTruth(outcome);
        for (const [text, words] of outcome.announced) {
          for (const [at, word] of words.entries()) {
            seen.add(word);
            expect(word, `${text}: ${words}`).to.equal(at % 2 === 0 ? 'appeared' : 'vanished');
          }
        }
      }),
      { numRuns: Number(process.env['RUNS'] ?? 100) },
    );
    expect([...seen]).to.have.members(['appeared', 'vanished']);
  });

  it('ends with the truth, announced at least once, where edges die', async () => {
    await fc.assert(
      fc.asyncProperty(runs(change('leave', 'kill')), async (run) => {
        expectTruth(await play(run));
      }),
      { numRuns: Number(process.env['RUNS'] ?? 100) },
    );
  });
});
