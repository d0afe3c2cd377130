/** Revocation by domain event: users off channels, and off all of them, over real RabbitMQ, two edges and a router. */
import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import { loadConfig } from '../../config/load.ts';
import type { AppId } from '../../contracts/ids.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import { startRouter } from '../../router/main.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Role } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics } from '../../runtime/metrics.ts';
import { brokerUrl } from '../support/broker.ts';
import {
  connected,
  first,
  openPusher,
  type PusherClient,
  signedBy,
  subscribed,
} from '../support/clients.ts';
import { protocolPath, type TestClient } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { type Stage, startStage } from '../support/stage.ts';

const rules = `apps:
  - { id: app-id, key: app-key, secret: app-secret }
  - { id: other, key: other-key, secret: other-secret }
events:
  - on: room.member.removed
    app: app-id
    to: '{data.channel}'
    as: left
    data: '{data.user}'
    unsubscribe: { user: '{data.user}', channel: '{data.channel}' }
  - { on: user.suspended, app: app-id, disconnect: '{data.user}' }
`;
/** Closed by the server for good, pusher-js closes a closed socket, whose timer then lives on for half a minute (Node only). */
interface NodeSocket {
  readonly _closeTimer?: NodeJS.Timeout;
}
interface NodeConnection {
  readonly connection: { readonly transport: { readonly socket: NodeSocket } };
}

const errorEvent = 'pusher:subscription_error';
const lostEvent = 'warren:continuity_lost';

