import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { BusAddress } from '../../broker/port.ts';
import type { Answer, Ask, ChannelAnswer, EdgeMessage } from '../../contracts/edge-message.ts';
import type { AppId, ChannelName, EdgeId } from '../../contracts/ids.ts';
import {
  type ChannelsQuery,
  ClusterIncomplete,
  type LocalState,
  type Occupancy,
} from '../../edge/cluster/port.ts';
import { maxQuestions, Questions } from '../../edge/cluster/questions.ts';
import { createManualClock } from '../support/manual-clock.ts';

const app = 'app' as AppId;
const [self, a, b] = ['edge-self', 'edge-a', 'edge-b'] as [EdgeId, EdgeId, EdgeId];
const room = (name: string) => name as ChannelName;
const everything: ChannelsQuery = { app, prefix: '', users: false };

function setUp(channels: readonly (readonly [ChannelName, Occupancy])[] = []) {
  const clock = createManualClock();
  const sent: { readonly to: BusAddress; readonly message: EdgeMessage }[] = [];
  const bus = { up: true, error: undefined as BrokerError | undefined };
  const view = { edges: [self, a, b], settled: Promise.resolve() };
  const queries: ChannelsQuery[] = [];
  const terminated: string[] = [];
  const local: LocalState = {
    load: () => [],
    sessionClaimed: () => undefined,
    disconnect: () => undefined,
    channels(query) {
      queries.push(query);
      return channels;
    },
    terminate(of, user) {
      terminated.push(`${of} ${user}`);
      return 2;
    },
  };
  const questions = new Questions({
    edgeId: self,
    clock,
    local,
    deadlineMs: 3_000,
    membership: { edges: () => view.edges, settled: () => view.settled },
    bus: {
      get up() {
        return bus.up;
      },
      send(to, message) {
        if (bus.error !== undefined) return Promise.reject(bus.error);
        sent.push({ to, message });
        return Promise.resolve();
      },
    },
  });
  const asks = () => sent.map(({ message }) => message).filter(({ type }) => type === 'ask');
  const answer = (
    from: EdgeId,
    found: readonly ChannelAnswer[],
    rest: Partial<Answer> = {},
  ): void => {
    const { id } = asks().at(-1) as Ask;
    questions.answered(from, {
      type: 'answer',
      id,
      last: true,
      channels: found,
      closed: 0,
      ...rest,
    });
  };
  return {
    clock,
    sent,
    bus,
    view,
    queries,
    terminated,
    questions,
    answer,
    turns: () => clock.advanceAsync(0),
  };
}

async function incomplete(call: Promise<unknown>): Promise<ClusterIncomplete> {
  const error: unknown = await call.then(
    () => new Error('the question was answered, and it must not be'),
    (reason: unknown) => reason,
  );
  if (error instanceof ClusterIncomplete) return error;
  throw error;
}

