/** Services hear clients and answer them: RabbitMQ, two edges, a router, stock pusher-js, and a service that speaks AMQP alone. */
import { readFileSync } from 'node:fs';
import type { ChannelModel, ConfirmChannel } from 'amqplib';
import { expect } from 'chai';
import { connectAmqp } from '../../broker/amqp/broker.ts';
import type { Broker } from '../../broker/port.ts';
import { loadConfig } from '../../config/load.ts';
import { startRouter } from '../../router/main.ts';
import { systemClock } from '../../runtime/clock.ts';
import type { Role } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';
import { brokerUrl, connectToBroker } from '../support/broker.ts';
import {
  connected,
  openPusher,
  type PusherClient,
  signedBy,
  subscribed,
} from '../support/clients.ts';
import { eventually } from '../support/eventually.ts';
import { type Stage, startStage } from '../support/stage.ts';

interface Heard {
  readonly key: string;
  readonly body: string;
  /** Without the prefix. */
  readonly attributes: Readonly<Record<string, unknown>>;
}

const rules = `
apps: [{ id: app-id, key: app-key, secret: app-secret, clientEvents: true }]
events:
  - { on: answer.user, to: 'user:{data.userId}', as: answer, data: '{data.text}' }
  - { on: answer.ready, to: 'socket:{data.socketId}', as: answer, data: '{data.text}' }
  - { on: answer.socket, to: 'socket:{data.socketId}', as: answer, data: '{data.text}' }
`;

