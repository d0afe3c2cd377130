/** What services hear, and sockets that they answer to, on the embedded broker: what happens when something is away or slow. */
import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import { createMemoryBroker, type MemoryBroker } from '../../broker/memory/broker.ts';
import type { EgressEvent } from '../../contracts/egress-event.ts';
import type { AppId, SocketId } from '../../contracts/ids.ts';
import { createPublication } from '../../contracts/publication.ts';
import { socketTarget } from '../../contracts/socket-target.ts';
import { systemClock } from '../../runtime/clock.ts';
import {
  startTestEdge,
  type TestClient,
  type TestEdge,
  type TestEdgeOptions,
} from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';

const channel = 'private-room';

describe('edge egress', () => {
  let broker: MemoryBroker;
  let test: TestEdge;
  let heard: EgressEvent[] = [];
  beforeEach(() => {
    broker = createMemoryBroker({ clock: systemClock });
    heard = [];
    broker.listen('#', (event) => heard.push(event));
  });
  afterEach(async () => {
    await test.close();
    await broker.close();
  });

  async function start(options: TestEdgeOptions = {}): Promise<TestClient> {
    test = await startTestEdge({ apps: [{ clientEvents: true }], broker, ...options });
    const client = await test.connect();
    await client.subscribe(channel, test.app);
    return client;
  }
  const bodies = () => heard.map(({ body }) => body.toString());
  const say = (client: TestClient, text: string) =>
    client.socket.send(`{"event":"client-hi","channel":"${channel}","data":${text}}`);

  it('passes data on byte for byte, whatever it is', async () => {
    const client = await start();
    const other = await test.connect();
    await other.subscribe(channel, test.app);
    const texts = ['{"b":1.0, "a" :[ ]}', '"text"', '12345678901234567890', 'null', '"\\u00e9"'];
    for (const text of texts) say(client, text);
    client.socket.send(`{"data":1,"event":"client-hi","channel":"${channel}", "data" : [2 ] }`);
    client.socket.send(`{"event":"client-hi","channel":"${channel}"}`);
    await eventually(() => expect(bodies()).to.deep.equal([...texts, '[2 ]', 'null']));
    // The others get the id that services get.
    const ids = () => other.events(channel).map(({ id }) => id);
    await eventually(() => expect(ids()).to.deep.equal(heard.map(({ id }) => id)));
  });

  it('says nothing where it is turned off, also by a reload, and nothing of what was rejected', async () => {
    const client = await start({ egress: { clientEvents: false } });
    const reload = (clientEvents: boolean) =>
      test.edge.reload({
        apps: [test.app],
        events: [],
        channels: [],
        egress: { clientEvents, presence: false, occupancy: false },
      });
    say(client, '1');
    await client.roundTrip();
    reload(true);
    client.send('client-hi', 2, { channel: 'private-other' });
    await client.next('pusher:error');
    say(client, '3');
    await eventually(() => expect(bodies()).to.deep.equal(['3']));
    reload(false);
    say(client, '4');
    await client.roundTrip();
    reload(true);
    say(client, '5');
    await eventually(() => expect(bodies()).to.deep.equal(['3', '5']));
  });

  it('keeps for services what other clients have got, in order and with its id, until the broker takes it', async () => {
    const clock = createManualClock();
    let away = true;
    const tries: string[] = [];
    const clientEvents = {
      publish: async (event: EgressEvent) => {
        tries.push(event.id);
        if (away) throw new BrokerError('broker_timeout', 'no confirm');
        await broker.clientEvents.publish(event);
      },
    };
    const client = await start({ clock, link: { ...broker, clientEvents } });
    const other = await test.connect();
    await other.subscribe(channel, test.app);
    for (let n = 0; n < 5; n += 1) say(client, String(n));
    await eventually(() => expect(other.events(channel)).to.have.length(5));
    await eventually(() => expect(tries).to.have.length(5));
    expect(await test.metric('warren_egress_events_waiting')).to.equal(5);
    away = false;
    clock.advance(1_000);
    await eventually(() => expect(bodies()).to.deep.equal(['0', '1', '2', '3', '4']));
    expect(heard.map(({ id }) => id)).to.deep.equal(tries.slice(0, 5));
    expect(await test.metric('warren_egress_events_total')).to.equal(5);
    expect(await test.metric('warren_egress_events_waiting')).to.equal(0);
  });

  it('tells the sender, and no service, where the broker is away', async () => {
    const client = await start();
    broker.setReachable(false);
    say(client, '1');
    expect((await client.next('pusher:error')).data).to.include({ code: 4301 });
    broker.setReachable(true);
    await eventually(() => expect(test.edge.readiness().ready).to.equal(true));
    say(client, '2');
    await eventually(() => expect(bodies()).to.deep.equal(['2']));
  });

  it('counts what a queue of a service refuses, and does not say it again', async () => {
    let refusing = true;
    const clientEvents = {
      publish: async (event: EgressEvent) => {
        if (refusing) throw new BrokerError('broker_refused', 'nacked');
        await broker.clientEvents.publish(event);
      },
    };
    const client = await start({ link: { ...broker, clientEvents } });
    say(client, '1');
    await eventually(async () =>
      expect(await test.metric('warren_egress_events_dropped_total', 'refused')).to.equal(1),
    );
    refusing = false;
    say(client, '2');
    await eventually(() => expect(bodies()).to.deep.equal(['2']));
  });

  it('hands over what waits when the edge stops', async () => {
    let confirm = () => {};
    const confirmed = new Promise<void>((resolve) => {
      confirm = resolve;
    });
    const clientEvents = {
      publish: async (event: EgressEvent) => {
        await broker.clientEvents.publish(event);
        await confirmed;
      },
    };
    const client = await start({ link: { ...broker, clientEvents } });
    say(client, '1');
    await eventually(() => expect(bodies()).to.deep.equal(['1']));
    let stopped = false;
    const stopping = test.edge.stop(5_000).then(() => {
      stopped = true;
    });
    await client.closed;
    expect(stopped).to.equal(false);
    confirm();
    await stopping;
    expect(await test.metric('warren_egress_events_total')).to.equal(1);
  });
});