describe('Questions', () => {
  it('merges what all edges hold, this one included', async () => {
    const { questions, answer, turns, sent } = setUp([
      [room('a'), { subscriptions: 1 }],
      [room('presence-x'), { subscriptions: 2, users: new Set(['1', '2']) }],
    ]);
    const call = questions.channels({ ...everything, users: true });
    await turns();
    expect(sent).to.deep.equal([
      {
        to: { kind: 'all' },
        message: {
          type: 'ask',
          id: 1,
          question: { about: 'channels', app, prefix: '', names: null, users: true },
        },
      },
    ]);
    answer(a, [
      [room('a'), 3, null],
      [room('presence-x'), 1, ['2']],
    ]);
    answer(b, [
      [room('b'), 1, null],
      [room('presence-x'), 1, ['3']],
    ]);
    const found = await call;
    expect([...found]).to.deep.equal([
      ['a', { subscriptions: 4 }],
      ['presence-x', { subscriptions: 4, users: new Set(['1', '2', '3']) }],
      ['b', { subscriptions: 1 }],
    ]);
  });

  it('takes answers in parts, and is complete only with the last of each edge', async () => {
    const { questions, answer, turns, clock } = setUp();
    const call = questions.channels(everything);
    await turns();
    answer(a, [[room('a'), 1, null]], { last: false });
    answer(b, [[room('b'), 1, null]]);
    answer(a, [[room('c'), 1, null]]);
    expect([...(await call).keys()]).to.have.members(['a', 'b', 'c']);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('ignores answers that come twice, too late, or from nobody who was asked', async () => {
    const { questions, answer, turns } = setUp();
    const call = questions.channels(everything);
    await turns();
    answer(a, [[room('a'), 1, null]]);
    answer(a, [[room('a'), 1, null]]);
    answer('edge-x' as EdgeId, [[room('a'), 1, null]]);
    answer(b, [], { id: 99 });
    answer(b, []);
    expect([...(await call)]).to.deep.equal([['a', { subscriptions: 1 }]]);
    answer(b, [[room('a'), 1, null]]);
  });

  it('fails at the deadline and names those who stayed silent', async () => {
    const { questions, answer, turns, clock } = setUp();
    const failure = incomplete(questions.channels(everything));
    await turns();
    answer(a, []);
    answer(b, [[room('b'), 1, null]], { last: false });
    await clock.advanceAsync(3_000);
    const error = await failure;
    expect(error.silent).to.deep.equal([b]);
    expect(error.message).to.equal('1 of 3 edges have not answered in time');
  });

  it('does not wait for an edge that has left, and forgets its half answer', async () => {
    const { questions, answer, turns } = setUp();
    const call = questions.channels(everything);
    await turns();
    answer(a, [[room('a'), 1, null]]);
    answer(b, [[room('b'), 1, null]], { last: false });
    questions.edgeLeft(b);
    expect([...(await call).keys()]).to.deep.equal(['a']);
  });

  it('asks nobody where there is nobody', async () => {
    const { questions, view, sent } = setUp([[room('a'), { subscriptions: 1 }]]);
    view.edges = [self];
    expect([...(await questions.channels(everything)).keys()]).to.deep.equal(['a']);
    expect(sent).to.deep.equal([]);
  });

  it('waits until the edges know each other, but not beyond the deadline', async () => {
    const { questions, view, turns, sent, clock, answer } = setUp();
    let settle: () => void = () => undefined;
    view.settled = new Promise((resolve) => {
      settle = resolve;
    });
    const failure = incomplete(questions.channels(everything));
    await clock.advanceAsync(2_000);
    expect(sent).to.deep.equal([]);
    await clock.advanceAsync(1_000);
    expect((await failure).silent).to.deep.equal([]);
    const later = questions.channels(everything);
    settle();
    await turns();
    expect(sent).to.have.lengthOf(1);
    answer(a, []);
    answer(b, []);
    expect((await later).size).to.equal(0);
  });

  it('fails at once while the broker is away, and so do questions under way', async () => {
    const { questions, turns, bus } = setUp();
    const underWay = incomplete(questions.channels(everything));
    await turns();
    questions.interrupted();
    expect((await underWay).silent).to.deep.equal([a, b]);
    bus.up = false;
    expect((await incomplete(questions.channels(everything))).message).to.include('broker is away');
  });

  it('fails where the question cannot be sent', async () => {
    const { questions, bus, clock } = setUp();
    bus.error = new BrokerError('broker_busy', 'too many');
    const error = await incomplete(questions.channels(everything));
    expect(error.message).to.equal('the question was not sent: too many');
    expect(clock.pendingTimers).to.equal(0);
  });

  it('has a bound on questions under way, and takes new ones when others have ended', async () => {
    const { questions, clock, turns, sent } = setUp();
    const calls = Array.from({ length: maxQuestions }, () =>
      incomplete(questions.channels(everything)),
    );
    await turns();
    const refused = await incomplete(questions.channels(everything));
    expect(refused.message).to.include(`${maxQuestions} questions`);
    expect(sent).to.have.lengthOf(maxQuestions);
    await clock.advanceAsync(3_000);
    await Promise.all(calls);
    void incomplete(questions.channels(everything));
    await turns();
    expect(sent).to.have.lengthOf(maxQuestions + 1);
    await clock.advanceAsync(3_000);
  });

  describe('terminate', () => {
    it('resolves with the number of sockets closed on all edges', async () => {
      const { questions, answer, turns, terminated } = setUp();
      const call = questions.terminate(app, '7');
      await turns();
      answer(a, [], { closed: 1 });
      answer(b, [], { closed: 4 });
      expect(await call).to.equal(7);
      expect(terminated).to.deep.equal(['app 7']);
    });

    it('closes the sockets of this edge where the others cannot be asked, too', async () => {
      const { questions, bus, terminated } = setUp();
      bus.up = false;
      await incomplete(questions.terminate(app, '7'));
      expect(terminated).to.deep.equal(['app 7']);
    });
  });

  describe('answering', () => {
    const ask = { about: 'channels', app, prefix: 'p', names: null, users: false } as const;

    it('hands the whole question on, and answers the asker alone', async () => {
      const { questions, sent, queries, terminated } = setUp([[room('a'), { subscriptions: 1 }]]);
      await questions.asked(a, 5, { ...ask, names: [room('a')], users: true });
      await questions.asked(b, 6, { about: 'terminate', app, user: '7' });
      expect(queries).to.deep.equal([{ app, prefix: 'p', names: ['a'], users: true }]);
      expect(terminated).to.deep.equal(['app 7']);
      expect(sent).to.deep.equal([
        {
          to: { kind: 'edge', edgeId: a },
          message: { type: 'answer', id: 5, last: true, channels: [['a', 1, null]], closed: 0 },
        },
        {
          to: { kind: 'edge', edgeId: b },
          message: { type: 'answer', id: 6, last: true, channels: [], closed: 2 },
        },
      ]);
      expect(questions.asked(a, 7, ask)).to.be.a('promise');
      expect(queries[1]).to.deep.equal({ app, prefix: 'p', users: false });
    });

    it('sends parts of bounded size, which the asker puts together again', async () => {
      const users = new Set(Array.from({ length: 60_000 }, (_, n) => `user-${n}`));
      const held: [ChannelName, Occupancy][] = Array.from({ length: 1_200 }, (_, n) => [
        room(`room-${n}`),
        { subscriptions: 1 },
      ]);
      held.push([room('presence-x'), { subscriptions: 70_000, users }]);
      const answering = setUp(held);
      await answering.questions.asked(a, 1, ask);
      const parts = answering.sent.map(({ message }) => message as Answer);
      expect(parts.length).to.be.within(6, 30);
      for (const part of parts) {
        expect(part.channels.length).to.be.at.most(500);
        expect(JSON.stringify(part).length).to.be.at.most(300_000);
      }
      expect(parts.map(({ last }) => last).lastIndexOf(false)).to.equal(parts.length - 2);

      const asking = setUp();
      asking.view.edges = [self, a];
      const call = asking.questions.channels({ ...everything, users: true });
      await asking.turns();
      for (const part of parts) asking.questions.answered(a, part);
      const found = await call;
      expect(found.size).to.equal(1_201);
      expect(found.get(room('presence-x'))?.subscriptions).to.equal(70_000);
      expect(found.get(room('presence-x'))?.users).to.deep.equal(users);
    });

    it('gives up where the broker is away', async () => {
      const { questions, bus } = setUp();
      bus.error = new BrokerError('broker_unavailable', 'away');
      await questions.asked(a, 1, ask);
    });
  });

  it('refuses and answers nothing once it is closed', async () => {
    const { questions, turns, sent } = setUp();
    const underWay = incomplete(questions.channels(everything));
    await turns();
    questions.close();
    await underWay;
    await incomplete(questions.channels(everything));
    sent.length = 0;
    await questions.asked(a, 1, { about: 'terminate', app, user: '7' });
    expect(sent).to.deep.equal([]);
  });
});
