/** Own queues and the shared queue of an edge, over raw sockets: whatever road a subscriber has, it sees the same. */
import { expect } from 'chai';
import type { ChannelName } from '../../contracts/ids.ts';
import { createPublication } from '../../contracts/publication.ts';
import type { TestClient, TestEdge, TestEdgeOptions } from '../support/edge.ts';
import { startTestEdge } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';

const succeeded = 'pusher_internal:subscription_succeeded';

describe('edge roads', () => {
  let test: TestEdge;
  let clock: ManualClock;
  beforeEach(() => {
    clock = createManualClock(Date.now());
  });
  const start = async (options?: TestEdgeOptions) => {
    test = await startTestEdge(options);
    return test;
  };
  const publish = async (channel: string, name: string, more: object = {}) => {
    const response = await test.post('/apps/app-id/events', { name, channel, data: '{}', ...more });
    expect(response.status, await response.text()).to.equal(200);
  };
  /** Past the HTTP API, as the router does. */
  const flood = (channel: string, count: number, data: string, from = 0) =>
    Promise.all(
      Array.from({ length: count }, (_, n) =>
        test.broker.channelPublisher.publish(
          createPublication({
            appId: test.app.id,
            channel: channel as ChannelName,
            event: `e${from + n}`,
            data,
          }),
        ),
      ),
    );
  const subscribers = async (count: number, channel = 'news') => {
    const clients: TestClient[] = [];
    for (let n = 0; n < count; n += 1) {
      const client = await test.connect();
      await client.subscribe(channel, test.app);
      clients.push(client);
    }
    return clients;
  };
  const names = (client: TestClient, channel = 'news') =>
    client.events(channel).map(({ event }) => event);
  const roads = async () => ({
    own: await test.metric('warren_own_queues'),
    shared: await test.metric('warren_shared_bindings'),
  });
  afterEach(async () => {
    const closed = test.close();
    let isClosed = false;
    void closed.finally(() => {
      isClosed = true;
    });
    // Taking leave of the other edges waits for a moment, which a clock that stands still does not grant.
    await eventually(() => {
      clock.advance(100);
      expect(isClosed).to.equal(true);
    });
    await closed;
  });

  it('takes the shared queue from the third subscriber on, and all see each event once, in one order', async () => {
    await start({ settings: { hotAfter: 3 } });
    const clients = await subscribers(6);
    expect(await roads()).to.deep.equal({ own: 2, shared: 1 });
    expect(test.held()).to.deep.equal({ queues: 3, bindings: 3 });
    const events = Array.from({ length: 200 }, (_, n) => `e${n}`);
    for (const event of events) await publish('news', event);
    for (const client of clients) {
      await client.next('e199');
      expect(names(client)).to.deep.equal(events);
    }
    expect(await test.metric('warren_deliveries_total')).to.equal(6 * 200);
    expect(await test.metric('warren_deliveries_dropped_total')).to.equal(0);
  });

  it('leaves out the socket that the publisher excludes, on either road', async () => {
    await start({ settings: { hotAfter: 2 } });
    const clients = await subscribers(4);
    for (const { socketId } of clients) await publish('news', socketId, { socket_id: socketId });
    await publish('news', 'to all');
    for (const client of clients) {
      await client.next('to all');
      const others = clients.filter((other) => other !== client).map(({ socketId }) => socketId);
      expect(names(client)).to.deep.equal([...others, 'to all']);
    }
  });

  it('keeps one connection on either road for different channels', async () => {
    await start({ settings: { hotAfter: 2 } });
    const [first] = await subscribers(1, 'hot');
    const client = await test.connect();
    await client.subscribe('hot');
    await client.subscribe('cold');
    expect(await roads()).to.deep.equal({ own: 2, shared: 1 });
    for (const channel of ['hot', 'cold']) await publish(channel, channel);
    await eventually(() =>
      expect([names(client, 'hot'), names(client, 'cold')]).to.deep.equal([['hot'], ['cold']]),
    );
    expect(first === undefined ? [] : names(first, 'hot')).to.deep.equal(['hot']);
  });

  it('shows the last event of a cache channel and then only what is newer, while events keep coming', async () => {
    await start({ settings: { hotAfter: 1 } });
    let sent = 0;
    const publishNext = () => {
      sent += 1;
      return publish('cache-news', `e${sent}`);
    };
    await publishNext();
    const clients: TestClient[] = [];
    for (let round = 0; round < 10; round += 1) {
      const client = await test.connect();
      clients.push(client);
      client.send('pusher:subscribe', { channel: 'cache-news' });
      await Promise.all([publishNext(), publishNext(), client.next(succeeded)]);
    }
    await publish('cache-news', 'last');
    for (const client of clients) {
      await client.next('last');
      const got = names(client, 'cache-news');
      const from = Number(got[0]?.slice(1));
      const wanted = Array.from({ length: sent - from + 1 }, (_, n) => `e${from + n}`);
      expect(got).to.deep.equal([...wanted, 'last']);
      expect(client.frames.map(({ event }) => event)).to.not.include('pusher:cache_miss');
    }
    expect((await roads()).own).to.equal(0);
  });

  it('does as the rules of the channels say', async () => {
    await start({
      settings: { hotAfter: 2 },
      channels: [
        { name: 'ticker.{symbol}', delivery: 'edge' },
        { name: 'private-{room}', delivery: 'session' },
        { name: 'presence-{room}', presenceGraceMs: 0 },
      ],
    });
    await subscribers(1, 'ticker.a');
    expect(await roads()).to.deep.equal({ own: 0, shared: 1 });
    const clients = await subscribers(4, 'private-room');
    expect(await roads()).to.deep.equal({ own: 4, shared: 1 });
    await subscribers(2, 'other');
    expect(await roads()).to.deep.equal({ own: 5, shared: 2 });
    await publish('private-room', 'hello');
    for (const client of clients) await client.next('hello');
  });

  it('does as the rules say from a reload on, for new subscriptions', async () => {
    await start();
    await subscribers(1);
    const { app } = test;
    test.edge.reload({
      apps: [app],
      events: [],
      channels: [{ index: 0, app: app.id, name: 'news', delivery: 'edge' }],
      egress: { clientEvents: true, presence: false, occupancy: false },
    });
    const [later] = await subscribers(1);
    expect(await roads()).to.deep.equal({ own: 1, shared: 1 });
    await publish('news', 'hello');
    await later?.next('hello');
  });

  it('keeps to the budget of own queues, and gives the place of one that went to the next', async () => {
    await start({ settings: { ownQueues: 2 } });
    const clients: TestClient[] = [];
    for (const channel of ['a', 'b', 'c', 'd']) clients.push(...(await subscribers(1, channel)));
    expect(await roads()).to.deep.equal({ own: 2, shared: 2 });
    for (const [n, channel] of ['a', 'b', 'c', 'd'].entries()) {
      await publish(channel, 'hello');
      await clients[n]?.next('hello', channel);
    }
    clients[0]?.terminate();
    await eventually(async () => expect((await roads()).own).to.equal(1));
    await subscribers(1, 'e');
    expect(await roads()).to.deep.equal({ own: 2, shared: 2 });
  });

  it('leaves a channel bound for a few seconds after its last subscriber, who sees nothing from meanwhile', async () => {
    await start({ clock, settings: { hotAfter: 1 } });
    const [client] = await subscribers(1);
    if (client === undefined) throw new Error('no client');
    const leave = async () => {
      client.send('pusher:unsubscribe', { channel: 'news' });
      await client.roundTrip();
    };
    await publish('news', 'one');
    await client.next('one');
    await leave();
    await publish('news', 'two');
    expect(test.held()).to.deep.equal({ queues: 1, bindings: 1 });
    await eventually(async () =>
      expect(await test.metric('warren_deliveries_dropped_total', 'reason="late"')).to.equal(1),
    );
    await client.subscribe('news');
    await publish('news', 'three');
    await client.next('three');
    await leave();
    clock.advance(5_000);
    expect(test.held()).to.deep.equal({ queues: 1, bindings: 0 });
    await publish('news', 'four');
    await client.subscribe('news');
    expect(test.held()).to.deep.equal({ queues: 1, bindings: 1 });
    await publish('news', 'five');
    await client.next('five');
    expect(names(client)).to.deep.equal(['one', 'three', 'five']);
  });

  it('unbinds for sockets that end without a word too, and deletes its queue when it stops', async () => {
    await start({ clock, settings: { hotAfter: 1 } });
    for (const client of await subscribers(3)) client.terminate();
    await eventually(async () => expect(await test.metric('warren_connections')).to.equal(0));
    expect(await test.metric('warren_shared_bindings_lingering')).to.equal(1);
    clock.advance(5_000);
    expect(test.held()).to.deep.equal({ queues: 1, bindings: 0 });
    await subscribers(1);
    await test.edge.stop(0);
    await eventually(() => expect(test.broker.counts().queues).to.equal(0));
  });

  it('survives any haste of subscribing and unsubscribing, with the last word standing', async () => {
    await start({ clock, settings: { hotAfter: 1 } });
    const client = await test.connect();
    for (let round = 0; round < 20; round += 1) {
      for (const channel of ['on', 'off']) {
        client.send('pusher:subscribe', { channel });
        client.send('pusher:unsubscribe', { channel });
      }
    }
    client.send('pusher:subscribe', { channel: 'on' });
    await client.roundTrip();
    await client.subscribe('on');
    await publish('off', 'off');
    await publish('on', 'on');
    await client.next('on');
    expect([names(client, 'on'), names(client, 'off')]).to.deep.equal([['on'], []]);
    clock.advance(5_000);
    expect(test.held()).to.deep.equal({ queues: 1, bindings: 1 });
  });

  it('greets and waits while the broker is away, and goes on by itself after an outage', async () => {
    await start({ settings: { hotAfter: 1 } });
    test.broker.setOutage(true);
    const early = await test.connect();
    early.send('pusher:subscribe', { channel: 'news' });
    await early.roundTrip();
    expect(early.frames.map(({ event }) => event)).to.not.include(succeeded);
    test.broker.setOutage(false);
    await early.next(succeeded);
    const [late] = await subscribers(1);
    await publish('news', 'before');
    test.broker.setOutage(true);
    test.broker.setOutage(false);
    await publish('news', 'after');
    for (const client of [early, late]) {
      await client?.next('after');
      expect(client === undefined ? [] : names(client)).to.deep.equal(['before', 'after']);
    }
    expect(await test.metric('warren_shared_queue_interruptions_total')).to.equal(1);
    expect(early.frames.filter(({ event }) => event === succeeded)).to.have.length(1);
  });

  it('closes a reader that stalls under a flood with 4100, within its bound, while the others get everything', async function () {
    this.timeout(60_000);
    const bound = 65_536;
    // Nothing is due on this clock: the slow one is closed for its bytes alone, and has time to read that.
    await start({ clock, settings: { hotAfter: 1, socketBufferBytes: bound } });
    const clients = await subscribers(3);
    const [slow, ...quick] = clients;
    if (slow === undefined) throw new Error('no client');
    slow.socket.pause();
    const data = 'x'.repeat(10_000);
    const total = 1_500;
    let most = 0;
    for (let sent = 0; sent < total; sent += 10) {
      await flood('news', 10, data, sent);
      // Well within what the kernel takes for a client that reads.
      await eventually(() => {
        for (const client of quick) expect(client.events('news')).to.have.length(sent + 10);
      });
      most = Math.max(most, await test.metric('warren_socket_buffered_bytes'));
    }
    const order = quick.map((client) => names(client));
    expect(order[0]).to.deep.equal(order[1]);
    expect(new Set(order[0]).size).to.equal(total);
    expect(await test.metric('warren_connections_closed_total', 'code="4100"')).to.equal(1);
    expect(await test.metric('warren_subscriptions')).to.equal(2);
    // One frame over the bound closes it, and then comes the close frame.
    expect(most).to.be.within(bound, 4 * bound + 10_200);
    slow.socket.resume();
    expect((await slow.closed).code).to.equal(4100);
    expect(names(slow)).to.deep.equal((order[0] ?? []).slice(0, names(slow).length));
  });

  it('closes a reader that stays full for too long, though little comes', async () => {
    await start({ clock, settings: { hotAfter: 1, socketBufferBytes: 16_384 } });
    const [slow] = await subscribers(1);
    if (slow === undefined) throw new Error('no client');
    slow.socket.pause();
    const data = 'x'.repeat(10_000);
    // A turn later what was pushed has been written, as far as the kernel takes it.
    const written = () => new Promise((resolve) => setImmediate(resolve));
    const buffered = () => test.metric('warren_socket_buffered_bytes');
    for (let sent = 0; (await buffered()) <= 16_384; sent += 1) {
      await flood('news', 1, data, sent);
      await written();
    }
    expect(await test.metric('warren_connections_closed_total', 'code="4100"')).to.equal(0);
    clock.advance(30_000);
    expect(await test.metric('warren_connections_closed_total', 'code="4100"')).to.equal(1);
  });
});
