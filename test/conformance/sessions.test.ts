/** Sessions with continuity, each sentence of their promise, over real RabbitMQ: resumed on the same edge and on another. */
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { ClientOptions } from 'ws';
import type { AppId } from '../../contracts/ids.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { createLog } from '../../runtime/log.ts';
import type { TestClient } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { type Stage, startStage } from '../support/stage.ts';

const lostEvent = 'warren:continuity_lost';
const succeeded = 'pusher_internal:subscription_succeeded';

describe('conformance: sessions', function () {
  this.timeout(30_000);
  let stage: Stage;
  const sockets: TestClient[] = [];
  before(async () => {
    stage = await startStage(2, {
      apps: [{}, { id: 'other' as AppId, key: 'other-key', secret: 'other-secret' }],
      channels: [{ name: 'on-edge-{n}', delivery: 'edge' }],
      settings: { prefetch: 20, sessionMaxLength: 50 },
    });
  });
  after(() => stage.close());
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.terminate();
  });

  const newId = () => randomBytes(16).toString('base64url');

  async function open(
    n: number,
    id: string,
    options: ClientOptions & { key?: string } = {},
  ): Promise<TestClient> {
    const { key = 'app-key', ...rest } = options;
    const socket = stage.edge(n).open(`/~s/${id}/app/${key}?protocol=7`, rest);
    sockets.push(socket);
    socket.answersPings = true;
    await socket.greeted();
    return socket;
  }

  const stateOf = async (socket: TestClient) => {
    const frame = await socket.next('warren:session');
    return JSON.parse(String(frame.data)) as { resumed: boolean; window: number };
  };

  async function publish(
    channel: string,
    from: number,
    to: number,
    more: object = {},
  ): Promise<void> {
    for (let n = from; n <= to; n += 1) {
      const answer = await stage.edge(n).post('/apps/app-id/events', {
        name: 'n',
        channel,
        data: String(n),
        ...more,
      });
      expect(answer.status).to.equal(200);
    }
  }

  const numbers = (socket: TestClient, channel: string) =>
    socket
      .events(channel)
      .filter(({ event }) => event === 'n')
      .map(({ data }) => Number(data));
  const upTo = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, at) => from + at);
  const sees = (socket: TestClient, channel: string, expected: readonly number[]) =>
    eventually(() => expect(numbers(socket, channel)).to.deep.equal(expected));

  /** Resolves when the server has taken the client's acknowledgement of everything so far. */
  async function acknowledged(socket: TestClient): Promise<void> {
    const pings = () => socket.frames.filter(({ event }) => event === 'pusher:ping').length;
    const before = pings();
    const mark = `ack-${newId()}`;
    await socket.subscribe(mark);
    await publish(mark, 1, 1);
    await eventually(() => expect(pings()).to.be.above(before));
    await socket.roundTrip();
  }

  it('says what became of the session before the first success; a new one is not resumed', async () => {
    const socket = await open(0, newId());
    await socket.subscribe('a');
    const events = socket.frames.map(({ event }) => event);
    expect(events).to.deep.equal(['pusher:connection_established', 'warren:session', succeeded]);
    expect(socket.frames[1]?.data).to.equal('{"resumed":false,"window":60}');
  });

  for (const edge of [0, 1]) {
    const where = edge === 0 ? 'the same edge' : 'another edge';

    it(`what was published meanwhile follows each success, in order, then what is live (${where})`, async () => {
      const id = newId();
      const channels = [`one-${id}`, `two-${id}`] as const;
      const first = await open(0, id);
      for (const channel of channels) await first.subscribe(channel);
      await publish(channels[0], 1, 3);
      await sees(first, channels[0], [1, 2, 3]);
      await acknowledged(first);
      first.terminate();
      await publish(channels[0], 4, 8);
      await publish(channels[1], 1, 4);
      const second = await open(edge, id);
      expect(await stateOf(second)).to.deep.equal({ resumed: true, window: 60 });
      await second.subscribe(channels[1]);
      await sees(second, channels[1], upTo(1, 4));
      expect(numbers(second, channels[0])).to.deep.equal([]);
      await second.subscribe(channels[0]);
      await publish(channels[0], 9, 10);
      await sees(second, channels[0], upTo(4, 10));
      expect(second.frames.filter(({ event }) => event === lostEvent)).to.deep.equal([]);
    });

    it(`more than an edge may have in hand waits for channels that come back late, and nothing is lost (${where})`, async () => {
      const id = newId();
      const channels = [`early-${id}`, `late-${id}`] as const;
      const first = await open(0, id);
      for (const channel of channels) await first.subscribe(channel);
      first.terminate();
      await publish(channels[1], 1, 40);
      await publish(channels[0], 1, 5);
      const second = await open(edge, id);
      expect(await stateOf(second)).to.deep.equal({ resumed: true, window: 60 });
      await second.subscribe(channels[0]);
      for (let n = 0; n < 10; n += 1) await second.roundTrip();
      expect(numbers(second, channels[0]), 'behind what waits for the other').to.deep.equal([]);
      await second.subscribe(channels[1]);
      await sees(second, channels[1], upTo(1, 40));
      await sees(second, channels[0], upTo(1, 5));
      expect(second.frames.filter(({ event }) => event === lostEvent)).to.deep.equal([]);
    });

    it(`what was not acknowledged comes again, in order; what was never does (${where})`, async () => {
      const id = newId();
      const channel = `ack-${id}`;
      const first = await open(0, id);
      await first.subscribe(channel);
      await publish(channel, 1, 3);
      await sees(first, channel, [1, 2, 3]);
      await acknowledged(first);
      first.answersPings = false;
      await publish(channel, 4, 6);
      await sees(first, channel, upTo(1, 6));
      first.terminate();
      await publish(channel, 7, 8);
      const second = await open(edge, id);
      await second.subscribe(channel);
      await sees(second, channel, upTo(4, 8));
      await acknowledged(second);
      second.terminate();
      // Twice without traffic.
      const third = await open(edge, id);
      await third.subscribe(channel);
      await publish(channel, 9, 9);
      await sees(third, channel, [9]);
    });
  }

  it('a storm of events during a resume leaves no gap and no repeat at the seam', async () => {
    const id = newId();
    const channel = `storm-${id}`;
    const first = await open(0, id);
    await first.subscribe(channel);
    await publish(channel, 1, 1);
    await sees(first, channel, [1]);
    await acknowledged(first);
    let running = true;
    let last = 1;
    const storm = (async () => {
      while (running) {
        last += 1;
        await publish(channel, last, last);
      }
    })();
    const seen = [1];
    let current = first;
    for (let round = 1; round <= 6; round += 1) {
      const target = last + 5;
      await eventually(() => expect(numbers(current, channel).at(-1) ?? 0).to.be.above(target));
      await acknowledged(current);
      current.answersPings = false;
      await current.roundTrip();
      current.terminate();
      if (current !== first) seen.push(...numbers(current, channel));
      else seen.push(...numbers(current, channel).slice(1));
      current = await open(round, id);
      expect((await stateOf(current)).resumed).to.equal(true);
      await current.subscribe(channel);
    }
    running = false;
    await storm;
    await eventually(() => expect(numbers(current, channel).at(-1)).to.equal(last));
    seen.push(...numbers(current, channel));
    // Repeats are allowed of what had not been acknowledged; first sightings are every number, in order.
    const firsts: number[] = [];
    for (const n of seen) if (n > (firsts.at(-1) ?? 0)) firsts.push(n);
    expect(firsts).to.deep.equal(upTo(1, last));
    expect(seen.length - firsts.length, 'repeats').to.be.below(6 * 20);
    expect(current.frames.filter(({ event }) => event === lostEvent)).to.deep.equal([]);
  });

  it('more than it holds while parked is told, channel by channel, and it goes on from there', async () => {
    const id = newId();
    const channel = `over-${id}`;
    const first = await open(0, id);
    await first.subscribe(channel);
    await first.roundTrip();
    first.terminate();
    await publish(channel, 1, 60);
    const second = await open(1, id);
    expect((await stateOf(second)).resumed).to.equal(true);
    await second.subscribe(channel);
    const lost = await second.next(lostEvent, channel);
    expect(lost.data).to.equal('{"reason":"overflow"}');
    await publish(channel, 61, 62);
    await eventually(() => expect(numbers(second, channel).slice(-2)).to.deep.equal([61, 62]));
    second.terminate();
    // It has been told but has not had the time to acknowledge it for all of its channels: it is told once more.
    const third = await open(0, id);
    await third.subscribe(channel);
    await third.next(lostEvent, channel);
  });

  it('more than it holds while its client does not answer is told too', async () => {
    const id = newId();
    const channel = `slow-${id}`;
    const first = await open(0, id);
    await first.subscribe(channel);
    await first.roundTrip();
    first.answersPings = false;
    await publish(channel, 1, 100);
    first.send('pusher:pong', {});
    first.answersPings = true;
    for (let n = 0; n < 20; n += 1) first.send('pusher:pong', {});
    const told = first.next(lostEvent, channel).then(
      () => true,
      () => false,
    );
    const isTold = await Promise.race([told, first.roundTrip().then(() => undefined)]);
    if (isTold !== true) {
      await eventually(() =>
        expect(first.frames.some(({ event }) => event === lostEvent)).to.equal(true),
      );
    }
  });

  it('a session that has expired looks like a new one, and says so', async () => {
    const brief = await startStage(1, { settings: { resumeWindowMs: 1_000 } });
    try {
      const path = `/~s/${newId()}/app/app-key?protocol=7`;
      const first = await brief.edge(0).connect(path);
      await first.subscribe('a');
      first.terminate();
      await first.closed;
      // The broker's own clock ends it, and each look at it begins its time anew.
      await eventually(async () => {
        await new Promise((resolve) => setTimeout(resolve, 2_000));
        const next = await brief.edge(0).connect(path);
        const { resumed } = await stateOf(next);
        next.terminate();
        await next.closed;
        expect(resumed).to.equal(false);
      }, 15_000);
    } finally {
      await brief.close();
    }
  });

  it('beyond limits.sessions it is served as a plain connection, with a window of 0', async () => {
    const small = await startStage(1, { apps: [{ limits: { ...defaultLimits, sessions: 1 } }] });
    try {
      const path = () => `/~s/${newId()}/app/app-key?protocol=7`;
      const first = await small.edge(0).connect(path());
      await first.subscribe('a');
      expect(first.frames[1]?.data).to.equal('{"resumed":false,"window":60}');
      const second = await small.edge(0).connect(path());
      await second.subscribe('a');
      expect(second.frames[1]).to.deep.equal({
        event: 'warren:session',
        data: '{"resumed":false,"window":0}',
      });
      await small.edge(0).post('/apps/app-id/events', { name: 'n', channel: 'a', data: '1' });
      for (const socket of [first, second]) {
        expect((await socket.next('n')).data).to.equal('1');
        socket.terminate();
      }
    } finally {
      await small.close();
    }
  });

  it('where continuity is proved a cache channel sends neither the cached event nor cache_miss', async () => {
    const id = newId();
    const [full, empty] = [`cache-full-${id}`, `cache-empty-${id}`] as const;
    await publish(full, 1, 1);
    const first = await open(0, id);
    await first.subscribe(full);
    await first.subscribe(empty);
    await first.next('pusher:cache_miss', empty);
    expect(numbers(first, full)).to.deep.equal([1]);
    await acknowledged(first);
    first.terminate();
    const second = await open(1, id);
    await second.subscribe(full);
    await second.subscribe(empty);
    await publish(full, 2, 2);
    await sees(second, full, [2]);
    const events = second.frames
      .filter(({ channel }) => channel === empty)
      .map(({ event }) => event);
    expect(events).to.deep.equal([succeeded]);
    const another = `cache-other-${id}`;
    await second.subscribe(another);
    await second.next('pusher:cache_miss', another);
  });

  for (const edge of [0, 1]) {
    it(`the newest connection owns the session; the older one is closed with 4010 (edge ${edge})`, async () => {
      const id = newId();
      const channel = `own-${id}`;
      const first = await open(0, id);
      await first.subscribe(channel);
      await publish(channel, 1, 1);
      await sees(first, channel, [1]);
      await acknowledged(first);
      const second = await open(edge, id);
      expect((await first.closed).code).to.equal(4010);
      expect((await stateOf(second)).resumed).to.equal(true);
      await second.subscribe(channel);
      await publish(channel, 2, 3);
      await sees(second, channel, [2, 3]);
    });
  }

  it('takeovers of one session are limited in rate', async () => {
    const id = newId();
    const codes: number[] = [];
    for (let n = 0; n < 14; n += 1) {
      const socket = await open(0, id);
      void socket.closed.then(({ code }) => codes.push(code));
    }
    await eventually(() => expect(codes).to.include(4100));
    expect(codes.filter((code) => code === 4010).length).to.be.at.least(5);
  });

  it('another app, another Origin and another user get a session of their own', async () => {
    const id = newId();
    const first = await open(0, id, { origin: 'https://one.example' });
    await first.signin(stage.app, { id: 'ada' });
    await acknowledged(first);
    first.terminate();
    const app = await open(1, id, { key: 'other-key', origin: 'https://one.example' });
    expect((await stateOf(app)).resumed).to.equal(false);
    const origin = await open(1, id, { origin: 'https://two.example' });
    expect((await stateOf(origin)).resumed).to.equal(false);
    const user = await open(1, id, { origin: 'https://one.example' });
    expect((await stateOf(user)).resumed).to.equal(true);
    await user.signin(stage.app, { id: 'bob' });
    expect((await stateOf(user)).resumed).to.equal(false);
    user.terminate();
    await user.closed;
    const same = await open(0, id, { origin: 'https://one.example' });
    expect((await stateOf(same)).resumed).to.equal(true);
    await same.signin(stage.app, { id: 'bob' });
    await acknowledged(same);
    expect(same.frames.filter(({ event }) => event === 'warren:session')).to.have.length(1);
  });

  it('only a close with 1001 ends a session; every other end parks it', async () => {
    for (const [code, resumed] of [
      [1000, true],
      [4000, true],
      [1001, false],
    ] as const) {
      const id = newId();
      const first = await open(0, id);
      await first.subscribe('a');
      await first.roundTrip();
      first.socket.close(code);
      await first.closed;
      await eventually(async () => {
        const second = await open(1, id);
        expect((await stateOf(second)).resumed, String(code)).to.equal(resumed);
        second.socket.close(1001);
      });
    }
  });

  it('no pong within the time closes with 4201 and parks', async () => {
    const strict = await startStage(1, { settings: { pongTimeoutMs: 800 } });
    try {
      const path = `/~s/${newId()}/app/app-key?protocol=7`;
      const first = await strict.edge(0).connect(path);
      await first.subscribe('a');
      await strict.edge(0).post('/apps/app-id/events', { name: 'n', channel: 'a', data: '1' });
      const alive = setInterval(() => first.send('pusher:ping', {}), 100);
      expect((await first.closed).code).to.equal(4201);
      clearInterval(alive);
      const second = await strict.edge(0).connect(path);
      expect((await stateOf(second)).resumed).to.equal(true);
      await second.subscribe('a');
      expect((await second.next('n')).data).to.equal('1');
      second.terminate();
    } finally {
      await strict.close();
    }
  });

  it('socket_id leaves the session out also after it has come back', async () => {
    const id = newId();
    const channel = `ex-${id}`;
    const first = await open(0, id);
    const { socketId } = first;
    await first.subscribe(channel);
    await first.roundTrip();
    first.terminate();
    await publish(channel, 1, 1, { socket_id: socketId });
    await publish(channel, 2, 2);
    const second = await open(1, id);
    expect(second.socketId).not.to.equal(socketId);
    await second.subscribe(channel);
    await publish(channel, 3, 3, { socket_id: socketId });
    await publish(channel, 4, 4, { socket_id: second.socketId });
    await publish(channel, 5, 5);
    await sees(second, channel, [2, 5]);
  });

  it('a channel with `delivery: edge` has no continuity, and says so on the resume', async () => {
    const id = newId();
    const first = await open(0, id);
    await first.subscribe('on-edge-1');
    await first.roundTrip();
    first.terminate();
    const second = await open(1, id);
    expect((await stateOf(second)).resumed).to.equal(true);
    await second.subscribe('on-edge-1');
    expect((await second.next(lostEvent)).data).to.equal('{"reason":"unknown"}');
    await publish('on-edge-1', 1, 1);
    await sees(second, 'on-edge-1', [1]);
  });

  it('a drain parks its sessions, and another edge resumes them with nothing lost', async () => {
    const two = await startStage(2);
    try {
      const path = `/~s/${newId()}/app/app-key?protocol=7`;
      const first = await two.edge(0).connect(path);
      first.answersPings = true;
      await first.subscribe('a');
      await first.roundTrip();
      const stopped = two.edge(0).edge.stop(1_000);
      expect((await first.closed).code).to.equal(4200);
      for (const n of [1, 2, 3]) {
        await two.edge(1).post('/apps/app-id/events', { name: 'n', channel: 'a', data: String(n) });
      }
      const second = await two.edge(1).connect(path);
      expect((await stateOf(second)).resumed).to.equal(true);
      await second.subscribe('a');
      await sees(
        second,
        'a',
        [...(numbers(first, 'a').length > 0 ? [] : [1]), 2, 3].filter(
          (n) => !numbers(first, 'a').includes(n),
        ),
      );
      await stopped;
      second.terminate();
    } finally {
      await two.close();
    }
  });

  it('its id is a secret: it is in no log', async () => {
    const lines: string[] = [];
    const log = createLog('debug', {}, { write: (line: string) => void lines.push(line) });
    const noisy = await startStage(1, { log });
    try {
      const id = newId();
      const socket = await noisy.edge(0).connect(`/~s/${id}/app/app-key?protocol=7`);
      await socket.subscribe('a');
      socket.terminate();
      await noisy.edge(0).edge.stop(0);
      expect(lines.length).to.be.above(0);
      expect(lines.join('')).not.to.include(id);
    } finally {
      await noisy.close();
    }
  });
});
