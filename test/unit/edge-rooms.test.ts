import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { EdgeMessage, RosterChange } from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import { Rooms } from '../../edge/cluster/rooms.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { RoomNetwork, type RoomNode } from '../support/room-network.ts';

const key = 'app.presence-room' as ChannelKey;
const keyOf = (index: number) => `app.presence-${index}` as ChannelKey;

/** Edges that follow the room, and know of each other. */
async function following(...names: string[]) {
  const network = new RoomNetwork();
  const nodes = names.map((name) => network.add(name));
  await network.settle();
  for (const node of nodes) await opened(network, node);
  network.sent.length = 0;
  return { network, nodes: nodes as [RoomNode, RoomNode, RoomNode] };
}

async function opened(network: RoomNetwork, node: RoomNode, room = key): Promise<void> {
  let isOpen = false;
  void node.open(room).then(() => {
    isOpen = true;
  });
  await network.advance(50, 5);
  expect(isOpen, `${node.id} is open`).to.equal(true);
}

/** Whether the promise has resolved by now. */
function watch(promise: Promise<void>): { done: boolean } {
  const state = { done: false };
  void promise.then(() => {
    state.done = true;
  });
  return state;
}

const sentOf = <T extends EdgeMessage['type']>(network: RoomNetwork, type: T) =>
  network.sent.filter(({ message }) => message.type === type) as {
    from: EdgeId;
    to: RoomNetwork['sent'][number]['to'];
    message: Extract<EdgeMessage, { type: T }>;
  }[];

const changeOf = (user: string, previous: number, version: number): RosterChange => ({
  type: 'roster-change',
  key,
  previous,
  version,
  user,
  member: [user, null, 1],
});

