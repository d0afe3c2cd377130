/** Unmodified clients: pusher-js and the server SDK, as a user has them. */
import { createRequire } from 'node:module';
import { expect } from 'chai';
import PusherServer from 'pusher';
import { first, openPusher, type PusherClient, subscribed } from '../support/clients.ts';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';

type Authorized = (error: null, answer: unknown) => void;

describe('edge with stock clients', () => {
  let test: TestEdge;
  let server: PusherServer;
  const clients: PusherClient[] = [];

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

  function open(options: object = {}): PusherClient {
    const client = openPusher(test.edge.port, {
      channelAuthorization: {
        transport: 'ajax',
        endpoint: '',
        customHandler: (
          { socketId, channelName }: { socketId: string; channelName: string },
          callback: Authorized,
        ) => callback(null, server.authorizeChannel(socketId, channelName)),
      },
      ...options,
    });
    clients.push(client);
    return client;
  }

  async function connect(options: object = {}): Promise<PusherClient> {
    const client = open(options);
    await first(client.connection, 'connected');
    return client;
  }

  async function subscribe(client: PusherClient, name: string) {
    const channel = client.subscribe(name);
    await subscribed(channel);
    return channel;
  }

  it('carries a trigger of the server SDK to public and private subscribers', async () => {
    await start();
    const client = await connect();
    const news = await subscribe(client, 'news');
    const room = await subscribe(client, 'private-room.1');
    const events = Promise.all([first(news, 'hello'), first(room, 'hello')]);
    const response = await server.trigger(['news', 'private-room.1'], 'hello', { text: 'é' });
    expect(response.status).to.equal(200);
    expect(await response.json()).to.deep.equal({});
    expect(await events).to.deep.equal([{ text: 'é' }, { text: 'é' }]);
  });

  it('carries a batch, and leaves out the socket that the SDK names', async () => {
    await start();
    const [sender, other] = [await connect(), await connect()];
    const mine = await subscribe(sender, 'news');
    const theirs = await subscribe(other, 'news');
    const seen: unknown[] = [];
    mine.bind_global((event: string) => seen.push(event));
    const done = Promise.all([first(mine, 'two'), first(theirs, 'one'), first(theirs, 'two')]);
    await server.triggerBatch([
      { channel: 'news', name: 'one', data: 1, socket_id: sender.connection.socket_id },
      { channel: 'news', name: 'two', data: 2 },
    ] as never);
    expect(await done).to.deep.equal([2, 1, 2]);
    expect(seen).to.deep.equal(['two']);
  });

  it('carries end-to-end encrypted events', async () => {
    await start();
    // The build for Node takes the cipher as an option; it is a dependency of pusher-js itself.
    const pusherJs = createRequire(import.meta.url).resolve('pusher-js');
    const nacl: unknown = createRequire(pusherJs)('tweetnacl');
    const client = await connect({ nacl });
    const channel = await subscribe(client, 'private-encrypted-x');
    const event = first(channel, 'secret');
    await server.trigger('private-encrypted-x', 'secret', { text: 'nobody else reads this' });
    expect(await event).to.deep.equal({ text: 'nobody else reads this' });
  });

  it('reports a refused channel to the application and stays connected', async () => {
    await start();
    const client = await connect({
      channelAuthorization: {
        transport: 'ajax',
        endpoint: '',
        customHandler: (_: unknown, callback: Authorized) =>
          callback(null, { auth: 'app-key:nonsense' }),
      },
    });
    const failure = await subscribe(client, 'private-a').catch((error: Error) => error.message);
    expect(failure).to.include('"type":"AuthError"').and.include('"status":401');
    expect(client.connection.state).to.equal('connected');
    await subscribe(client, 'news');
  });

  it('gives up on an unknown app, as the protocol wants it', async () => {
    await start({ apps: [{ key: 'another' }] });
    const client = open();
    const error = await first(client.connection, 'error');
    expect(error).to.have.nested.property('error.data.code', 4001);
    expect(client.connection.state).to.equal('disconnected');
  });

  it('gets its session frame when it asks for continuity by wsPath', async () => {
    await start();
    // It comes right behind the greeting: whoever wants to hear of it binds before it connects.
    const client = open({ wsPath: `/~s/${'s'.repeat(30)}` });
    const session = new Promise((resolve) => {
      client.connection.bind('message', (message: { event: string; data: unknown }) => {
        if (message.event === 'warren:session') resolve(message.data);
      });
    });
    await subscribe(client, 'news');
    expect(await session).to.deep.equal({ resumed: false, window: 60 });
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
    await eventually(() => expect(states[0]).to.equal('connecting'));
  });
});
