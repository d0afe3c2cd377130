import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import {
  type DirectoryKey,
  directoryKeyText,
  directoryShard,
} from '../../contracts/directory-key.ts';
import type { DirectoryReport, EdgeMessage } from '../../contracts/edge-message.ts';
import type { AppId, ChannelName, EdgeId } from '../../contracts/ids.ts';
import { defaultClusterTimings } from '../../edge/cluster/cluster.ts';
import { Directory } from '../../edge/cluster/directory.ts';
import { Ring, rendezvousHash } from '../../edge/cluster/rendezvous.ts';
import { createManualClock } from '../support/manual-clock.ts';

const [self, a, b] = ['edge-self', 'edge-a', 'edge-b'] as [EdgeId, EdgeId, EdgeId];
const channel = (name: string): DirectoryKey => ({
  kind: 'channel',
  app: 'app' as AppId,
  channel: name as ChannelName,
});

/** A channel that these edges, in this order, keep in a view of these edges. */
function keptBy(...order: readonly EdgeId[]): DirectoryKey {
  const whole = new Ring(order);
  for (let n = 0; n < 10_000; n += 1) {
    const key = channel(`room-${n}`);
    const shard = rendezvousHash(directoryShard(key));
    const isOrdered = order.every(
      (edge, at) =>
        order
          .slice(0, at)
          .reduce((ring, gone) => ring.without(gone), whole)
          .targets(shard).owner === edge,
    );
    if (isOrdered) return key;
  }
  throw new Error('no such key');
}

type Entry = DirectoryReport['entries'][number];

function setUp() {
  const clock = createManualClock();
  const said: string[] = [];
  const sent: { readonly to: EdgeId; readonly message: EdgeMessage }[] = [];
  const bus = { takes: true };
  const heardMs = new Map<EdgeId, number>();
  const nameOf = (key: DirectoryKey) => (key.kind === 'channel' ? key.channel : key.kind);
  const directory = new Directory({
    edgeId: self,
    clock,
    timings: defaultClusterTimings,
    lastHeardMs: (edge) => heardMs.get(edge),
    bus: {
      send(to, message) {
        if (!bus.takes) return Promise.reject(new BrokerError('broker_unavailable', 'away'));
        if (to.kind === 'edge') sent.push({ to: to.edgeId, message });
        return Promise.resolve();
      },
    },
    listener: {
      total: (key, total) => said.push(`total ${nameOf(key)} ${total}`),
      appeared: (key) => said.push(`appeared ${nameOf(key)}`),
      vanished: (key) => said.push(`vanished ${nameOf(key)}`),
      changed: (key, total) => said.push(`changed ${nameOf(key)} ${total}`),
    },
  });
  const reports = (to: EdgeId) =>
    sent.flatMap(({ to: edge, message }) =>
      edge === to && message.type === 'directory-report' ? [message] : [],
    );
  const take = <T>(list: T[]): readonly T[] => list.splice(0);
  const hear = (from: EdgeId, key: DirectoryKey, count: number, watch = false, known = false) => {
    heardMs.set(from, clock.monotonicMs());
    const entries: readonly Entry[] = [[directoryKeyText(key), count, watch, known]];
    directory.receive(from, { type: 'directory-report', fresh: false, entries });
  };
  const join = (edge: EdgeId) => {
    heardMs.set(edge, clock.monotonicMs());
    directory.edgeJoined(edge);
  };
  return { clock, said, sent, bus, heardMs, directory, reports, take, hear, join };
}

/** With these others in the view, all of them known for long, and nothing under way. */
async function settled(...others: readonly EdgeId[]) {
  const set = setUp();
  for (const edge of others) set.join(edge);
  set.directory.settled();
  await set.clock.advanceAsync(5_000);
  set.take(set.sent);
  set.take(set.said);
  return set;
}