describe('Rooms', () => {
  describe('of edges that follow one room', () => {
    it('report a user before enter returns, and to the others with one message', async () => {
      const { network, nodes } = await following('a', 'b', 'c');
      const [a, b, c] = nodes;
      a.rooms.enter(key, 'u', '{"n":1}');
      expect(a.reports).to.deep.equal([['added', 'u', '{"n":1}']]);
      await network.settle();
      for (const node of [b, c]) expect(node.reports).to.deep.equal(a.reports);
      expect(network.sent.map(({ to, message }) => [to, message.type])).to.deep.equal([
        [{ kind: 'topic', topic: key }, 'roster-change'],
      ]);
      a.rooms.leave(key, 'u', 0);
      await network.settle();
      for (const node of nodes) expect(node.reports.slice(1)).to.deep.equal([['removed', 'u']]);
      expect(network.sent).to.have.length(2);
    });

    it('count the tabs of a user on one edge, and tell only the first and the last', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', 'first');
      a.rooms.enter(key, 'u', 'second');
      a.rooms.leave(key, 'u', 0);
      await network.settle();
      expect(b.members(key)).to.deep.equal(['u']);
      expect([...a.rooms.members(key)]).to.deep.equal([['u', 'first']]);
      a.rooms.leave(key, 'u', 0);
      await network.settle();
      expect(b.members(key)).to.deep.equal([]);
      expect(sentOf(network, 'roster-change')).to.have.length(2);
      expect(b.reports).to.deep.equal([
        ['added', 'u', 'first'],
        ['removed', 'u'],
      ]);
      a.rooms.leave(key, 'u', 0);
      expect(a.reports).to.have.length(2);
    });

    it('report a user with sockets on two edges once, with the info that came first', async () => {
      const { network, nodes } = await following('a', 'b', 'c');
      const [a, b] = nodes;
      b.rooms.enter(key, 'u', 'of b');
      network.clock.advance(10);
      a.rooms.enter(key, 'u', 'of a');
      await network.settle();
      for (const { rooms } of nodes) expect([...rooms.members(key)]).to.deep.equal([['u', 'of b']]);
      b.rooms.leave(key, 'u', 0);
      await network.settle();
      for (const { rooms, reports } of nodes) {
        expect([...rooms.members(key)]).to.deep.equal([['u', 'of a']]);
        expect(reports.map(([kind]) => kind)).to.deep.equal(['added']);
      }
      a.rooms.leave(key, 'u', 0);
      await network.settle();
      for (const { reports } of nodes) expect(reports.at(-1)).to.deep.equal(['removed', 'u']);
    });

    it('let a user go only when the grace is over, and say nothing where it came back', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      a.rooms.leave(key, 'u', 1_000);
      await network.advance(900);
      a.rooms.enter(key, 'u', null);
      await network.advance(2_000);
      expect(sentOf(network, 'roster-change')).to.have.length(1);
      a.rooms.leave(key, 'u', 1_000);
      await network.advance(950);
      expect(b.members(key)).to.deep.equal(['u']);
      await network.advance(50);
      expect(b.members(key)).to.deep.equal([]);
      expect(a.reports).to.deep.equal([
        ['added', 'u', null],
        ['removed', 'u'],
      ]);
    });

    it('take a leave too many for nothing, also while the grace runs', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a] = nodes;
      a.rooms.enter(key, 'u', null);
      a.rooms.leave(key, 'u', 1_000);
      await network.advance(500);
      a.rooms.leave(key, 'u', 1_000);
      a.rooms.leave(key, 'nobody', 0);
      await network.advance(2_000);
      expect(sentOf(network, 'roster-change')).to.have.length(2);
    });

    it('follow the room after its close until the grace of its last user ends', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      a.rooms.leave(key, 'u', 1_000);
      a.close(key);
      await network.advance(500);
      expect(a.topics.has(key)).to.equal(true);
      b.rooms.enter(key, 'v', null);
      await network.settle();
      await opened(network, a);
      expect(a.members(key)).to.deep.equal(['u', 'v']);
      expect(a.topicCalls).to.deep.equal(['listen']);
      a.close(key);
      await network.advance(1_000);
      expect(b.members(key)).to.deep.equal(['v']);
      expect(a.topics.has(key)).to.equal(false);
      expect(a.rooms.size(key)).to.equal(0);
    });

    it('drop what a dead edge held, except whom another edge holds too', async () => {
      const { network, nodes } = await following('a', 'b', 'c');
      const [a, b, c] = nodes;
      a.rooms.enter(key, 'both', null);
      c.rooms.enter(key, 'both', null);
      a.rooms.enter(key, 'only', null);
      await network.settle();
      network.kill(a);
      await network.settle();
      expect(b.members(key)).to.deep.equal(['both']);
      expect(b.reports.slice(2)).to.deep.equal([['removed', 'only']]);
    });
  });

  describe('open', () => {
    it('resolves when every edge has answered, with its members in the order in which they came', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      for (const [node, user] of [
        [b, 'first'],
        [a, 'second'],
        [b, 'third'],
      ] as const) {
        node.rooms.enter(key, user, `info of ${user}`);
        await network.advance(1, 1);
      }
      const c = network.add('c');
      await network.settle();
      const opening = watch(c.open(key));
      await network.settle();
      network.clock.advance(5);
      while (!opening.done && network.step()) {
        await new Promise((resolve) => setImmediate(resolve));
        const known = c.rooms.size(key);
        expect(opening.done, `with ${known} known`).to.equal(known === 3);
      }
      expect(opening.done).to.equal(true);
      expect([...c.rooms.members(key)]).to.deep.equal([
        ['first', 'info of first'],
        ['second', 'info of second'],
        ['third', 'info of third'],
      ]);
      expect(c.reports).to.deep.equal([]);
    });

    it('waits two seconds for an edge that stays silent, whose members then come as additions', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'of a', null);
      b.rooms.enter(key, 'of b', null);
      const c = network.add('c');
      await network.settle();
      let isLost = true;
      network.fate = (message) =>
        isLost && message.type === 'roster-state' && message.members[0]?.[0] === 'of b'
          ? 'lost'
          : 'arrives';
      const opening = watch(c.open(key));
      await network.advance(1_995, 5);
      expect(opening.done).to.equal(false);
      expect(c.rooms.size(key)).to.equal(1);
      await network.advance(10, 5);
      expect(opening.done).to.equal(true);
      expect(c.reports).to.deep.equal([]);
      isLost = false;
      await network.advance(5_000);
      expect(c.reports).to.deep.equal([['added', 'of b', null]]);
    });

    it('asks again where an ask was lost, before the deadline', async () => {
      const { network, nodes } = await following('a');
      nodes[0].rooms.enter(key, 'u', null);
      const b = network.add('b');
      await network.settle();
      let asks = 0;
      network.fate = (message) => {
        if (message.type === 'roster-ask') asks += 1;
        return message.type === 'roster-ask' && asks <= 2 ? 'lost' : 'arrives';
      };
      const opening = watch(b.open(key));
      await network.advance(1_800);
      expect(opening.done).to.equal(true);
      expect(b.members(key)).to.deep.equal(['u']);
    });

    it('asks a silent edge ever more rarely', async () => {
      const { network } = await following('a');
      const b = network.add('b');
      await network.settle();
      network.fate = ({ type }) => (type === 'roster-ask' ? 'lost' : 'arrives');
      void b.open(key);
      await network.advance(600_000, 400);
      const asks = sentOf(network, 'roster-ask').filter(({ from }) => from === b.id);
      expect(asks.length).to.be.greaterThan(10).and.at.most(30);
    });

    it('of a hundred rooms shares one ask, and of more than 500 rooms one for each 500', async () => {
      const { network, nodes } = await following('a');
      const b = network.add('b');
      await network.settle();
      const openings = Array.from({ length: 1_200 }, (_, index) => watch(b.open(keyOf(index))));
      await network.advance(2_000);
      expect(openings.every(({ done }) => done)).to.equal(true);
      const asks = sentOf(network, 'roster-ask').filter(({ from }) => from === b.id);
      expect(asks.map(({ to, message }) => [to.kind, message.keys.length])).to.deep.equal([
        ['all', 500],
        ['all', 500],
        ['all', 200],
      ]);
      const answered = sentOf(network, 'roster-versions')
        .filter(({ from }) => from === nodes[0].id)
        .flatMap(({ message }) => message.entries);
      expect(answered).to.deep.equal(openings.map((_, index) => [keyOf(index), 0, 0]));
      expect(nodes[0].rooms.size(keyOf(0))).to.equal(0);
    });

    it('is counted: the room is followed until the last close', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      await a.rooms.open(key);
      a.rooms.close(key);
      b.rooms.enter(key, 'u', null);
      await network.settle();
      expect(a.rooms.has(key, 'u')).to.equal(true);
      a.rooms.close(key);
      await network.settle();
      expect(a.rooms.has(key, 'u')).to.equal(false);
      expect(a.topics.size).to.equal(0);
    });

    it('right after a close waits until the topic has been left', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      b.rooms.enter(key, 'u', null);
      await network.settle();
      let letGo = () => {};
      a.topicGate = new Promise((resolve) => {
        letGo = resolve;
      });
      a.close(key);
      const opening = watch(a.open(key));
      await network.settle();
      expect(a.topicCalls).to.deep.equal(['listen', 'unlisten']);
      letGo();
      await network.advance(50);
      expect(opening.done).to.equal(true);
      expect(a.topicCalls).to.deep.equal(['listen', 'unlisten', 'listen']);
      expect(a.topics.has(key)).to.equal(true);
      expect(a.members(key)).to.deep.equal(['u']);
    });

    it('that is closed while it waits for the broker resolves, and leaves no topic behind', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a] = nodes;
      const other = keyOf(1);
      a.interrupt();
      const opening = watch(a.open(other));
      await network.advance(60_000, 5_000);
      expect(opening.done).to.equal(false);
      a.close(other);
      await network.settle();
      expect(opening.done).to.equal(true);
      a.restore();
      await network.advance(5_000);
      expect(a.topics.has(other)).to.equal(false);
    });

    it('waits while the broker is away, also where it has asked already', async () => {
      const { network, nodes } = await following('a');
      nodes[0].rooms.enter(key, 'u', null);
      const b = network.add('b');
      await network.settle();
      const opening = watch(b.open(key));
      await network.settle();
      network.clock.advance(5);
      b.interrupt();
      await network.advance(30_000, 1_000);
      expect(opening.done).to.equal(false);
      b.restore();
      await network.advance(50, 5);
      expect(opening.done).to.equal(true);
      expect(b.members(key)).to.deep.equal(['u']);
    });

    it('rejects where the topic is refused; the next call tries again, and each call needs its close', async () => {
      const clock = createManualClock();
      const calls: string[] = [];
      let isRefused = true;
      const rooms = new Rooms({
        edgeId: 'a' as EdgeId,
        clock,
        bus: {
          send: async () => undefined,
          listen: async () => {
            calls.push('listen');
            if (isRefused) throw new BrokerError('broker_forbidden', 'no');
          },
          unlisten: async () => void calls.push('unlisten'),
        },
        membership: { edges: () => [], settled: async () => undefined },
        listener: { added: () => undefined, removed: () => undefined },
      });
      const codes = await Promise.all(
        [rooms.open(key), rooms.open(key)].map((opening) =>
          opening.then(
            () => 'open',
            (error: BrokerError) => error.code,
          ),
        ),
      );
      expect(codes).to.deep.equal(['broker_forbidden', 'broker_forbidden']);
      isRefused = false;
      await rooms.open(key);
      rooms.close(key);
      rooms.close(key);
      expect(calls).to.deep.equal(['listen', 'listen']);
      rooms.close(key);
      expect(calls).to.deep.equal(['listen', 'listen', 'unlisten']);
      await rooms.close();
      expect(clock.pendingTimers).to.equal(0);
    });

    it('takes what others hold for the snapshot, and yet reports alternate where this edge reported', async () => {
      const { network, nodes } = await following('a');
      const [a] = nodes;
      a.rooms.enter(key, 'u', null);
      const silent = network.add('silent');
      const b = network.add('b');
      await network.settle();
      network.fate = (message) => (message.type === 'roster-versions' ? 'lost' : 'arrives');
      const opening = watch(b.open(key));
      await network.settle();
      b.rooms.enter(key, 'u', null);
      await network.advance(50, 5);
      expect(opening.done, `${silent.id} has not answered`).to.equal(false);
      b.rooms.leave(key, 'u', 0);
      expect(b.reports).to.deep.equal([['added', 'u', null]]);
      a.rooms.leave(key, 'u', 0);
      await network.settle();
      expect(opening.done).to.equal(false);
      expect(b.reports).to.deep.equal([
        ['added', 'u', null],
        ['removed', 'u'],
      ]);
    });
  });

  describe('enter', () => {
    it('refuses a room that nobody has opened', () => {
      const node = new RoomNetwork().add('a');
      expect(() => node.rooms.enter(key, 'u', null)).to.throw('not open');
    });
  });

  describe('a change that is lost', () => {
    it('is made good with the next one: only its edge is asked, once', async () => {
      const { network, nodes } = await following('a', 'b', 'c');
      const [a, b, c] = nodes;
      a.rooms.enter(key, 'u', null);
      await network.settle();
      network.fate = () => 'lost';
      a.rooms.enter(key, 'lost', null);
      network.fate = () => 'arrives';
      a.rooms.enter(key, 'v', null);
      a.rooms.enter(key, 'w', null);
      await network.settle();
      expect(b.members(key)).to.deep.equal(['u']);
      await network.advance(10, 5);
      for (const node of [b, c]) expect(node.members(key)).to.deep.equal(['u', 'lost', 'v', 'w']);
      expect(sentOf(network, 'roster-ask').map(({ from, to }) => [from, to])).to.deep.equal([
        ['b', { kind: 'edge', edgeId: 'a' }],
        ['c', { kind: 'edge', edgeId: 'a' }],
      ]);
    });

    it('is made good by the next round of versions where nothing follows it', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      await network.settle();
      network.fate = () => 'lost';
      a.rooms.enter(key, 'lost', null);
      network.fate = () => 'arrives';
      await network.advance(10_100, 100);
      expect(b.members(key)).to.deep.equal(['u', 'lost']);
    });

    it('is made good also where it was the last of a room that its edge has forgotten', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      await network.settle();
      network.fate = () => 'lost';
      a.rooms.leave(key, 'u', 0);
      a.close(key);
      network.fate = () => 'arrives';
      await network.advance(50_000, 1_000);
      expect(b.members(key)).to.deep.equal(['u']);
      await network.advance(30_000, 1_000);
      expect(b.members(key)).to.deep.equal([]);
      // And what its edge tells later still counts.
      await opened(network, a);
      a.rooms.enter(key, 'v', null);
      await network.settle();
      expect(b.members(key)).to.deep.equal(['v']);
    });

    it('costs at most one ask per 100 ms and edge, however many rooms show gaps', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      for (let index = 0; index < 40; index += 1) {
        void a.open(keyOf(index));
        void b.open(keyOf(index));
      }
      await network.advance(1_000);
      network.fate = ({ type }) => (type === 'roster-state' ? 'lost' : 'arrives');
      network.sent.length = 0;
      for (let index = 0; index < 40; index += 1) {
        const change = { ...changeOf('u', 9_000, 9_001), key: keyOf(index) };
        b.rooms.receive(a.id, change);
        await network.advance(10, 10);
      }
      expect(sentOf(network, 'roster-ask').length).to.be.within(3, 5);
    });
  });

  describe('a state that is being asked for', () => {
    it('and the changes meanwhile are applied once each, whichever comes first', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a] = nodes;
      a.rooms.enter(key, 'before', null);
      await network.settle();
      const c = network.add('c');
      await network.settle();
      void c.open(key);
      await network.settle();
      a.rooms.enter(key, 'while asking', null);
      network.clock.advance(5);
      a.rooms.enter(key, 'ask under way', null);
      await network.settle();
      a.rooms.enter(key, 'after', null);
      await network.settle();
      expect(c.members(key)).to.deep.equal(['before', 'while asking', 'ask under way', 'after']);
      expect(sentOf(network, 'roster-state')).to.have.length(1);
    });

    it('and is older than a change that came before it is asked for once more', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      network.fate = () => 'lost';
      b.rooms.receive(a.id, changeOf('overtook', 4, 5));
      await network.advance(200, 5);
      expect(sentOf(network, 'roster-ask')).to.have.length(1);
      b.rooms.receive(a.id, {
        type: 'roster-state',
        key,
        version: 4,
        part: 0,
        last: true,
        members: [['u', null, 1]],
      });
      await network.advance(200, 5);
      expect(sentOf(network, 'roster-ask')).to.have.length(2);
    });

    it('is not asked for again while the answer is on the way', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      network.fate = () => 'lost';
      for (const version of [5, 6, 7]) {
        b.rooms.receive(a.id, changeOf('u', version - 1, version));
        await network.advance(200, 5);
      }
      expect(sentOf(network, 'roster-ask')).to.have.length(1);
    });

    it('is not asked for again while its edge goes on answering', async () => {
      const { network } = await following('a');
      const b = network.add('b');
      await network.settle();
      network.fate = () => 'lost';
      for (let index = 0; index < 3; index += 1) void b.open(keyOf(index));
      for (let index = 0; index < 3; index += 1) {
        await network.advance(600);
        b.rooms.receive('a' as EdgeId, {
          type: 'roster-versions',
          entries: [[keyOf(index), 0, 0]],
        });
      }
      const asks = sentOf(network, 'roster-ask').filter(({ from }) => from === b.id);
      expect(asks).to.have.length(1);
    });

    it('comes in parts of 500 members', async () => {
      const { network, nodes } = await following('a');
      const [a] = nodes;
      const users = Array.from({ length: 1_201 }, (_, index) => `user ${index}`);
      for (const user of users) a.rooms.enter(key, user, '{}');
      const b = network.add('b');
      await network.settle();
      await opened(network, b);
      expect(b.members(key)).to.have.members(users);
      const states = sentOf(network, 'roster-state').map(({ message }) => message);
      expect(states.map(({ part, last, members }) => [part, last, members.length])).to.deep.equal([
        [0, false, 500],
        [1, false, 500],
        [2, true, 201],
      ]);
    });

    it('of which a part is lost is asked for again', async () => {
      const { network, nodes } = await following('a');
      const [a] = nodes;
      for (let index = 0; index < 1_201; index += 1) a.rooms.enter(key, `user ${index}`, null);
      const b = network.add('b');
      await network.settle();
      let lost = 0;
      network.fate = (message) => {
        if (message.type !== 'roster-state' || message.part !== 1 || lost > 0) return 'arrives';
        lost += 1;
        return 'lost';
      };
      const opening = watch(b.open(key));
      await network.advance(200, 5);
      expect(lost).to.equal(1);
      expect(opening.done).to.equal(true);
      expect(b.rooms.size(key)).to.equal(1_201);
    });

    it('is sent with 64 unconfirmed messages at most, and each room once per asking edge', async () => {
      const clock = createManualClock();
      const sent: EdgeMessage[] = [];
      const confirms: (() => void)[] = [];
      let isConfirmed = true;
      const rooms = new Rooms({
        edgeId: 'a' as EdgeId,
        clock,
        bus: {
          send: async (_to, message) => {
            sent.push(message);
            if (!isConfirmed) await new Promise<void>((resolve) => confirms.push(resolve));
          },
          listen: async () => undefined,
          unlisten: async () => undefined,
        },
        membership: { edges: () => [], settled: async () => undefined },
        listener: { added: () => undefined, removed: () => undefined },
      });
      const keys = Array.from({ length: 200 }, (_, index) => keyOf(index));
      for (const each of keys) {
        await rooms.open(each);
        rooms.enter(each, 'u', null);
      }
      rooms.edgeJoined('b' as EdgeId);
      isConfirmed = false;
      sent.length = 0;
      for (let times = 0; times < 3; times += 1) {
        rooms.receive('b' as EdgeId, { type: 'roster-ask', keys });
      }
      const states = () => sent.filter(({ type }) => type === 'roster-state').length;
      expect(states()).to.equal(64);
      while (confirms.length > 0) {
        for (const confirm of confirms.splice(0)) confirm();
        await new Promise((resolve) => setImmediate(resolve));
      }
      // The first 64 had been sent when they were asked for again.
      expect(states()).to.be.within(200, 264);
      isConfirmed = true;
      await rooms.close();
    });
  });

  describe('a send that the broker does not confirm', () => {
    it('is made good by announcing the versions a second later', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.failingSends = 1;
      a.rooms.enter(key, 'u', null);
      await network.advance(900);
      expect(b.members(key)).to.deep.equal([]);
      await network.advance(200);
      expect(b.members(key)).to.deep.equal(['u']);
      expect(
        sentOf(network, 'roster-versions').map(({ message }) => message.entries),
      ).to.deep.equal([[[key, 1, 1]]]);
      await network.advance(5_000);
      expect(sentOf(network, 'roster-versions')).to.have.length(1);
    });

    it('leaves a gap that the changes behind it do not hide', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      await network.settle();
      a.failingSends = 1;
      a.rooms.leave(key, 'u', 0);
      a.rooms.enter(key, 'v', null);
      a.rooms.enter(key, 'w', null);
      await network.settle();
      // The edge held nothing in between, and its next change says so.
      expect(b.members(key)).to.deep.equal(['v', 'w']);
      a.failingSends = 1;
      a.rooms.leave(key, 'w', 0);
      a.rooms.enter(key, 'x', null);
      await network.settle();
      expect(b.members(key)).to.deep.equal(['v', 'w']);
      await network.advance(150, 5);
      expect(b.members(key)).to.deep.equal(['v', 'x']);
    });

    it('is announced again and again until the broker confirms', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.failingSends = 4;
      a.rooms.enter(key, 'u', null);
      await network.advance(3_500);
      expect(b.members(key)).to.deep.equal([]);
      await network.advance(700);
      expect(b.members(key)).to.deep.equal(['u']);
    });
  });

  describe('after an outage', () => {
    it('know what happened meanwhile on both sides, and report it', async () => {
      const { network, nodes } = await following('a', 'b', 'c');
      const [a, b, c] = nodes;
      a.rooms.enter(key, 'of a', null);
      b.rooms.enter(key, 'of b', null);
      await network.settle();
      a.interrupt();
      a.rooms.leave(key, 'of a', 0);
      a.rooms.enter(key, 'new on a', null);
      b.rooms.leave(key, 'of b', 0);
      c.rooms.enter(key, 'of c', null);
      await network.advance(5_000);
      expect(a.members(key)).to.deep.equal(['of b', 'new on a']);
      a.restore();
      await network.advance(200, 5);
      for (const node of nodes) {
        expect(node.members(key), node.id).to.have.members(['new on a', 'of c']);
        expect([...(node.mirrors.get(key)?.keys() ?? [])]).to.have.members(node.members(key));
      }
    });

    it('announce also a room that was left and forgotten meanwhile', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      await network.settle();
      a.interrupt();
      a.rooms.leave(key, 'u', 0);
      a.close(key);
      a.restore();
      await network.settle();
      expect(b.members(key)).to.deep.equal([]);
    });

    it('announce what the broker had confirmed before, and yet lost', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      network.fate = () => 'lost';
      a.rooms.enter(key, 'u', null);
      network.fate = () => 'arrives';
      a.interrupt();
      a.restore();
      await network.advance(20, 5);
      expect(b.members(key)).to.deep.equal(['u']);
    });

    it('send nothing while it lasts', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a] = nodes;
      a.interrupt();
      network.sent.length = 0;
      a.failingSends = 1_000;
      a.rooms.enter(key, 'u', null);
      network.add('d');
      await network.advance(60_000, 1_000);
      expect(a.failingSends).to.equal(1_000);
    });
  });

  describe('membership', () => {
    it('decides whom to believe: an edge is ignored until it counts as alive, and then asked', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      b.rooms.edgeLeft(a.id);
      a.rooms.enter(key, 'u', null);
      await network.settle();
      b.rooms.receive('stranger' as EdgeId, changeOf('x', 0, 1));
      expect(b.members(key)).to.deep.equal([]);
      b.rooms.edgeJoined(a.id);
      await network.advance(10, 5);
      expect(b.members(key)).to.deep.equal(['u']);
    });

    it('lets an opening go on where the edge that it waited for is gone', async () => {
      const { network } = await following('a');
      const b = network.add('b');
      await network.settle();
      network.fate = () => 'lost';
      const opening = watch(b.open(key));
      await network.advance(100);
      expect(opening.done).to.equal(false);
      b.rooms.edgeLeft('a' as EdgeId);
      await network.settle();
      expect(opening.done).to.equal(true);
    });

    it('survives what a live edge may say: other members than it names, versions that it never had', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      await network.settle();
      b.rooms.receive(a.id, { ...changeOf('x', 1, 2), user: 'y' });
      expect(b.members(key)).to.deep.equal(['u']);
      b.rooms.receive(a.id, {
        type: 'roster-versions',
        entries: [[key, Number.MAX_SAFE_INTEGER, 3]],
      });
      network.sent.length = 0;
      await network.advance(9_000, 10);
      expect(sentOf(network, 'roster-ask').length).to.be.within(1, 2);
      expect(b.members(key)).to.deep.equal(['u']);
    });
  });

  describe('rounds of anti-entropy', () => {
    it('announce 100 rooms each, all of them in turn, with one message', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a] = nodes;
      for (let index = 0; index < 250; index += 1) {
        void a.open(keyOf(index));
      }
      await network.advance(1_000);
      for (let index = 0; index < 250; index += 1) a.rooms.enter(keyOf(index), 'u', null);
      await network.settle();
      network.sent.length = 0;
      await network.advance(30_000, 1_000);
      const rounds = sentOf(network, 'roster-versions').filter(({ from }) => from === a.id);
      expect(rounds.map(({ to, message }) => [to.kind, message.entries.length])).to.deep.equal([
        ['all', 100],
        ['all', 100],
        ['all', 100],
      ]);
      const announced = rounds.flatMap(({ message }) => message.entries.map(([each]) => each));
      expect(new Set(announced).size).to.equal(250);
    });

    it('ask nobody for what has been confirmed', async () => {
      const { network, nodes } = await following('a', 'b');
      nodes[0].rooms.enter(key, 'u', null);
      await network.advance(600_000, 5_000);
      expect(sentOf(network, 'roster-ask')).to.deep.equal([]);
    });
  });

  describe('close without a room', () => {
    it('takes the members of this edge out everywhere, with a message per 500 rooms', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      a.rooms.enter(key, 'v', null);
      a.rooms.leave(key, 'v', 60_000);
      b.rooms.enter(key, 'v', null);
      await network.settle();
      network.sent.length = 0;
      const leaving = a.rooms.close();
      expect(a.rooms.close()).to.equal(leaving);
      await leaving;
      await network.settle();
      expect(b.members(key)).to.deep.equal(['v']);
      expect(network.sent).to.have.length(1);
      expect(a.reports.slice(2)).to.deep.equal([['removed', 'u']]);
    });

    it('ends every timer and every wait, and makes what comes later harmless', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      a.rooms.enter(key, 'u', null);
      a.rooms.leave(key, 'u', 60_000);
      network.fate = () => 'lost';
      const opening = watch(a.open(keyOf(1)));
      await network.settle();
      await a.rooms.close();
      await b.rooms.close();
      expect(network.clock.pendingTimers).to.equal(0);
      expect(opening.done).to.equal(true);
      a.rooms.enter(key, 'u', null);
      a.rooms.leave(key, 'u', 0);
      a.rooms.close(key);
      a.rooms.edgeJoined('c' as EdgeId);
      a.rooms.receive(b.id, changeOf('u', 0, 9));
      a.rooms.interrupted();
      a.rooms.restored();
      const refused = await a.rooms.open(key).catch((error: unknown) => error);
      expect(refused).to.be.instanceOf(BrokerError);
      expect(a.members(key)).to.deep.equal([]);
      expect(network.clock.pendingTimers).to.equal(0);
    });

    it('does not wait for a broker that is away', async () => {
      const { nodes } = await following('a', 'b');
      const [a] = nodes;
      a.rooms.enter(key, 'u', null);
      a.interrupt();
      await a.rooms.close();
      expect(a.members(key)).to.deep.equal([]);
    });
  });

  describe('a room of many members', () => {
    it('costs each further one the same: one message, and as many steps as the ones before', async () => {
      const { network, nodes } = await following('a', 'b');
      const [a, b] = nodes;
      const stepsFor = async (from: number, to: number) => {
        network.sent.length = 0;
        const counted = countSteps(() => {
          for (let index = from; index < to; index += 1) a.rooms.enter(key, `user ${index}`, '{}');
        });
        await network.settle();
        expect(b.rooms.size(key)).to.equal(to);
        expect(network.sent).to.have.length(to - from);
        const changes = sentOf(network, 'roster-change').map(({ message }) => message);
        const applied = countSteps(() => {
          for (const [index, change] of changes.entries()) {
            // As they came, but from another edge: the same work once more.
            b.rooms.receive('c' as EdgeId, {
              ...change,
              previous: from + index === 0 ? 0 : from + index,
              version: from + index + 1,
            });
          }
        });
        return counted + applied;
      };
      b.rooms.edgeJoined('c' as EdgeId);
      const first = await stepsFor(0, 500);
      const second = await stepsFor(500, 1_000);
      expect(first).to.be.greaterThan(1_000);
      expect(second).to.be.at.most(first * 1.1);
    });
  });
});

/** Steps of maps and sets that the call takes: what an operation costs, where time would depend on the machine. */
function countSteps(call: () => void): number {
  let steps = 0;
  const undo: (() => void)[] = [];
  const count = (target: object, name: string) => {
    const original = Reflect.get(target, name) as (...args: unknown[]) => unknown;
    Reflect.set(target, name, function counted(this: unknown, ...args: unknown[]) {
      steps += 1;
      return original.apply(this, args);
    });
    undo.push(() => void Reflect.set(target, name, original));
  };
  for (const name of ['get', 'set', 'has', 'delete']) count(Map.prototype, name);
  for (const name of ['add', 'has', 'delete']) count(Set.prototype, name);
  count(Object.getPrototypeOf(new Map().values()) as object, 'next');
  count(Object.getPrototypeOf(new Set().values()) as object, 'next');
  count(Object.getPrototypeOf([].values()) as object, 'next');
  try {
    call();
  } finally {
    for (const restore of undo) restore();
  }
  return steps;
}