describe('edge sockets as targets', () => {
  let test: TestEdge;
  afterEach(() => test.close());

  const send = (
    socketId: SocketId,
    data: string,
    more: { readonly app?: string; readonly except?: SocketId } = {},
  ) =>
    test.broker.channelPublisher.publish(
      createPublication({
        appId: (more.app ?? 'app-id') as AppId,
        channel: socketTarget(socketId).name,
        toSocket: true,
        event: 'reply',
        data,
        id: data,
        ...(more.except === undefined ? {} : { except: more.except }),
      }),
    );
  const replies = (client: TestClient) => client.frames.filter(({ event }) => event === 'reply');

  it('writes a frame without a channel to that socket, and to no other', async () => {
    test = await startTestEdge();
    const [one, two] = [await test.connect(), await test.connect()];
    await send(one.socketId, '1');
    await send(two.socketId, '2');
    await send('999999999999.1' as SocketId, '3');
    await eventually(() => {
      expect(one.texts.at(-1)).to.equal('{"event":"reply","data":"1","id":"1"}');
      expect(replies(two)).to.deep.equal([{ event: 'reply', data: '2', id: '2' }]);
    });
    expect(replies(one)).to.have.length(1);
  });

  it('keeps apps apart, also those that a reload brings or takes', async () => {
    test = await startTestEdge({
      apps: [{}, { id: 'other' as AppId, key: 'other-key', secret: 's' }],
    });
    const client = await test.connect();
    await send(client.socketId, 'from another app', { app: 'other' });
    const config = {
      events: [],
      channels: [],
      egress: { clientEvents: true, presence: false, occupancy: false },
    };
    const third = { ...test.app, id: 'third' as AppId, key: 'third-key' };
    test.edge.reload({ ...config, apps: [test.app, third] });
    const newcomer = await test.connect('/app/third-key?protocol=7');
    await send(newcomer.socketId, 'to a new app', { app: 'third' });
    await newcomer.next('reply');
    test.edge.reload({ ...config, apps: [test.app] });
    expect(await send(newcomer.socketId, 'gone', { app: 'third' })).to.deep.equal({
      routed: false,
    });
    await send(client.socketId, 'own');
    expect((await client.next('reply')).data).to.equal('own');
  });

  it('leaves out the socket that `except` names', async () => {
    test = await startTestEdge();
    const client = await test.connect();
    await send(client.socketId, 'excluded', { except: client.socketId });
    await send(client.socketId, 'own');
    expect((await client.next('reply')).data).to.equal('own');
    expect(await test.metric('warren_deliveries_dropped_total', 'excluded')).to.equal(1);
  });

  it('closes a socket that does not read, with a code after which it comes back', async () => {
    test = await startTestEdge({ settings: { socketBufferBytes: 16_384 } });
    const client = await test.connect();
    client.socket.pause();
    const data = 'x'.repeat(60_000);
    await eventually(async () => {
      await send(client.socketId, data);
      expect(await test.metric('warren_connections_closed_total', 'code="4100"')).to.equal(1);
    });
    client.socket.resume();
    expect((await client.closed).code).to.equal(4100);
  });

  it('is there again after the broker was away', async () => {
    test = await startTestEdge();
    const client = await test.connect();
    test.broker.interrupt();
    await eventually(() => expect(test.edge.readiness().ready).to.equal(true));
    await send(client.socketId, 'again');
    await client.next('reply');
  });
});
