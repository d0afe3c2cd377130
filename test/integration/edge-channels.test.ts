/** Subscribing, unsubscribing and what arrives in between, over raw sockets. */
import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import { createMemoryBroker } from '../../broker/memory/broker.ts';
import type { Delivery } from '../../broker/port.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import { defaultLimits } from '../../contracts/pusher/limits.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import { systemClock } from '../../runtime/clock.ts';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';

const succeeded = 'pusher_internal:subscription_succeeded';
const refused = 'pusher:subscription_error';

describe('edge channels', () => {
  let test: TestEdge;
  const start = async (options?: TestEdgeOptions) => {
    test = await startTestEdge(options);
    return test;
  };
  const publish = async (channel: string, name: string, more: object = {}) => {
    const response = await test.post('/apps/app-id/events', { name, channel, data: '{}', ...more });
    expect(response.status, await response.text()).to.equal(200);
  };
  afterEach(() => test.close());

  it('answers a public subscription and then delivers', async () => {
    await start();
    const client = await test.connect();
    client.send('pusher:subscribe', { channel: 'news', auth: '' });
    const success = await client.next(succeeded);
    expect(success).to.deep.equal({ event: succeeded, channel: 'news', data: '{}' });
    await publish('news', 'hello', { data: '{"text":"\\u00e9","n":1.0}' });
    const event = await client.next('hello');
    expect(event).to.include({ channel: 'news', data: '{"text":"\\u00e9","n":1.0}' });
    expect(event['id']).to.be.a('string').with.length.greaterThan(10);
  });

  it('takes subscribe data as a string of JSON too', async () => {
    await start();
    const client = await test.connect();
    client.send('pusher:subscribe', JSON.stringify({ channel: 'news' }));
    await client.next(succeeded, 'news');
  });

  it('lets signed sockets into private, encrypted and cache channels', async () => {
    await start();
    const client = await test.connect();
    for (const channel of ['private-a', 'private-encrypted-b', 'private-cache-c', 'cache-d']) {
      await client.subscribe(channel, test.app);
      await publish(channel, 'hello');
      expect((await client.next('hello')).channel).to.equal(channel);
    }
  });

  it('refuses a bad signature per channel and keeps the socket open', async () => {
    await start();
    const client = await test.connect();
    const other = signChannel({ ...test.app, secret: 'other' }, client.socketId, 'private-a');
    for (const auth of [other, 'app-key:', '', 'x'.repeat(1_000)]) {
      client.send('pusher:subscribe', { channel: 'private-a', auth });
      const error = await client.next(refused);
      expect(error.channel).to.equal('private-a');
      expect(error.data).to.include({ type: 'AuthError', status: 401 });
    }
    await publish('private-a', 'secret');
    await client.subscribe('private-a', test.app);
    await client.roundTrip();
    expect(client.events('private-a')).to.deep.equal([]);
  });

  it('refuses presence without a member and user channels of others, without opening anything', async () => {
    await start();
    const client = await test.connect();
    for (const channel of ['presence-room', '#server-to-user-7']) {
      client.send('pusher:subscribe', {
        channel,
        auth: signChannel(test.app, client.socketId, channel),
      });
      expect((await client.next(refused, channel)).data).to.include({ status: 401 });
    }
    await eventually(() => expect(test.held()).to.deep.equal({ queues: 0, bindings: 0 }));
  });

  it('refuses names that are not legal, with the name where it can be one', async () => {
    await start();
    const client = await test.connect();
    for (const channel of ['', '#', 'a b', 'private-', 'é', 'x'.repeat(201), '*', '\ud800']) {
      client.send('pusher:subscribe', { channel });
      const error = await client.next(refused);
      expect(error.data).to.include({ type: 'InvalidChannel', status: 400 });
      expect(error.channel).to.equal(channel);
    }
    client.send('pusher:subscribe', { channel: 'x'.repeat(5_000) });
    const error = await client.next('pusher:error');
    expect(error.data).to.include({ type: 'invalid_channel_name', code: null });
  });

  it('answers a repeated subscribe with success once more and delivers once', async () => {
    await start();
    const client = await test.connect();
    client.send('pusher:subscribe', { channel: 'news' });
    client.send('pusher:subscribe', { channel: 'news' });
    await client.next(succeeded);
    await client.next(succeeded);
    await client.subscribe('news');
    await publish('news', 'once');
    await publish('news', 'last');
    await client.next('last');
    expect(client.events('news').map(({ event }) => event)).to.deep.equal(['once', 'last']);
    expect(await test.metric('warren_subscriptions')).to.equal(1);
  });

  it('keeps a subscription whose repetition is not signed', async () => {
    await start();
    const client = await test.connect();
    await client.subscribe('private-a', test.app);
    client.send('pusher:subscribe', { channel: 'private-a', auth: 'nonsense' });
    await client.next(refused);
    await publish('private-a', 'still');
    await client.next('still');
  });

  it('limits the channels of a connection, and a place that was left is free again', async () => {
    await start({ apps: [{ limits: { ...defaultLimits, channelsPerConnection: 2 } }] });
    const client = await test.connect();
    await client.subscribe('one');
    await client.subscribe('two');
    client.send('pusher:subscribe', { channel: 'three' });
    expect((await client.next(refused, 'three')).data).to.include({ type: 'LimitReached' });
    await client.subscribe('two');
    client.send('pusher:unsubscribe', { channel: 'one' });
    await client.subscribe('three');
  });

  it('delivers nothing after an unsubscribe, and only what is new after coming back', async () => {
    await start();
    const client = await test.connect();
    await client.subscribe('news');
    await publish('news', 'one');
    client.send('pusher:unsubscribe', { channel: 'news' });
    client.send('pusher:unsubscribe', { channel: 'never subscribed' });
    await client.roundTrip();
    await eventually(() => expect(test.held().bindings).to.equal(0));
    await publish('news', 'two');
    await client.subscribe('news');
    await publish('news', 'three');
    await client.next('three');
    expect(client.events('news').map(({ event }) => event)).to.deep.equal(['one', 'three']);
    expect(test.held().bindings).to.equal(1);
  });

  it('survives any haste of subscribing and unsubscribing with the last word standing', async () => {
    await start();
    const client = await test.connect();
    for (let round = 0; round < 20; round += 1) {
      client.send('pusher:subscribe', { channel: 'on' });
      client.send('pusher:unsubscribe', { channel: 'on' });
      client.send('pusher:subscribe', { channel: 'off' });
      client.send('pusher:unsubscribe', { channel: 'off' });
    }
    client.send('pusher:subscribe', { channel: 'on' });
    await client.roundTrip();
    await eventually(() => expect(test.held().bindings).to.equal(1));
    await client.subscribe('on');
    await publish('off', 'off');
    await publish('on', 'on');
    await client.next('on');
    expect(client.events('on')).to.have.length(1);
    expect(client.events('off')).to.have.length(0);
  });

  it('leaves out the socket that the publisher excludes', async () => {
    await start();
    const [sender, other] = [await test.connect(), await test.connect()];
    await sender.subscribe('news');
    await other.subscribe('news');
    await publish('news', 'to others', { socket_id: sender.socketId });
    await publish('news', 'to all');
    await sender.next('to all');
    await other.next('to all');
    expect(sender.events('news').map(({ event }) => event)).to.deep.equal(['to all']);
    expect(other.events('news').map(({ event }) => event)).to.deep.equal(['to others', 'to all']);
  });

  it('keeps apps apart that use the same channel names', async () => {
    const { app } = await start();
    await test.close();
    await start({ apps: [app, { ...app, id: 'second' as typeof app.id, key: 'second-key' }] });
    const [one, two] = [await test.connect(), await test.connect('/app/second-key?protocol=7')];
    await one.subscribe('news');
    await two.subscribe('news');
    await publish('news', 'for the first');
    await one.next('for the first');
    await two.roundTrip();
    expect(two.events('news')).to.deep.equal([]);
    const signed = signChannel(test.app, two.socketId, 'private-a');
    two.send('pusher:subscribe', { channel: 'private-a', auth: signed });
    await two.next(refused, 'private-a');
  });

  it('opens a queue with the first subscription, binds once per channel, and closes it with the socket', async () => {
    await start();
    const client = await test.connect();
    await client.roundTrip();
    await eventually(() => expect(test.held()).to.deep.equal({ queues: 0, bindings: 0 }));
    await client.subscribe('one');
    await client.subscribe('two');
    expect(test.held()).to.include({ queues: 1, bindings: 2 });
    expect(await test.metric('warren_channels')).to.equal(2);
    client.terminate();
    await eventually(() => expect(test.held()).to.include({ queues: 0, bindings: 0 }));
    expect(await test.metric('warren_subscriptions')).to.equal(0);
  });

  it('waits with a subscription until the broker is there, and says nothing meanwhile', async () => {
    await start();
    test.broker.setOutage(true);
    const client = await test.connect();
    client.send('pusher:subscribe', { channel: 'news' });
    client.send('pusher:subscribe', { channel: 'left again' });
    client.send('pusher:subscribe', { channel: 'left.again' });
    client.send('pusher:unsubscribe', { channel: 'left.again' });
    await client.roundTrip();
    expect(client.frames.map(({ event }) => event)).not.to.include(succeeded);
    test.broker.setOutage(false);
    await client.next(succeeded, 'news');
    await publish('news', 'hello');
    await client.next('hello');
    expect(client.frames.filter(({ channel }) => channel === 'left.again')).to.deep.equal([]);
    await eventually(() => expect(test.held()).to.include({ queues: 1, bindings: 1 }));
  });

  it('leaves nothing at the broker for a socket that went while its subscription waited', async () => {
    await start();
    test.broker.setOutage(true);
    const client = await test.connect();
    client.send('pusher:subscribe', { channel: 'news' });
    await client.roundTrip();
    client.terminate();
    await eventually(async () => expect(await test.metric('warren_connections')).to.equal(0));
    test.broker.setOutage(false);
    const next = await test.connect();
    await next.subscribe('other');
    await eventually(() => expect(test.held()).to.include({ queues: 1, bindings: 1 }));
  });

  it('keeps sockets and subscriptions over a restart of the broker', async () => {
    await start();
    const client = await test.connect();
    await client.subscribe('news');
    await publish('news', 'before');
    await client.next('before');
    test.broker.setOutage(true);
    await client.roundTrip();
    test.broker.setOutage(false);
    await publish('news', 'after');
    await client.next('after');
    expect(client.frames.filter(({ event }) => event === succeeded)).to.have.length(1);
  });

  it('says so where the broker refuses for good, and gives the place back', async () => {
    const broker = createMemoryBroker({ clock: systemClock });
    await start({
      broker,
      apps: [{ limits: { ...defaultLimits, channelsPerConnection: 1 } }],
      sessionQueues: {
        async open(spec, receiver, signal) {
          const queue = await broker.sessionQueues.open(spec, receiver, signal);
          return {
            resumed: false,
            bind: async (key: ChannelKey) => {
              if (key.endsWith('forbidden')) throw new BrokerError('broker_forbidden', 'no');
              await queue.bind(key);
            },
            unbind: (key: ChannelKey) => queue.unbind(key),
            ack: (delivery: Pick<Delivery, 'tag' | 'epoch'>) => queue.ack(delivery),
            note: (text: string) => queue.note(text),
            reset: () => queue.reset(),
            park: () => queue.park(),
            close: () => queue.close(),
          };
        },
      },
    });
    const client = await test.connect();
    client.send('pusher:subscribe', { channel: 'forbidden' });
    expect((await client.next(refused, 'forbidden')).data).to.include({ status: 500 });
    await client.subscribe('news');
    await publish('news', 'hello');
    await client.next('hello');
    await broker.close();
  });

  it('tries again by itself where opening failed for now', async () => {
    const broker = createMemoryBroker({ clock: systemClock });
    const clock = createManualClock(Date.now());
    let attempts = 0;
    await start({
      broker,
      clock,
      sessionQueues: {
        open(spec, receiver, signal) {
          attempts += 1;
          if (attempts > 2) return broker.sessionQueues.open(spec, receiver, signal);
          return Promise.reject(new BrokerError('broker_timeout', 'not now'));
        },
      },
    });
    const client = await test.connect();
    client.send('pusher:subscribe', { channel: 'news' });
    await client.roundTrip();
    expect(client.frames.map(({ event }) => event)).not.to.include(refused);
    await eventually(() => {
      clock.advance(1_000);
      expect(attempts).to.equal(3);
    });
    await client.next(succeeded, 'news');
    await broker.close();
  });

  it('shows what happens in its metrics', async () => {
    await start();
    const client = await test.connect();
    await client.subscribe('news');
    await publish('news', 'hello');
    await client.next('hello');
    client.socket.send('?');
    await client.next('pusher:error');
    const text = await test.metrics.scrape();
    for (const line of [
      'warren_connections 1',
      'warren_subscriptions 1',
      'warren_channels 1',
      'warren_deliveries_total 1',
      'warren_frames_received_total{kind="subscribe"} 1',
      'warren_frames_received_total{kind="invalid"} 1',
      'warren_client_errors_total{code="invalid_frame"} 1',
      'warren_http_requests_total{status="200"} 1',
    ]) {
      expect(text).to.include(line);
    }
    expect(await test.metric('warren_deliveries_total')).to.equal(1);
  });
});
