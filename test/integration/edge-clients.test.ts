/** Unmodified clients: pusher-js and the server SDK, as a user has them. */
import { expect } from 'chai';
import PusherServer from 'pusher';
import PusherClient from 'pusher-js';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts';

type Client = InstanceType<typeof PusherClient>;

describe('edge with stock clients', () => {
  let test: TestEdge;
  let server: PusherServer;
  const clients: Client[] = [];

  const start = async (options?: TestEdgeOptions) => {
    test = await startTestEdge(options);
    server = new PusherServer({
      appId: 'app-id',
      key: 'app-key',
      secret: 'app-secret',
      host: '127.0.0.1',
      port: String(test.edge.port),
      useTLS: false,
      encryptionMasterKeyBase64: Buffer.alloc(32, 7).toString('base64'),
    });
  };
  afterEach(async () => {
    for (const client of clients.splice(0)) client.disconnect();
    await test.close();
  });

  function connect(options: object = {}): Promise<Client> {
    const client = new PusherClient('app-key', {
      cluster: '',
      wsHost: '127.0.0.1',
      wsPort: test.edge.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      channelAuthorization: {
        transport: 'ajax',
        endpoint: '',
        customHandler: ({ socketId, channelName }, callback) =>
          callback(null, server.authorizeChannel(socketId, channelName)),
      },
      ...options,
    });
    clients.push(client);
    return new Promise((resolve, reject) => {
      client.connection.bind('connected', () => resolve(client));
      client.connection.bind('failed', () => reject(new Error('failed')));
    });
  }

  function subscribed(client: Client, name: string): Promise<ReturnType<Client['subscribe']>> {
    const channel = client.subscribe(name);
    return new Promise((resolve, reject) => {
      channel.bind('pusher:subscription_succeeded', () => resolve(channel));
      channel.bind('pusher:subscription_error', (error: unknown) =>
        reject(new Error(JSON.stringify(error))),
      );
    });
  }

  function received(channel: ReturnType<Client['subscribe']>, event: string): Promise<unknown> {
    return new Promise((resolve) => {
      channel.bind(event, resolve);
    });
  }

  it('carries a trigger of the server SDK to public and private subscribers', async () => {
    await start();
    const client = await connect();
    const news = await subscribed(client, 'news');
    const room = await subscribed(client, 'private-room.1');
    const events = Promise.all([received(news, 'hello'), received(room, 'hello')]);
    const response = await server.trigger(['news', 'private-room.1'], 'hello', { text: 'é' });
    expect(response.status).to.equal(200);
    expect(await response.json()).to.deep.equal({});
    expect(await events).to.deep.equal([{ text: 'é' }, { text: 'é' }]);
  });

  it('carries a batch, and leaves out the socket that the SDK names', async () => {
    await start();
    const [sender, other] = [await connect(), await connect()];
    const mine = await subscribed(sender, 'news');
    const theirs = await subscribed(other, 'news');
    const seen: unknown[] = [];
    mine.bind_global((event: string) => seen.push(event));
    const done = Promise.all([
      received(mine, 'two'),
      received(theirs, 'one'),
      received(theirs, 'two'),
    ]);
    await server.triggerBatch([
      { channel: 'news', name: 'one', data: 1, socket_id: sender.connection.socket_id },
      { channel: 'news', name: 'two', data: 2 },
    ] as never);
    expect(await done).to.deep.equal([2, 1, 2]);
    expect(seen).to.deep.equal(['two']);
  });

  it('carries end-to-end encrypted events', async () => {
    await start();
    const { default: WithEncryption } = await import('pusher-js/with-encryption');
    const client = new WithEncryption('app-key', {
      cluster: '',
      wsHost: '127.0.0.1',
      wsPort: test.edge.port,
      forceTLS: false,
      enabledTransports: ['ws'],
      channelAuthorization: {
        transport: 'ajax',
        endpoint: '',
        customHandler: ({ socketId, channelName }, callback) =>
          callback(null, server.authorizeChannel(socketId, channelName)),
      },
    });
    clients.push(client as unknown as Client);
    const channel = client.subscribe('private-encrypted-x');
    await new Promise((resolve) => {
      channel.bind('pusher:subscription_succeeded', resolve);
    });
    const event = new Promise((resolve) => {
      channel.bind('secret', resolve);
    });
    await server.trigger('private-encrypted-x', 'secret', { text: 'nobody else reads this' });
    expect(await event).to.deep.equal({ text: 'nobody else reads this' });
  });

  it('reports a refused channel to the application and stays connected', async () => {
    await start();
    const client = await connect({
      channelAuthorization: {
        transport: 'ajax',
        endpoint: '',
        customHandler: (_: unknown, callback: (error: null, data: unknown) => void) =>
          callback(null, { auth: 'app-key:nonsense' }),
      },
    });
    const failure = await subscribed(client, 'private-a').catch((error: Error) => error.message);
    expect(JSON.parse(String(failure))).to.include({ type: 'AuthError', status: 401 });
    expect(client.connection.state).to.equal('connected');
    await subscribed(client, 'news');
  });

  it('gives up on an unknown app, as the protocol wants it', async () => {
    await start({ apps: [{ key: 'another' }] });
    const client = new PusherClient('app-key', {
      cluster: '',
      wsHost: '127.0.0.1',
      wsPort: test.edge.port,
      forceTLS: false,
      enabledTransports: ['ws'],
    });
    clients.push(client);
    const error = await new Promise((resolve) => {
      client.connection.bind('error', resolve);
    });
    expect(error).to.have.nested.property('error.data.code', 4001);
    expect(client.connection.state).to.equal('disconnected');
  });

  it('gets its session frame when it asks for continuity by wsPath', async () => {
    await start();
    const client = await connect({ wsPath: `/~s/${'s'.repeat(30)}` });
    const session = new Promise((resolve) => {
      client.connection.bind('message', (message: { event: string; data: unknown }) => {
        if (message.event === 'warren:session') resolve(message.data);
      });
    });
    await subscribed(client, 'news');
    expect(await session).to.deep.equal({ resumed: false, window: 0 });
  });

  it('comes back by itself when the edge drains, and is told before', async () => {
    await start();
    const client = await connect();
    const states: string[] = [];
    client.connection.bind('state_change', ({ current }: { current: string }) =>
      states.push(current),
    );
    const told = new Promise((resolve) => {
      client.connection.bind('message', ({ event }: { event: string }) => {
        if (event === 'warren:draining') resolve(event);
      });
    });
    const stopped = test.edge.stop(2_000);
    await told;
    await stopped;
    expect(states[0]).to.equal('connecting');
  });
});
