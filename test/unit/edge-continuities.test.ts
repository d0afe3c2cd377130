import { expect } from 'chai';
import type { SessionQueues } from '../../broker/port.ts';
import type { EdgeId } from '../../contracts/ids.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { App } from '../../edge/apps.ts';
import { Continuities, firstOfSocketId } from '../../edge/channels/continuity.ts';
import { PingPacer } from '../../edge/delivery/ping-pacer.ts';
import type { Connection } from '../../edge/socket/connection.ts';
import type { Handshake } from '../../edge/socket/handshake.ts';
import { EdgeTally } from '../../edge/tally.ts';
import { createLog } from '../../runtime/log.ts';
import { testApp } from '../support/app.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';

/** What became of the queues: keys of those that were parked, and of those that were closed. */
let parked: string[];
let closed: string[];

const queues: SessionQueues = {
  open: async (spec) => ({
    resumed: false,
    bind: async () => {},
    unbind: async () => {},
    ack: () => {},
    note: async () => {},
    reset: async () => {},
    park: async () => void parked.push('key' in spec ? spec.key : ''),
    close: async () => void closed.push('key' in spec ? spec.key : ''),
  }),
};

const id = (letter: string) => letter.repeat(22);
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('Continuities', () => {
  let clock: ManualClock;
  let continuities: Continuities;
  let claims: string[];
  let edges: number;
  const app = new App(
    testApp({
      limits: { ...defaultLimits, sessions: 4, sessionsPerUser: 1, sessionsPerAddress: 2 },
    }),
  );

  beforeEach(() => {
    clock = createManualClock();
    claims = [];
    parked = [];
    closed = [];
    edges = 1;
    continuities = new Continuities({
      queues,
      pacer: new PingPacer(clock),
      clock,
      log: createLog('silent'),
      tally: new EdgeTally(),
      settings: { prefetch: 10, maxLength: 100, windowMs: 60_000 },
      edgeId: 'm' as EdgeId,
      edges: () => edges,
      claim: (key) => claims.push(key),
    });
  });

  function connect(handshake: Partial<Handshake>) {
    const closes: number[] = [];
    const connection = {
      socketId: '1.2',
      handshake: { app, address: '10.0.0.1', ...handshake },
      outbox: { push: () => {} },
      send: () => {},
      requestPong: () => {},
      close: ({ code }: { code: number }) => closes.push(code),
    };
    return { closes, continuity: continuities.of(connection as unknown as Connection) };
  }

  it('gives none to a connection that asks for none', () => {
    expect(connect({}).continuity).to.equal(undefined);
    expect(continuities.size).to.equal(0);
  });

  it('tells the other edges, by a digest that differs by app and Origin and does not show the id', () => {
    for (const handshake of [
      {},
      { origin: 'https://a.example' },
      { app: new App(testApp({ id: 'other' as never })) },
    ]) {
      connect({ sessionId: id('s'), address: String(claims.length), ...handshake });
    }
    expect(new Set(claims).size).to.equal(3);
    for (const claim of claims) {
      expect(claim).to.match(/^[A-Za-z0-9_-]{43}$/);
      expect(claim).not.to.include(id('s'));
    }
  });

  it('gives the session to the newest connection: here, and where another edge has it', () => {
    const first = connect({ sessionId: id('s') });
    const second = connect({ sessionId: id('s') });
    expect(first.closes).to.deep.equal([4010]);
    void first.continuity?.end(4010);
    expect(continuities.size).to.equal(1);
    const [key = ''] = claims;
    continuities.claimed('another', clock.now() + 1, 'z' as EdgeId);
    continuities.claimed(key, clock.now() - 1, 'z' as EdgeId);
    continuities.claimed(key, clock.now(), 'a' as EdgeId);
    expect(second.closes).to.deep.equal([]);
    continuities.claimed(key, clock.now(), 'z' as EdgeId);
    expect(second.closes).to.deep.equal([4010]);
  });

  it('counts sessions that wait for their client, until their window is over or their page is', async () => {
    const first = connect({ sessionId: id('a'), address: '1' });
    const second = connect({ sessionId: id('b'), address: '2' });
    edges = 2;
    expect(
      connect({ sessionId: id('c'), address: '3' }).continuity,
      'its share is used up',
    ).to.equal(undefined);
    await first.continuity?.end(1006);
    const back = connect({ sessionId: id('a'), address: '1' });
    expect(back.continuity, 'it comes back to what it has').not.to.equal(undefined);
    await back.continuity?.end(1006);
    expect(connect({ sessionId: id('c'), address: '3' }).continuity).to.equal(undefined);
    expect(connect({ sessionId: id('b'), address: '2' }).continuity, 'it has one').not.to.equal(
      undefined,
    );
    await second.continuity?.end(4010);
    clock.advance(60_000);
    expect(connect({ sessionId: id('c'), address: '3' }).continuity).not.to.equal(undefined);
  });

  it('counts a page that is gone no more', async () => {
    edges = 4;
    const first = connect({ sessionId: id('a') });
    expect(connect({ sessionId: id('b') }).continuity).to.equal(undefined);
    await first.continuity?.end(1001);
    expect(connect({ sessionId: id('b') }).continuity).not.to.equal(undefined);
  });

  it('parks no more sessions of a user than the limit: a further one is served, and ends with its socket', async () => {
    const [first, second, other] = ['a', 'b', 'c'].map((letter, at) =>
      connect({ sessionId: id(letter), address: `10.0.1.${at}` }),
    );
    first?.continuity?.signedIn('ada');
    second?.continuity?.signedIn('ada');
    other?.continuity?.signedIn('bo');
    for (const one of [first, second, other]) await one?.continuity?.end(1006);
    expect(parked).to.deep.equal([claims[0], claims[2]]);
    expect(closed).to.deep.equal([claims[1]]);
  });

  it('limits sessions per address, where a limit is set', () => {
    for (const letter of ['a', 'b']) connect({ sessionId: id(letter) });
    expect(connect({ sessionId: id('c') }).continuity).to.equal(undefined);
    expect(connect({ sessionId: id('c'), address: '10.0.0.2' }).continuity).not.to.equal(undefined);
  });

  it('takes no more than ten connections of a session in ten seconds', async () => {
    for (let n = 0; n < 10; n += 1)
      expect(connect({ sessionId: id('s') }).continuity).not.to.equal(undefined);
    const tooMany = connect({ sessionId: id('s') });
    expect(tooMany.continuity).to.equal(undefined);
    await turn();
    expect(tooMany.closes).to.deep.equal([4100]);
    clock.advance(10_000);
    expect(connect({ sessionId: id('s') }).continuity).not.to.equal(undefined);
  });

  it('has one first number of socket ids per session, app and secret', () => {
    const first = (more: Partial<Handshake>) =>
      firstOfSocketId({ app, sessionId: id('s'), ...more });
    expect(first({})).to.equal(first({}));
    expect(Number.isSafeInteger(first({}))).to.equal(true);
    const others = [
      { sessionId: id('t') },
      { origin: 'https://a.example' },
      { app: new App(testApp({ secret: 'x' })) },
    ];
    for (const other of others) expect(first(other)).not.to.equal(first({}));
    expect(firstOfSocketId({ app })).to.equal(undefined);
  });
});
