/** Three edges on the embedded broker and a clock that the test moves: joining, leaving, dying, and the broker away. */
import { expect } from 'chai';
import { createMemoryBroker, type MemoryBroker } from '../../broker/memory/broker.ts';
import type { ChannelName } from '../../contracts/ids.ts';
import { ClusterIncomplete } from '../../edge/cluster/port.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';
import {
  announcements,
  app,
  chat,
  presenceKey,
  startMember,
  type TestMember,
} from './cluster-scenario.ts';

const room = (name: string) => name as ChannelName;

describe('a cluster of edges', () => {
  let clock: ManualClock;
  let broker: MemoryBroker;
  const links = new Map<TestMember, MemoryBroker>();

  function start(name: string): TestMember {
    const link = broker.peer();
    const member = startMember(name, link.edgeBus, clock);
    links.set(member, link);
    return member;
  }

  /** As a process that was killed: its connection is gone, and nothing of it says a word any more. */
  async function kill(member: TestMember): Promise<void> {
    await links.get(member)?.close();
  }

  async function three() {
    const members = [start('a'), start('b'), start('c')] as const;
    await clock.advanceAsync(3_000);
    return members;
  }

  /** Resolves, or rejects, with what the call ends in while time goes on. */
  async function passing<T>(call: Promise<T>, ms: number): Promise<T> {
    call.catch(() => undefined);
    await clock.advanceAsync(ms);
    return call;
  }

  async function enter(member: TestMember, user: string): Promise<void> {
    await passing(member.cluster.rooms.open(presenceKey), 500);
    member.cluster.rooms.enter(presenceKey, user, null);
    await clock.advanceAsync(500);
  }

  const users = (member: TestMember) =>
    [...member.cluster.rooms.members(presenceKey)].map(([user]) => user).sort();

  beforeEach(() => {
    clock = createManualClock();
    broker = createMemoryBroker({ clock });
  });

  afterEach(async () => {
    await broker.close();
    const leaving = [...links.keys()].map(({ cluster }) => cluster.leave());
    await clock.advanceAsync(5_000);
    await Promise.all(leaving);
    for (const link of links.values()) await link.close();
    links.clear();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('sees everyone from everywhere, itself first', async () => {
    const members = await three();
    for (const { id, cluster } of members) {
      expect(cluster.edges()[0]).to.equal(id);
      expect(cluster.edges()).to.have.members(['edge-a', 'edge-b', 'edge-c']);
    }
  });

  it('shares members, sums, load, answers and claims', async () => {
    const [a, b, c] = await three();
    await enter(a, '1');
    await enter(b, '2');
    for (const member of [a, b]) expect(users(member)).to.deep.equal(['1', '2']);

    c.cluster.directory.watch(chat);
    a.cluster.directory.report(chat, 2);
    b.cluster.directory.report(chat, 3);
    a.load.set(app, { connections: 10, apiEvents: 1 });
    b.load.set(app, { connections: 5, apiEvents: 2 });
    await clock.advanceAsync(3_000);
    expect(c.totals.get('chat')).to.equal(5);
    expect(announcements([a, b, c])).to.deep.equal(['appeared chat']);
    expect(c.cluster.othersLoad(app)).to.deep.equal({ connections: 15, apiEvents: 3 });
    expect(a.cluster.othersLoad(app)).to.deep.equal({ connections: 5, apiEvents: 2 });

    a.channels.set(room('chat'), { subscriptions: 2 });
    b.channels.set(room('chat'), { subscriptions: 3 });
    b.channels.set(room('presence-x'), { subscriptions: 1, users: new Set(['7']) });
    const found = await passing(c.cluster.channels({ app, prefix: '', users: true }), 100);
    expect([...found].sort()).to.deep.equal([
      ['chat', { subscriptions: 5 }],
      ['presence-x', { subscriptions: 1, users: new Set(['7']) }],
    ]);
    a.users.set('7', 2);
    c.users.set('7', 1);
    expect(await passing(b.cluster.terminate(app, '7'), 100)).to.equal(3);
    expect(a.users.size + c.users.size).to.equal(0);

    a.cluster.claimSession('digest', 42);
    await clock.advanceAsync(100);
    expect([a.claims, b.claims, c.claims]).to.deep.equal([
      [],
      ['digest 42 edge-a'],
      ['digest 42 edge-a'],
    ]);
  });

  it('takes out what an edge held that leaves in order, at once', async () => {
    const [a, b, c] = await three();
    await enter(a, '1');
    await enter(b, '2');
    a.cluster.directory.report(chat, 2);
    b.cluster.directory.watch(chat);
    await clock.advanceAsync(1_000);
    expect(b.totals.get('chat')).to.equal(2);
    const leaving = a.cluster.leave();
    await clock.advanceAsync(500);
    await leaving;
    expect(users(b)).to.deep.equal(['2']);
    for (const { cluster } of [b, c]) expect(cluster.edges()).to.have.lengthOf(2);
    await clock.advanceAsync(5_000);
    expect(b.totals.get('chat')).to.equal(0);
    expect(announcements([a, b, c])).to.deep.equal(['appeared chat', 'vanished chat']);
  });

  it('takes out what a killed edge held within 15 s, and nobody else', async () => {
    const [a, b, c] = await three();
    await enter(a, '1');
    await enter(b, '2');
    await enter(c, '3');
    a.cluster.directory.report(chat, 2);
    b.cluster.directory.report(chat, 1);
    b.cluster.directory.watch(chat);
    await clock.advanceAsync(3_000);
    await kill(a);
    const call = b.cluster.channels({ app, prefix: '', users: false });
    const error: unknown = await passing(call, 3_000).catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(ClusterIncomplete);
    expect((error as ClusterIncomplete).silent).to.deep.equal(['edge-a']);
    expect(users(b)).to.deep.equal(['1', '2', '3']);
    await clock.advanceAsync(12_000);
    for (const member of [b, c]) {
      expect(users(member)).to.deep.equal(['2', '3']);
      expect(member.cluster.edges()).to.have.lengthOf(2);
      expect(member.said.filter((word) => word.startsWith('removed'))).to.deep.equal(['removed 1']);
    }
    expect(b.totals.get('chat')).to.equal(1);
    expect(announcements([b, c])).to.not.include('vanished chat');
    expect(
      (await passing(b.cluster.channels({ app, prefix: '', users: false }), 100)).size,
    ).to.equal(0);
  });

  it('starts while the broker is away, and catches up when it is there', async () => {
    broker.setOutage(true);
    const a = start('a');
    const b = start('b');
    const opening = a.cluster.rooms.open(presenceKey);
    a.cluster.directory.report(chat, 2);
    b.cluster.directory.watch(chat);
    await clock.advanceAsync(10_000);
    const error: unknown = await a.cluster
      .channels({ app, prefix: '', users: false })
      .catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(ClusterIncomplete);
    broker.setOutage(false);
    await passing(opening, 5_000);
    expect(b.totals.get('chat')).to.equal(2);
    expect(announcements([a, b])).to.deep.equal(['appeared chat']);
    expect(a.cluster.edges()).to.have.lengthOf(2);
  });

  it('keeps everyone through an outage of the broker, and makes good what happened meanwhile', async () => {
    const [a, b, c] = await three();
    await enter(a, '1');
    await enter(b, '2');
    for (const { cluster } of [a, b, c]) cluster.directory.watch(chat);
    a.cluster.directory.report(chat, 2);
    await clock.advanceAsync(3_000);
    broker.setOutage(true);
    await clock.advanceAsync(60_000);
    a.cluster.directory.report(chat, 0);
    b.cluster.directory.report(chat, 5);
    b.cluster.rooms.enter(presenceKey, '3', null);
    await clock.advanceAsync(60_000);
    for (const { cluster } of [a, b, c]) expect(cluster.edges()).to.have.lengthOf(3);
    broker.setOutage(false);
    await clock.advanceAsync(15_000);
    for (const { cluster, totals } of [a, b, c]) {
      expect(cluster.edges()).to.have.lengthOf(3);
      expect(totals.get('chat')).to.equal(5);
    }
    expect(users(a)).to.deep.equal(['1', '2', '3']);
    expect(announcements([a, b, c])).to.deep.equal(['appeared chat']);
  });

  it('takes back an edge that was cut off for longer than its lease', async () => {
    const [a, b, c] = await three();
    await enter(a, '1');
    await enter(b, '2');
    for (const { cluster } of [a, b, c]) cluster.directory.watch(chat);
    a.cluster.directory.report(chat, 2);
    b.cluster.directory.report(chat, 1);
    await clock.advanceAsync(3_000);
    const link = links.get(a);
    link?.setReachable(false);
    await clock.advanceAsync(20_000);
    expect(b.cluster.edges()).to.have.lengthOf(2);
    expect(users(b)).to.deep.equal(['2']);
    expect(b.totals.get('chat')).to.equal(1);
    b.cluster.directory.report(chat, 0);
    await clock.advanceAsync(5_000);
    link?.setReachable(true);
    await clock.advanceAsync(10_000);
    for (const { cluster, totals } of [a, b, c]) {
      expect(cluster.edges()).to.have.lengthOf(3);
      expect(totals.get('chat')).to.equal(2);
    }
    for (const member of [a, b]) expect(users(member)).to.deep.equal(['1', '2']);
    expect(announcements([a, b, c]).filter((word) => word === 'vanished chat')).to.have.lengthOf(1);
  });

  it('declares nobody dead while the broker takes no messages', async () => {
    const members = await three();
    broker.setMemoryAlarm(true);
    await clock.advanceAsync(60_000);
    broker.setMemoryAlarm(false);
    await clock.advanceAsync(10_000);
    for (const { cluster } of members) expect(cluster.edges()).to.have.lengthOf(3);
  });

  it('is not led astray by messages that are none', async () => {
    const [a, b] = await three();
    const stranger = await broker.edgeBus.join('edge-x' as TestMember['id'], {
      message: () => undefined,
      interrupted: () => undefined,
      restored: () => undefined,
    });
    for (const body of ['', '{}', '{"type":"bye","x":', '{"type":"directory-report"}']) {
      await stranger.send({ kind: 'all' }, Buffer.from(body));
    }
    await clock.advanceAsync(1_000);
    expect(a.cluster.edges()).to.have.lengthOf(3);
    a.cluster.directory.report(chat, 1);
    b.cluster.directory.watch(chat);
    await clock.advanceAsync(1_000);
    expect(b.totals.get('chat')).to.equal(1);
    await stranger.leave();
  });

  it('leaves within its time where the broker is away, and says so once', async () => {
    const [a] = await three();
    a.cluster.directory.report(chat, 1);
    broker.setOutage(true);
    const leaving = a.cluster.leave();
    expect(a.cluster.leave()).to.equal(leaving);
    await clock.advanceAsync(1_600);
    await leaving;
    const refused: unknown = await a.cluster
      .channels({ app, prefix: '', users: false })
      .catch((reason: unknown) => reason);
    expect(refused).to.be.instanceOf(ClusterIncomplete);
  });
});