describe('conformance: revocation', function () {
  this.timeout(20_000);
  let stage: Stage;
  let link: Broker;
  let router: Role;
  const metrics = createMetrics();
  const clients: PusherClient[] = [];
  const clientSockets: NodeSocket[] = [];
  const sockets: TestClient[] = [];

  before(async () => {
    stage = await startStage(2, {
      apps: [{}, { id: 'other' as AppId, key: 'other-key', secret: 'other-secret' }],
      channels: [{ name: 'private-edge-{n}', delivery: 'edge' }],
      settings: { hotAfter: 50, prefetch: 20 },
    });
    const log = createLog('silent');
    link = connectAmqp({
      urls: [brokerUrl],
      names: stage.names,
      clock: systemClock,
      log,
      heartbeatSeconds: 10,
      confirmTimeoutMs: 10_000,
      connectionName: 'warren test router',
    });
    const loaded = loadConfig(rules, { path: 'warren.yaml', production: false });
    if (!loaded.ok) throw new Error(loaded.problems[0]?.message);
    router = await startRouter({
      broker: link,
      config: loaded.config,
      settings: { routerPrefetch: 50 },
      clock: systemClock,
      log,
      metrics,
    });
    await eventually(() => expect(router.readiness()).to.deep.equal({ ready: true }), 10_000);
  });
  after(async () => {
    await router.stop(1_000);
    await link.close();
    await stage.close();
    await metrics.close();
    for (const { _closeTimer } of clientSockets) clearTimeout(_closeTimer);
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
    for (const socket of sockets.splice(0)) socket.terminate();
  });

  const unique = () => randomBytes(12).toString('base64url');
  const happens = (routingKey: string, data: object) =>
    link.domainEvents.publish({ routingKey, body: Buffer.from(JSON.stringify(data)) });
  /** Resolves when the broker has confirmed the revocation. */
  const removed = async (user: string, channel: string) => {
    const count = async () => {
      const name = 'warren_router_revocations_total{kind="unsubscribe"}';
      const line = (await metrics.scrape()).split('\n').find((one) => one.startsWith(name));
      return Number(line?.split(' ').at(-1) ?? 0);
    };
    const before = await count();
    await happens('room.member.removed', { user, channel });
    await eventually(async () => expect(await count()).to.equal(before + 1));
  };
  const say = async (channel: string, text: string) => {
    const body = { name: 'said', channel, data: JSON.stringify(text) };
    expect((await stage.edge(0).post('/apps/app-id/events', body)).status).to.equal(200);
  };

  async function page(n: number, user: string): Promise<PusherClient> {
    const client = openPusher(stage.port(n), signedBy(stage.app, { user: { id: user } }));
    clients.push(client);
    await connected(client);
    const { socket } = (client.connection as unknown as NodeConnection).connection.transport;
    clientSockets.push(socket);
    client.signin();
    await client.user.signinDonePromise;
    return client;
  }

  /** What a page sees of a channel, in order. */
  async function watch(client: PusherClient, channel: string): Promise<string[]> {
    const seen: string[] = [];
    const subscription = client.subscribe(channel);
    subscription.bind_global((event: string, data: unknown) => {
      if (event === 'said' || event === 'left') seen.push(`${event} ${String(data)}`);
      if (event === errorEvent) seen.push(`error ${(data as { status: number }).status}`);
    });
    await subscribed(subscription);
    return seen;
  }

  async function raw(n: number, path = protocolPath): Promise<TestClient> {
    const socket = stage.edge(n).open(path);
    sockets.push(socket);
    socket.answersPings = true;
    await socket.greeted();
    return socket;
  }
  const session = (id: string, n: number) => raw(n, `/~s/${id}/app/app-key?protocol=7`);
  const said = (socket: TestClient, channel: string) =>
    socket.events(channel).map(({ event, data }) => `${event} ${String(data)}`);

  for (const [road, prefix] of [
    ['the queues of the connections', 'private-own-'],
    ['the queue that all of an edge share', 'private-edge-'],
  ] as const) {
    it(`a user who is taken off a channel gets nothing that comes after, on any edge; others go on (${road})`, async () => {
      const [channel, other] = [`${prefix}${unique()}`, `${prefix}${unique()}`];
      const tabs = [await page(0, 'bob'), await page(1, 'bob')];
      const ann = await page(1, 'ann');
      const seen: string[][] = [];
      for (const tab of tabs) seen.push(await watch(tab, channel));
      const seenByAnn = await watch(ann, channel);
      // It takes the same road, so what comes there comes behind what was published to the channel before.
      const elsewhere: string[][] = [];
      for (const tab of tabs) elsewhere.push(await watch(tab, other));
      const sums = async (name: string) => {
        const [a, b] = [await stage.edge(0).metric(name), await stage.edge(1).metric(name)];
        return a + b;
      };
      const before = await sums('warren_deliveries_total');
      const revoked = await sums('warren_revocations_total');
      await say(channel, 'before');
      const startedMs = performance.now();
      await happens('room.member.removed', { user: 'bob', channel });
      await eventually(() => {
        for (const one of seen) expect(one).to.include('error 403');
      });
      expect(performance.now() - startedMs).to.be.below(1_000);
      await say(channel, 'after');
      await say(other, 'end');
      await eventually(() => {
        for (const one of elsewhere) expect(one).to.deep.equal(['said end']);
        expect(seenByAnn).to.deep.equal(['said before', 'left bob', 'said after']);
      });
      for (const one of seen) {
        expect(one).to.deep.equal(['said before', 'left bob', 'error 403']);
      }
      // Three subscribers twice, ann once more, and two elsewhere: the revocation itself is none.
      expect((await sums('warren_deliveries_total')) - before).to.equal(3 * 2 + 1 + 2);
      expect((await sums('warren_revocations_total')) - revoked).to.equal(2);
    });
  }

  it('the error is one that pages understand', async () => {
    const channel = `private-own-${unique()}`;
    const bob = await page(0, 'bob');
    await watch(bob, channel);
    const told = first(bob.channel(channel), errorEvent);
    await happens('room.member.removed', { user: 'bob', channel });
    expect(await told).to.deep.equal({
      type: 'AuthError',
      error: 'Your access to this channel was revoked.',
      status: 403,
    });
    expect(bob.connection.state).to.equal('connected');
  });

  it('a member of a presence channel leaves it, and the others are told', async () => {
    const channel = `presence-${unique()}`;
    const [bob, tab, ann] = [await raw(0), await raw(1), await raw(1)];
    await bob.subscribe(channel, stage.app, '{"user_id":"bob"}');
    await tab.subscribe(channel, stage.app, '{"user_id":"bob"}');
    await ann.subscribe(channel, stage.app, '{"user_id":"ann"}');
    await happens('room.member.removed', { user: 'bob', channel });
    for (const socket of [bob, tab]) await socket.next(errorEvent, channel);
    const { data } = await ann.next('pusher_internal:member_removed', channel);
    expect(JSON.parse(String(data))).to.deep.equal({ user_id: 'bob' });
    await say(channel, 'after');
    await ann.next('said', channel);
    await eventually(async () => {
      const answer = await stage.edge(0).get(`/apps/app-id/channels/${channel}/users`);
      expect(await answer.json()).to.deep.equal({ users: [{ id: 'ann' }] });
    });
    await bob.roundTrip();
    expect(said(bob, channel)).to.deep.equal(['left "bob"']);
  });

  it('a socket that nobody has proved to be the user’s is left alone', async () => {
    const channel = `private-own-${unique()}`;
    const [unknown, ann] = [await raw(0), await raw(1)];
    await ann.signin(stage.app, { id: 'ann' });
    for (const socket of [unknown, ann]) await socket.subscribe(channel, stage.app);
    await removed('bob', channel);
    await say(channel, 'after');
    for (const socket of [unknown, ann]) {
      await socket.next('said', channel);
      expect(said(socket, channel)).to.deep.equal(['left "bob"', 'said "after"']);
    }
  });

  it('the signature that a socket has is void from then on: it must reconnect for a new one', async () => {
    const channel = `private-own-${unique()}`;
    const bob = await raw(0);
    await bob.signin(stage.app, { id: 'bob' });
    await bob.subscribe(channel, stage.app);
    await happens('room.member.removed', { user: 'bob', channel });
    await bob.next(errorEvent, channel);
    const auth = signChannel(stage.app, bob.socketId, channel);
    bob.send('pusher:subscribe', { channel, auth });
    expect((await bob.closed).code).to.equal(4200);
    // Who was let in again has a new one.
    const again = await raw(0);
    await again.signin(stage.app, { id: 'bob' });
    await again.subscribe(channel, stage.app);
    await say(channel, 'welcome back');
    await again.next('said', channel);
  });

  it('a signature that was not in use when it came is void too', async () => {
    const channel = `private-own-${unique()}`;
    const bob = await raw(0);
    await bob.signin(stage.app, { id: 'bob' });
    await bob.subscribe(channel, stage.app);
    bob.send('pusher:unsubscribe', { channel });
    const unused = await raw(1);
    await unused.signin(stage.app, { id: 'bob' });
    await removed('bob', channel);
    // The edges read it from the stream, in the order in which it was published: what is kept behind it comes after it.
    const mark = `cache-${unique()}`;
    await say(mark, 'x');
    for (const socket of [bob, unused]) {
      await socket.subscribe(mark);
      await socket.next('said', mark);
      const auth = signChannel(stage.app, socket.socketId, channel);
      socket.send('pusher:subscribe', { channel, auth });
      expect((await socket.closed).code).to.equal(4200);
    }
  });

  it('a cache channel keeps its last event, and not the revocation', async () => {
    const channel = `private-cache-${unique()}`;
    const bob = await raw(0);
    await bob.signin(stage.app, { id: 'bob' });
    await bob.subscribe(channel, stage.app);
    await happens('room.member.removed', { user: 'bob', channel });
    await bob.next(errorEvent, channel);
    const ann = await raw(1);
    await ann.subscribe(channel, stage.app);
    expect((await ann.next('left', channel)).data).to.equal('"bob"');
    await ann.roundTrip();
    expect(said(ann, channel)).to.deep.equal(['left "bob"']);
  });

  describe('sessions with continuity', () => {
    it('a live one leaves the channel, and is told why nothing more comes', async () => {
      const channel = `private-own-${unique()}`;
      const bob = await session(unique() + unique(), 0);
      await bob.signin(stage.app, { id: 'bob' });
      await bob.subscribe(channel, stage.app);
      await happens('room.member.removed', { user: 'bob', channel });
      expect((await bob.next(lostEvent, channel)).data).to.equal('{"reason":"unauthorized"}');
      await bob.next(errorEvent, channel);
      await say(channel, 'after');
      await bob.subscribe('news');
      await say('news', 'end');
      await bob.next('said', 'news');
      expect(bob.events(channel).map(({ event }) => event)).to.deep.equal(['left', lostEvent]);
    });

    it('one that acknowledges nothing is off the channel within a second all the same', async () => {
      const channel = `presence-${unique()}`;
      const bob = await session(unique() + unique(), 0);
      const ann = await raw(1);
      await bob.subscribe(channel, stage.app, '{"user_id":"bob"}');
      await ann.subscribe(channel, stage.app, '{"user_id":"ann"}');
      await bob.roundTrip();
      bob.answersPings = false;
      // More than is handed to a client that has acknowledged none of it.
      for (let n = 0; n < 60; n += 1) await say(channel, String(n));
      const startedMs = performance.now();
      await happens('room.member.removed', { user: 'bob', channel });
      await ann.next('pusher_internal:member_removed', channel);
      await bob.next(errorEvent, channel);
      expect(performance.now() - startedMs).to.be.below(1_000);
      expect(said(bob, channel)).not.to.include('left "bob"');
    });

    for (const order of ['signs in first', 'subscribes first'] as const) {
      it(`a parked one obeys what was said while it was away (a client that ${order})`, async () => {
        const [id, channel] = [unique() + unique(), `private-own-${unique()}`];
        const gone = await session(id, 0);
        await gone.signin(stage.app, { id: 'bob' });
        await gone.subscribe(channel, stage.app);
        await gone.subscribe(`news-${id}`);
        await gone.roundTrip();
        gone.terminate();
        await say(channel, 'before');
        await removed('bob', channel);
        await say(channel, 'after');
        await say(`news-${id}`, 'end');
        const bob = await session(id, 1);
        const { data } = await bob.next('warren:session');
        expect(JSON.parse(String(data))).to.include({ resumed: true });
        if (order === 'signs in first') await bob.signin(stage.app, { id: 'bob' });
        const auth = signChannel(stage.app, bob.socketId, channel);
        bob.send('pusher:subscribe', { channel, auth });
        await bob.next(errorEvent, channel);
        if (order === 'subscribes first') await bob.signin(stage.app, { id: 'bob' });
        await bob.subscribe(`news-${id}`);
        await bob.next('said', `news-${id}`);
        await say(channel, 'live');
        await say(`news-${id}`, 'over');
        await bob.next('said', `news-${id}`);
        expect(said(bob, channel)).not.to.include.members(['said "after"']);
        expect(said(bob, channel)).not.to.include.members(['said "live"']);
      });
    }
  });

  it('a user who is disconnected loses every socket that is known to be theirs, on all edges; nobody else does', async () => {
    const room = `presence-${unique()}`;
    const tabs = [await page(0, 'mallory'), await page(1, 'mallory')];
    const ann = await page(0, 'ann');
    const member = await raw(1);
    await member.subscribe(room, stage.app, '{"user_id":"mallory"}');
    const guest = await raw(0);
    await guest.subscribe(room, stage.app, '{"user_id":"guest"}');
    const elsewhere = await raw(0, '/app/other-key?protocol=7');
    await elsewhere.signin({ key: 'other-key', secret: 'other-secret' }, { id: 'mallory' });
    const startedMs = performance.now();
    await happens('user.suspended', { user: 'mallory' });
    await eventually(() => {
      // Stock clients do not come back after 4009.
      for (const tab of tabs) expect(tab.connection.state).to.equal('disconnected');
    });
    expect((await member.closed).code).to.equal(4009);
    expect(performance.now() - startedMs).to.be.below(1_000);
    await guest.next('pusher_internal:member_removed', room);
    for (const socket of [guest, elsewhere]) await socket.roundTrip();
    expect(ann.connection.state).to.equal('connected');
  });

  it('a user who has left a presence channel is not known by it any more', async () => {
    const room = `presence-${unique()}`;
    const [gone, here] = [await raw(0), await raw(0)];
    for (const socket of [gone, here]) {
      await socket.subscribe(room, stage.app, '{"user_id":"trent"}');
    }
    gone.send('pusher:unsubscribe', { channel: room });
    await gone.roundTrip();
    await happens('user.suspended', { user: 'trent' });
    expect((await here.closed).code).to.equal(4009);
    await gone.roundTrip();
  });
});
