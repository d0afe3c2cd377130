/** Whatever a client sends: a typed answer or a proper close for it, and nothing at all for anybody else. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import fc from 'fast-check';
import { protocolPath, startTestEdge, type TestClient, type TestEdge } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';

describe('edge against hostile clients', () => {
  let test: TestEdge;
  let bystander: TestClient;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    test = await startTestEdge();
    bystander = await test.connect();
    await bystander.subscribe('news');
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    // Whatever happened, the others live on.
    await test.post('/apps/app-id/events', { name: 'alive', channel: 'news', data: '{}' });
    await bystander.next('alive');
    expect(await test.metric('warren_client_errors_total', 'internal_error')).to.equal(0);
    await test.close();
  });

  const complaints: readonly (readonly [string, string | Buffer, string])[] = [
    ['text that is not JSON', 'hello', 'invalid_frame'],
    ['an empty frame', '', 'invalid_frame'],
    ['a list', '[]', 'invalid_frame'],
    ['null', 'null', 'invalid_frame'],
    ['an event that is no text', '{"event":7}', 'invalid_frame'],
    ['no event', '{"data":{}}', 'invalid_frame'],
    ['a lone surrogate', '{"event":"\\ud800"}', 'invalid_frame'],
    ['a binary frame', Buffer.from('{"event":"pusher:ping"}'), 'invalid_frame'],
    ['10,000 levels of JSON', `${'['.repeat(10_000)}${']'.repeat(10_000)}`, 'too_deep'],
    [
      'depth inside data',
      `{"event":"client-x","data":${'{"a":'.repeat(100)}1${'}'.repeat(100)}}`,
      'too_deep',
    ],
    ['an unknown event', '{"event":"pusher:no_such_thing"}', 'unknown_event'],
    [
      'an event of the server',
      '{"event":"pusher_internal:subscription_succeeded","channel":"a"}',
      'unknown_event',
    ],
    ['an own __proto__', '{"__proto__":{"event":"pusher:ping"}}', 'invalid_frame'],
    ['the event "constructor"', '{"event":"constructor"}', 'unknown_event'],
    ['a subscribe without data', '{"event":"pusher:subscribe"}', 'invalid_frame'],
    [
      'a subscribe to a number',
      '{"event":"pusher:subscribe","data":{"channel":1}}',
      'invalid_frame',
    ],
    [
      'channel_data that is no text',
      '{"event":"pusher:subscribe","data":{"channel":"a","channel_data":{}}}',
      'invalid_frame',
    ],
    ['an unsubscribe from nothing', '{"event":"pusher:unsubscribe","data":[]}', 'invalid_frame'],
    [
      'a signin',
      '{"event":"pusher:signin","data":{"auth":"a","user_data":"{}"}}',
      'signin_refused',
    ],
    [
      'a client event',
      '{"event":"client-x","channel":"private-a","data":{}}',
      'client_event_rejected',
    ],
  ];
  for (const [what, bytes, type] of complaints) {
    it(`complains about ${what} with ${type} and keeps the socket`, async () => {
      const client = await test.connect();
      client.socket.send(bytes);
      const error = await client.next('pusher:error');
      expect(error.data).to.include({ type });
      await client.roundTrip();
      expect(client.frames).to.have.length(3);
    });
  }

  it('is not impressed by prototype tricks in frames', async () => {
    const client = await test.connect();
    client.socket.send(
      '{"event":"pusher:subscribe","data":{"__proto__":{"channel":"a"},"channel":"b"}}',
    );
    await client.next('pusher_internal:subscription_succeeded', 'b');
    client.socket.send('{"event":"pusher:subscribe","data":{"channel":"__proto__"}}');
    await client.next('pusher_internal:subscription_succeeded', '__proto__');
    client.socket.send('{"event":"pusher:subscribe","data":{"channel":"constructor"}}');
    await client.next('pusher_internal:subscription_succeeded', 'constructor');
    expect(({} as Record<string, unknown>)['channel']).to.equal(undefined);
  });

  it('closes with 1009 on a frame above the limit of the app', async () => {
    const client = await test.connect();
    client.socket.send(JSON.stringify({ event: 'client-x', data: 'x'.repeat(65_536) }));
    expect((await client.closed).code).to.equal(1009);
  });

  /** A hand-made client that may break RFC 6455. */
  async function rawClient(): Promise<Socket> {
    const socket = connect(test.edge.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(
      `GET ${protocolPath} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n\r\n`,
    );
    sockets.push(socket);
    await once(socket, 'data');
    return socket;
  }

  /** Masked with zeros. */
  function clientFrame(first: number, payload: Buffer): Buffer {
    const length =
      payload.length < 126
        ? Buffer.from([0x80 | payload.length])
        : Buffer.from([0xfe, payload.length >> 8, payload.length & 0xff]);
    return Buffer.concat([Buffer.from([first]), length, Buffer.alloc(4), payload]);
  }

  const violations: readonly (readonly [string, Buffer])[] = [
    ['text that is not UTF-8', clientFrame(0x81, Buffer.from([0xff, 0xfe, 0x80]))],
    ['an unmasked frame', Buffer.from([0x81, 0x02, 0x7b, 0x7d])],
    ['a compressed frame', clientFrame(0xc1, Buffer.from('{}'))],
    ['an unknown opcode', clientFrame(0x83, Buffer.from('{}'))],
    ['a long ping', clientFrame(0x89, Buffer.alloc(200))],
    ['a length of 2^63', Buffer.from([0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
    [
      'a hundred fragments',
      Buffer.concat([
        clientFrame(0x01, Buffer.from('{')),
        ...Array.from({ length: 100 }, () => clientFrame(0x00, Buffer.from(' '))),
      ]),
    ],
    ['random bytes', Buffer.concat([Buffer.from([0x8f]), randomBytes(64)])],
  ];
  for (const [what, bytes] of violations) {
    it(`closes a socket that sends ${what}`, async () => {
      const socket = await rawClient();
      socket.write(bytes);
      await once(socket, 'close');
    });
  }

  it('answers WebSocket pings with their payload', async () => {
    const client = await test.connect();
    client.socket.ping('are you there?');
    const [payload] = (await once(client.socket, 'pong')) as [Buffer];
    expect(String(payload)).to.equal('are you there?');
  });

  it('stops reading a client that floods it with pings and never reads', async function () {
    this.timeout(20_000);
    const socket = await rawClient();
    socket.pause();
    const flood = Buffer.concat(
      Array.from({ length: 2_000 }, () =>
        clientFrame(0x81, Buffer.from('{"event":"pusher:ping"}')),
      ),
    );
    // The edge has stopped reading when none of it is taken for a while.
    let takenAt = performance.now();
    for (let written = 0; performance.now() - takenAt < 300; ) {
      if (socket.writableLength < 1_048_576) {
        takenAt = performance.now();
        written += flood.length;
        expect(written, 'bytes that the edge read').to.be.lessThan(200_000_000);
        socket.write(flood);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    const buffered = await test.metric('warren_socket_buffered_bytes');
    expect(buffered).to.be.within(524_288, 4 * 1_048_576);
    socket.destroy();
    await eventually(async () => expect(await test.metric('warren_connections')).to.equal(1));
  });

  it('survives random frames of every kind', async function () {
    this.timeout(30_000);
    const word = fc.constantFrom(
      'event',
      'data',
      'channel',
      'auth',
      'channel_data',
      '__proto__',
      'constructor',
      'user_data',
      'pusher:subscribe',
      'pusher:unsubscribe',
      'pusher:signin',
      'client-x',
      'private-a',
      'news',
      'presence-a',
      '#server-to-user-1',
      '\ud800',
      '',
    );
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 4 },
        word,
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('any'), { maxLength: 3 }),
        fc.dictionary(word, tie('any'), { maxKeys: 4 }),
      ),
    })).any;
    const frame = fc.oneof(
      fc.record({ event: word, data: value, channel: value }).map((json) => JSON.stringify(json)),
      value.map((json) => JSON.stringify(json)),
      fc.string(),
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    );
    let client = await test.connect();
    for (const sample of fc.sample(frame, 2_000)) {
      client.socket.send(sample);
      if (client.frames.length < 500) continue;
      await client.roundTrip();
      client.terminate();
      client = await test.connect();
    }
    await client.roundTrip();
  });
});