describe('services that talk back', function () {
  this.timeout(30_000);
  let stage: Stage;
  let service: ChannelModel;
  let publisher: ConfirmChannel;
  let link: Broker;
  let router: Role;
  let metrics: Metrics;
  let heard: Heard[] = [];
  const clients: PusherClient[] = [];

  before(async () => {
    stage = await startStage(2, {
      apps: [{ clientEvents: true }],
      egress: { presence: true, occupancy: true },
      clusterTimings: { vanishDelayMs: 300 },
    });
    const config = loadConfig(rules, { path: 'warren.yaml', production: false });
    if (!config.ok) throw new Error(config.problems[0]?.message);
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
    metrics = createMetrics();
    const settings = { routerPrefetch: 10 };
    router = await startRouter({
      broker: link,
      config: config.config,
      settings,
      clock: systemClock,
      log,
      metrics,
    });
    await eventually(() => expect(router.readiness()).to.deep.equal({ ready: true }), 20_000);
    service = await connectToBroker();
    publisher = await service.createConfirmChannel();
    const { queue } = await publisher.assertQueue('', { exclusive: true });
    await publisher.bindQueue(queue, stage.names.clients, 'app-id.#');
    await publisher.consume(
      queue,
      (message) => {
        if (message === null) return;
        const headers = Object.entries(message.properties.headers ?? {});
        const attributes = headers.map(([name, value]) => [
          name.replace('cloudEvents:', ''),
          value,
        ]);
        heard.push({
          key: message.fields.routingKey,
          body: message.content.toString(),
          attributes: Object.fromEntries(attributes) as Record<string, unknown>,
        });
      },
      { noAck: true },
    );
  });
  after(async () => {
    await router.stop(1_000);
    await metrics.close();
    await link.close();
    await service.close();
    await stage.close();
  });
  beforeEach(() => {
    heard = [];
  });
  afterEach(() => {
    for (const client of clients.splice(0)) client.disconnect();
  });

  const open = (edge: number, identity: Parameters<typeof signedBy>[1] = {}) => {
    const client = openPusher(stage.port(edge), signedBy(stage.app, identity));
    clients.push(client);
    return client;
  };
  const join = async (client: PusherClient, name: string) => {
    const channel = client.subscribe(name);
    await subscribed(channel);
    return channel;
  };
  const signedIn = (client: PusherClient) =>
    new Promise<void>((resolve) => {
      client.connection.bind('message', ({ event }: { readonly event: string }) => {
        if (event === 'pusher:signin_success') resolve();
      });
      client.signin();
    });
  const publish = (key: string, data: object) =>
    new Promise<void>((resolve, reject) => {
      publisher.publish(
        stage.names.domainEvents,
        key,
        Buffer.from(JSON.stringify(data)),
        {},
        (error: unknown) => (error === null ? resolve() : reject(error)),
      );
    });
  const about = (name: string, ...types: string[]) =>
    heard.filter(
      ({ attributes }) =>
        attributes['channel'] === name &&
        (types.length === 0 || types.includes(String(attributes['type']))),
    );

  it('a signed-in user and a presence member are named, a mere subscriber is not, whatever the data claims', async () => {
    const user = open(0, { user: { id: 'ada' } });
    await signedIn(user);
    const member = open(1, { member: { user_id: 'bob' } });
    const nobody = open(1);
    const claim = { user_id: 'eve', userid: 'eve', user: { id: 'eve' } };
    (await join(user, 'private-talk')).trigger('client-hi', { by: 'ada', ...claim });
    (await join(member, 'presence-talk')).trigger('client-hi', { by: 'bob', ...claim });
    (await join(nobody, 'private-talk')).trigger('client-hi', { by: 'nobody', ...claim });
    // As no stock client would: what others say of a sender stands in the frame.
    const socket = nobody.connection as unknown as { send(text: string): void };
    const frame = { event: 'client-raw', channel: 'private-talk', data: claim, ...claim };
    socket.send(JSON.stringify({ ...frame, socket_id: '1.1', socketid: '1.1' }));
    const types = ['client-hi', 'client-raw'];
    const all = () => [...about('private-talk', ...types), ...about('presence-talk', ...types)];
    await eventually(() => expect(all()).to.have.length(4));
    const by = (text: string) => all().find(({ body }) => body.includes(`"by":"${text}"`));
    expect(by('ada')?.key).to.equal('app-id.private.client-hi');
    expect(by('ada')?.attributes).to.include({
      specversion: '1.0',
      source: '/apps/app-id',
      type: 'client-hi',
      datacontenttype: 'application/json',
      app: 'app-id',
      channel: 'private-talk',
      socketid: user.connection.socket_id,
      userid: 'ada',
    });
    expect(by('ada')?.body).to.equal(JSON.stringify({ by: 'ada', ...claim }));
    expect(by('bob')?.key).to.equal('app-id.presence.client-hi');
    expect(by('bob')?.attributes).to.include({
      userid: 'bob',
      socketid: member.connection.socket_id,
    });
    for (const one of [by('nobody'), about('private-talk', 'client-raw')[0]]) {
      expect(one?.attributes).to.not.have.property('userid');
      expect(one?.attributes['socketid']).to.equal(nobody.connection.socket_id);
    }
    expect(new Set(all().map(({ attributes }) => attributes['id'])).size).to.equal(4);
  });

  it('a service answers one user, on all of their sockets, and one socket, and nobody else hears it', async () => {
    const tabs = [open(0, { user: { id: 'ada' } }), open(1, { user: { id: 'ada' } })] as const;
    const other = open(1, { user: { id: 'eve' } });
    const all = [...tabs, other];
    const seen = new Map(all.map((client) => [client, [] as unknown[]]));
    for (const client of all) {
      client.bind_global((event: string, data: unknown) => {
        if (event === 'answer') seen.get(client)?.push(data);
      });
      client.user.bind('answer', (data: unknown) => seen.get(client)?.push(data));
      await connected(client);
      await signedIn(client);
      await join(client, 'private-ask');
    }
    // What is asked says where the answer goes.
    tabs[1].channel('private-ask').trigger('client-ask', {});
    const [asked] = await eventually(() => {
      expect(about('private-ask', 'client-ask')).to.have.length(1);
      return about('private-ask', 'client-ask');
    });
    const { socketid: socketId, userid: userId } = asked?.attributes ?? {};
    const received = () => all.map((client) => [...new Set(seen.get(client))].sort());
    await eventually(async () => {
      // The channel of a user is subscribed to by the client after it has signed in, on its own time.
      await publish('answer.user', { userId, text: 'to the user' });
      expect(received()).to.deep.equal([['to the user'], ['to the user'], []]);
    });
    await publish('answer.socket', { socketId, text: 'to the socket' });
    await eventually(() =>
      expect(received()).to.deep.equal([['to the user'], ['to the socket', 'to the user'], []]),
    );
    await publish('answer.socket', {
      socketId: tabs[0].connection.socket_id,
      text: 'to the first',
    });
    await eventually(() =>
      expect(received()).to.deep.equal([
        ['to the first', 'to the user'],
        ['to the socket', 'to the user'],
        [],
      ]),
    );
  });

  it('the service in docs/talking-back.md works as it stands there', async () => {
    const page = readFileSync(new URL('../../docs/talking-back.md', import.meta.url), 'utf8');
    const [, code] = /```js\n(import .*?)```/s.exec(page) ?? [];
    const { domainEvents, clients: exchange, prefix } = stage.names;
    const body = String(code)
      .replace(/^import .*$/m, '')
      .replaceAll("'domain.events'", `'${domainEvents}'`)
      .replaceAll("'warren.clients'", `'${exchange}'`)
      .replaceAll("'answers'", `'${prefix}answers'`);
    const opened: ChannelModel[] = [];
    const connect = async () => {
      const connection = await connectToBroker();
      opened.push(connection);
      return connection;
    };
    const AsyncFunction = (async () => undefined).constructor as FunctionConstructor;
    await new AsyncFunction('connect', body)(connect);
    try {
      const client = open(0, { user: { id: 'ada' } });
      await signedIn(client);
      const answer = new Promise((resolve) => client.bind('answer', resolve));
      (await join(client, 'private-desk')).trigger('client-ask', { text: 'how are you' });
      expect(await answer).to.equal('Hello ada, how are you?');
    } finally {
      await publisher.deleteQueue(`${prefix}answers`);
      for (const connection of opened) await connection.close();
    }
  });

  it('members come and go once per user, channels are occupied and vacated once, over edges and tabs', async () => {
    const name = 'presence-hall';
    const tabs = [0, 0, 1, 1].map((edge) => open(edge, { member: { user_id: 'ada' } }));
    const guest = open(1, { member: { user_id: 'bob' } });
    for (const client of [...tabs, guest]) await join(client, name);
    const kinds = () =>
      about(name).map(({ key, attributes }) => [key, attributes['userid'] ?? '-']);
    await eventually(() => expect(kinds()).to.have.length(3));
    for (const client of [...tabs, guest]) client.disconnect();
    await eventually(() => expect(kinds()).to.have.length(6));
    expect(kinds().sort()).to.deep.equal([
      ['app-id.presence.channel_occupied', '-'],
      ['app-id.presence.channel_vacated', '-'],
      ['app-id.presence.member_added', 'ada'],
      ['app-id.presence.member_added', 'bob'],
      ['app-id.presence.member_removed', 'ada'],
      ['app-id.presence.member_removed', 'bob'],
    ]);
    const added = about(name, 'member_added')[0];
    expect(added?.body).to.equal('{"channel":"presence-hall","user_id":"ada"}');
    expect(about(name, 'channel_occupied')[0]?.body).to.equal('{"channel":"presence-hall"}');
    expect(added?.attributes).to.not.have.property('socketid');
  });
});