describe('Directory', () => {
  describe('on the only edge', () => {
    it('announces a beginning, each change, and an end after the delay', async () => {
      const { directory, clock, said, take } = await settled();
      directory.report(channel('a'), 2);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['appeared a', 'changed a 2']);
      directory.report(channel('a'), 0);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['changed a 0']);
      await clock.advanceAsync(2_700);
      expect(take(said)).to.deep.equal([]);
      await clock.advanceAsync(300);
      expect(take(said)).to.deep.equal(['vanished a']);
      directory.report(channel('a'), 1);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['appeared a', 'changed a 1']);
    });

    it('announces nothing where the sum is back before the delay is over', async () => {
      const { directory, clock, said, take } = await settled();
      directory.report(channel('a'), 1);
      await clock.advanceAsync(200);
      directory.report(channel('a'), 0);
      await clock.advanceAsync(2_900);
      directory.report(channel('a'), 1);
      await clock.advanceAsync(10_000);
      expect(said.filter((word) => !word.startsWith('changed'))).to.deep.equal(['appeared a']);
      take(said);
      directory.report(channel('a'), 0);
      await clock.advanceAsync(2_900);
      expect(take(said)).to.deep.equal(['changed a 0']);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['vanished a']);
    });

    it('needs not to wait for others before it announces', async () => {
      const { directory, clock, said } = setUp();
      directory.report(channel('a'), 1);
      await clock.advanceAsync(10_000);
      expect(said).to.deep.equal([]);
      directory.settled();
      await clock.advanceAsync(50);
      expect(said).to.deep.equal(['appeared a']);
    });

    it('tells a watched total soon, and again for each further watcher', async () => {
      const { directory, clock, said, take } = await settled();
      directory.watch(channel('a'));
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['total a 0']);
      directory.report(channel('a'), 3);
      await clock.advanceAsync(200);
      expect(take(said)).to.include('total a 3');
      directory.watch(channel('a'));
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['total a 3']);
      directory.unwatch(channel('a'));
      directory.report(channel('a'), 4);
      await clock.advanceAsync(200);
      expect(take(said)).to.include('total a 4');
      directory.unwatch(channel('a'));
      directory.unwatch(channel('a'));
      directory.report(channel('a'), 5);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['changed a 5']);
    });

    it('gathers changes, and says nothing of those that came to nothing', async () => {
      const { directory, clock, said, take } = await settled();
      for (let count = 1; count <= 20; count += 1) directory.report(channel('a'), count);
      directory.report(channel('b'), 1);
      directory.report(channel('b'), 0);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal(['appeared a', 'changed a 20']);
    });

    it('tells sums above 100 at most every 5 s, and always the last one', async () => {
      const { directory, clock, said } = await settled();
      directory.watch(channel('a'));
      for (let count = 99; count <= 600; count += 1) {
        directory.report(channel('a'), count);
        await clock.advanceAsync(40);
      }
      await clock.advanceAsync(5_100);
      for (const word of ['total', 'changed']) {
        const totals = said
          .filter((each) => each.startsWith(word))
          .map((each) => Number(each.split(' ')[2]));
        expect(
          totals.filter((total) => total > 100),
          word,
        ).to.have.lengthOf.within(4, 6);
        expect(totals.at(-1), word).to.equal(600);
      }
    });

    it('needs one timer for all that is due, and forgets what is over', async () => {
      const { directory, clock, said } = await settled();
      for (let n = 0; n < 1_000; n += 1) directory.report(channel(`room-${n}`), 1);
      await clock.advanceAsync(100);
      expect(directory.sizes).to.deep.equal({ held: 1_000, kept: 1_000 });
      for (let n = 0; n < 1_000; n += 1) {
        directory.report(channel(`room-${n}`), 0);
        if (n % 100 === 0) await clock.advanceAsync(20);
      }
      await clock.advanceAsync(60);
      expect(directory.sizes).to.deep.equal({ held: 0, kept: 1_000 });
      expect(clock.pendingTimers).to.equal(1);
      await clock.advanceAsync(3_100);
      expect(directory.sizes).to.deep.equal({ held: 0, kept: 0 });
      expect(said.filter((word) => word.startsWith('vanished'))).to.have.lengthOf(1_000);
      expect(clock.pendingTimers).to.equal(0);
    });

    it('announces the end of everything when it leaves, because nobody is left to do it', async () => {
      const { directory, clock, said, take } = await settled();
      directory.report(channel('a'), 1);
      await clock.advanceAsync(200);
      take(said);
      await directory.withdraw();
      directory.handOver();
      expect(take(said)).to.deep.equal(['vanished a']);
      directory.report(channel('a'), 1);
      directory.watch(channel('a'));
      await clock.advanceAsync(10_000);
      expect(said).to.deep.equal([]);
      expect(clock.pendingTimers).to.equal(0);
    });
  });

  describe('as a reporter', () => {
    it('tells owner and backup alone, in parts', async () => {
      const { directory, clock, reports } = await settled(a, b);
      const mine = keptBy(a, b, self);
      const other = keptBy(b, self, a);
      directory.report(mine, 3);
      directory.watch(other);
      await clock.advanceAsync(50);
      const entries = (to: EdgeId) => reports(to).flatMap((report) => report.entries);
      expect(entries(a)).to.deep.equal([[directoryKeyText(mine), 3, false, false]]);
      expect(entries(b)).to.deep.equal([
        [directoryKeyText(mine), 3, false, false],
        [directoryKeyText(other), 0, true, false],
      ]);
      for (let n = 0; n < 5_000; n += 1) directory.report(channel(`many-${n}`), 1);
      await clock.advanceAsync(50);
      const sizes = reports(a).map((report) => report.entries.length);
      expect(Math.max(...sizes)).to.equal(500);
      expect(sizes.length).to.be.within(6, 9);
    });

    it('says of what it has told before that it is known, and of what begins that it is not', async () => {
      const { directory, clock, reports, take, sent } = await settled(a);
      const key = keptBy(a, self);
      for (const count of [1, 2, 0, 3]) {
        directory.report(key, count);
        await clock.advanceAsync(100);
      }
      expect(reports(a).map(({ entries }) => entries[0]?.slice(1))).to.deep.equal([
        [1, false, false],
        [2, false, true],
        [0, false, false],
        [3, false, false],
      ]);
      take(sent);
    });

    it('tells again after a second what the broker has not taken, as it is by then', async () => {
      const { directory, clock, reports, bus } = await settled(a);
      const key = keptBy(a, self);
      bus.takes = false;
      directory.report(key, 1);
      await clock.advanceAsync(60);
      directory.report(key, 2);
      bus.takes = true;
      await clock.advanceAsync(900);
      expect(reports(a)).to.deep.equal([]);
      await clock.advanceAsync(200);
      expect(reports(a).flatMap(({ entries }) => entries)).to.deep.equal([
        [directoryKeyText(key), 2, false, false],
      ]);
    });

    it('tells a newcomer what it keeps from now on, and nobody else anything', async () => {
      const { directory, clock, reports, take, sent, join, heardMs } = await settled(a);
      const moved = keptBy(b, a, self);
      const stays = keptBy(a, self, b);
      directory.report(moved, 1);
      directory.report(stays, 1);
      await clock.advanceAsync(4_000);
      heardMs.set(a, clock.monotonicMs());
      take(sent);
      join(b);
      await clock.advanceAsync(100);
      expect(reports(a)).to.deep.equal([]);
      expect(reports(b)).to.deep.equal([
        {
          type: 'directory-report',
          fresh: true,
          entries: [[directoryKeyText(moved), 1, false, true]],
        },
      ]);
    });

    it('does not vouch to a newcomer for what the former owner was told right before, or after it fell silent', async () => {
      for (const [sinceMs, heardSinceMs, vouches] of [
        [100, 100, false],
        [3_000, 0, false],
        [5_000, 4_000, true],
      ] as const) {
        const { directory, clock, reports, take, sent, join, heardMs } = await settled(a);
        heardMs.set(a, clock.monotonicMs() + heardSinceMs);
        directory.report(keptBy(b, a, self), 1);
        await clock.advanceAsync(sinceMs);
        take(sent);
        join(b);
        await clock.advanceAsync(100);
        expect(reports(b)[0]?.entries[0]?.[3], `${sinceMs} ${heardSinceMs}`).to.equal(vouches);
      }
    });

    it('tells everything anew to an edge that may have missed some, and to all after an interruption', async () => {
      const { directory, clock, reports, take, sent } = await settled(a, b);
      const key = keptBy(a, b, self);
      directory.report(key, 1);
      await clock.advanceAsync(10_000);
      take(sent);
      const anew = {
        type: 'directory-report',
        fresh: true,
        entries: [[directoryKeyText(key), 1, false, false]],
      };
      directory.edgeReturned(a);
      await clock.advanceAsync(100);
      expect(reports(a)).to.deep.equal([anew]);
      expect(reports(b)).to.deep.equal([]);
      take(sent);
      directory.interrupted();
      directory.report(channel('meanwhile'), 1);
      await clock.advanceAsync(10_000);
      expect(sent).to.deep.equal([]);
      directory.settled();
      await clock.advanceAsync(100);
      for (const edge of [a, b]) {
        expect(reports(edge)[0]?.fresh).to.equal(true);
        expect(reports(edge).flatMap(({ entries }) => entries)).to.deep.include(anew.entries[0]);
      }
    });

    it('tells those who keep its keys from now on where an edge has gone', async () => {
      const { directory, clock, reports, take, sent } = await settled(a, b);
      const key = keptBy(a, b, self);
      directory.report(key, 1);
      await clock.advanceAsync(4_000);
      take(sent);
      directory.edgeLeft(a, 'bye', clock.monotonicMs());
      await clock.advanceAsync(100);
      expect(reports(a)).to.deep.equal([]);
      expect(reports(b).flatMap(({ entries }) => entries)).to.deep.equal([
        [directoryKeyText(key), 1, false, true],
      ]);
    });

    it('hears totals of the owner alone, and each once', async () => {
      const { directory, clock, said } = await settled(a, b);
      const key = keptBy(a, b, self);
      directory.watch(key);
      await clock.advanceAsync(100);
      const name = key.kind === 'channel' ? key.channel : '';
      const total = (from: EdgeId, value: number) =>
        directory.receive(from, {
          type: 'directory-totals',
          entries: [[directoryKeyText(key), value]],
        });
      total(a, 4);
      total(a, 4);
      total(b, 5);
      expect(said).to.deep.equal([`total ${name} 4`]);
    });

    it('withdraws everything when it leaves', async () => {
      const { directory, clock, reports, take, sent } = await settled(a);
      const key = keptBy(a, self);
      directory.report(key, 1);
      directory.watch(key);
      await clock.advanceAsync(100);
      take(sent);
      await directory.withdraw();
      expect(reports(a)).to.deep.equal([
        {
          type: 'directory-report',
          fresh: false,
          entries: [[directoryKeyText(key), 0, false, false]],
        },
      ]);
      directory.handOver();
      expect(clock.pendingTimers).to.equal(0);
    });
  });

  describe('as an owner', () => {
    const key = keptBy(self, a, b);
    const name = key.kind === 'channel' ? key.channel : '';

    it('adds up what the edges hold, and tells those who watch in one message', async () => {
      const { hear, clock, said, take, sent } = await settled(a, b);
      hear(a, key, 2, true);
      hear(b, key, 3, false);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal([`appeared ${name}`, `changed ${name} 5`]);
      expect(take(sent)).to.deep.equal([
        { to: a, message: { type: 'directory-totals', entries: [[directoryKeyText(key), 5]] } },
      ]);
      hear(b, key, 0, false);
      hear(a, key, 0, false);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal([`changed ${name} 0`]);
      expect(sent).to.deep.equal([]);
    });

    it('takes what a reporter vouches for to be announced, and ends it', async () => {
      const { hear, clock, said, take } = await settled(a, b);
      hear(a, key, 1, false, true);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal([`changed ${name} 1`]);
      hear(a, key, 0, false, false);
      await clock.advanceAsync(4_000);
      expect(take(said)).to.deep.equal([`changed ${name} 0`, `vanished ${name}`]);
    });

    it('ignores what is no key', async () => {
      const { directory, clock } = await settled(a);
      directory.receive(a, {
        type: 'directory-report',
        fresh: false,
        entries: [
          ['nonsense', 1, true, false],
          ['["channel", "app","a"]', 1, true, false],
        ],
      });
      directory.receive(a, {
        type: 'directory-handover',
        entries: [['nonsense', 1]],
        hops: 3,
      });
      await clock.advanceAsync(1_000);
      expect(directory.sizes).to.deep.equal({ held: 0, kept: 0 });
    });

    it('answers whoever begins to watch, or says the same again', async () => {
      const { hear, clock, take, sent } = await settled(a, b);
      hear(a, key, 150, false);
      await clock.advanceAsync(200);
      expect(take(sent)).to.deep.equal([]);
      hear(b, key, 0, true);
      await clock.advanceAsync(200);
      expect(take(sent).map(({ to }) => to)).to.deep.equal([b]);
      hear(b, key, 0, true);
      await clock.advanceAsync(200);
      expect(take(sent).map(({ to }) => to)).to.deep.equal([b]);
    });

    it('tells watchers the last total where one of them heard another in between', async () => {
      const { hear, clock, take, sent } = await settled(a, b);
      hear(a, key, 150, true);
      await clock.advanceAsync(200);
      hear(a, key, 151, true);
      await clock.advanceAsync(200);
      take(sent);
      hear(b, key, 0, true);
      await clock.advanceAsync(200);
      hear(a, key, 150, true);
      await clock.advanceAsync(6_000);
      const last = new Map<EdgeId, number>();
      for (const { to, message } of sent) {
        if (message.type === 'directory-totals') last.set(to, message.entries[0]?.[1] ?? -1);
      }
      expect(last.get(b)).to.equal(150);
    });

    it('tells a large total that has to wait, too, where another watcher is answered in between', async () => {
      const { hear, clock, take, sent } = await settled(a, b);
      hear(a, key, 150, true);
      await clock.advanceAsync(200);
      hear(a, key, 151, true);
      await clock.advanceAsync(200);
      take(sent);
      hear(b, key, 0, true);
      await clock.advanceAsync(200);
      expect(take(sent).map(({ to }) => to)).to.deep.equal([b]);
      await clock.advanceAsync(5_000);
      expect(take(sent).map(({ to }) => to)).to.include(a);
    });

    it('tells totals again that the broker has not taken', async () => {
      const { hear, clock, take, sent, bus } = await settled(a, b);
      bus.takes = false;
      hear(a, key, 2, true);
      await clock.advanceAsync(500);
      bus.takes = true;
      await clock.advanceAsync(1_000);
      expect(take(sent)).to.deep.equal([
        { to: a, message: { type: 'directory-totals', entries: [[directoryKeyText(key), 2]] } },
      ]);
    });

    it('takes back what an edge held where it is gone, with the delay', async () => {
      const { hear, directory, clock, said, take } = await settled(a, b);
      hear(a, key, 2);
      await clock.advanceAsync(200);
      take(said);
      directory.edgeLeft(a, 'silent', clock.monotonicMs());
      await clock.advanceAsync(3_900);
      expect(take(said)).to.deep.equal([`changed ${name} 0`]);
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal([`vanished ${name}`]);
    });

    it('forgets what an edge held before it reports afresh', async () => {
      const { hear, directory, clock, said, take } = await settled(a, b);
      hear(a, key, 2);
      hear(b, key, 1);
      await clock.advanceAsync(200);
      take(said);
      directory.receive(a, { type: 'directory-report', fresh: true, entries: [] });
      await clock.advanceAsync(200);
      expect(take(said)).to.deep.equal([`changed ${name} 1`]);
    });

    it('decides nothing while the bus is away or the view changes', async () => {
      const { hear, directory, clock, said, take } = await settled(a, b);
      directory.interrupted();
      hear(a, key, 2);
      await clock.advanceAsync(60_000);
      expect(take(said)).to.deep.equal([]);
      directory.settled();
      await clock.advanceAsync(999);
      expect(take(said)).to.deep.equal([]);
      await clock.advanceAsync(1);
      expect(take(said)).to.deep.equal([`appeared ${name}`]);
    });

    it('does not let a view that never comes to rest hold decisions up for ever', async () => {
      const { hear, directory, clock, said, join } = await settled(a, b);
      hear(b, key, 1);
      for (let n = 0; n < 10; n += 1) {
        join(`edge-${n}` as EdgeId);
        await clock.advanceAsync(450);
        directory.edgeLeft(`edge-${n}` as EdgeId, 'bye', clock.monotonicMs());
        await clock.advanceAsync(450);
      }
      expect(said).to.include(`appeared ${name}`);
    });
  });

  describe('when it takes over', () => {
    const key = keptBy(a, self, b);
    const name = key.kind === 'channel' ? key.channel : '';

    it('says nothing as a backup, and nothing again of what the owner has said', async () => {
      const { hear, directory, clock, said } = await settled(a, b);
      hear(b, key, 1);
      for (let n = 0; n < 5; n += 1) await clock.advanceAsync(2_000);
      directory.edgeLeft(a, 'silent', clock.monotonicMs());
      await clock.advanceAsync(2_000);
      expect(said).to.deep.equal([]);
      hear(b, key, 0);
      await clock.advanceAsync(3_200);
      expect(said).to.include(`vanished ${name}`);
    });

    it('announces what happened since it heard from an owner that died', async () => {
      const { hear, directory, clock, said } = await settled(a, b);
      const heardMs = clock.monotonicMs();
      hear(b, key, 1);
      await clock.advanceAsync(8_000);
      directory.edgeLeft(a, 'silent', heardMs);
      await clock.advanceAsync(900);
      expect(said).to.deep.equal([]);
      await clock.advanceAsync(200);
      expect(said).to.include(`appeared ${name}`);
    });

    it('announces an end that came since, too', async () => {
      const { hear, directory, clock, said } = await settled(a, b);
      hear(b, key, 1);
      await clock.advanceAsync(6_000);
      const heardMs = clock.monotonicMs();
      hear(b, key, 0);
      await clock.advanceAsync(8_000);
      directory.edgeLeft(a, 'silent', heardMs);
      await clock.advanceAsync(1_100);
      expect(said.filter((word) => !word.startsWith('changed'))).to.deep.equal([
        `vanished ${name}`,
      ]);
      await clock.advanceAsync(20_000);
      expect(directory.sizes.kept).to.equal(0);
    });

    it('goes by what an owner that leaves in order hands over', async () => {
      for (const isHandedOver of [true, false]) {
        const { hear, directory, clock, said } = await settled(a, b);
        hear(b, key, 1);
        await clock.advanceAsync(100);
        directory.edgeLeft(a, 'bye', clock.monotonicMs());
        if (isHandedOver) {
          const entries = [[directoryKeyText(key), 1] as const];
          directory.receive(a, { type: 'directory-handover', entries, hops: 3 });
        }
        await clock.advanceAsync(1_500);
        expect(said.includes(`appeared ${name}`), String(isHandedOver)).to.equal(!isHandedOver);
      }
    });

    it('ends what was handed over and is held by nobody', async () => {
      const { directory, clock, said } = await settled(a, b);
      const entries = [[directoryKeyText(key), 0] as const];
      directory.edgeLeft(a, 'bye', clock.monotonicMs());
      directory.receive(a, { type: 'directory-handover', entries, hops: 3 });
      await clock.advanceAsync(5_000);
      expect(said).to.deep.equal([`vanished ${name}`]);
      await clock.advanceAsync(20_000);
      expect(directory.sizes.kept).to.equal(0);
    });

    it('hands over to a newcomer what it has announced, and passes on what belongs to another', async () => {
      const { hear, directory, clock, take, sent, join } = await settled(a);
      const moved = keptBy(b, self, a);
      hear(a, moved, 2);
      await clock.advanceAsync(200);
      take(sent);
      join(b);
      const handover = { type: 'directory-handover', entries: [[directoryKeyText(moved), 2]] };
      expect(take(sent)).to.deep.equal([{ to: b, message: { ...handover, hops: 3 } }]);
      const entries = [[directoryKeyText(moved), 2] as const];
      directory.receive(a, { type: 'directory-handover', entries, hops: 2 });
      directory.receive(a, { type: 'directory-handover', entries, hops: 0 });
      expect(take(sent)).to.deep.equal([{ to: b, message: { ...handover, hops: 1 } }]);
    });

    it('hands over to the next owner when it leaves', async () => {
      const { hear, directory, clock, take, sent } = await settled(a, b);
      const owned = keptBy(self, b, a);
      hear(a, owned, 2);
      await clock.advanceAsync(200);
      take(sent);
      await directory.withdraw();
      directory.handOver();
      expect(take(sent)).to.deep.equal([
        {
          to: b,
          message: { type: 'directory-handover', entries: [[directoryKeyText(owned), 2]], hops: 3 },
        },
      ]);
    });

    it('speaks for an owner that was dead already when a newcomer came between', async () => {
      const { hear, directory, clock, take, sent, join } = await settled(a);
      const pushedOut = keptBy(a, b, self);
      hear(a, pushedOut, 1, false, false);
      await clock.advanceAsync(6_000);
      const heardMs = clock.monotonicMs();
      join(b);
      await clock.advanceAsync(8_000);
      take(sent);
      directory.edgeLeft(a, 'silent', heardMs);
      const [handover] = take(sent);
      expect(handover).to.deep.equal({
        to: b,
        message: {
          type: 'directory-handover',
          entries: [[directoryKeyText(pushedOut), 1]],
          hops: 3,
        },
      });
    });
  });
});
