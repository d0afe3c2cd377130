import { type AddressInfo, createServer } from 'node:net';
import { expect } from 'chai';
import { AddressPolicy } from '../../edge/webhooks/address-policy.ts';
import { type PostOutcome, type Resolve, TargetClient } from '../../edge/webhooks/target-client.ts';
import { systemClock } from '../../runtime/clock.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

const body = Buffer.from('{"time_ms":1,"events":[]}');

describe('TargetClient', () => {
  let receiver: WebhookReceiver;
  const clients: TargetClient[] = [];

  beforeEach(async () => {
    receiver = await startWebhookReceiver();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await receiver.close();
  });

  interface Options {
    readonly allow?: readonly string[];
    readonly resolve?: Resolve;
    readonly clock?: typeof systemClock;
    readonly timeoutMs?: number;
  }

  function client(
    url: string,
    { allow = ['127.0.0.1'], resolve, clock = systemClock, timeoutMs = 10_000 }: Options = {},
  ) {
    const made = new TargetClient({
      url,
      policy: new AddressPolicy(allow),
      clock,
      timeoutMs,
      ...(resolve === undefined ? {} : { resolve }),
    });
    clients.push(made);
    return made;
  }

  const post = (url: string, options?: Options): Promise<PostOutcome> =>
    client(url, options).post(body, { 'X-Test': 'yes' });

  it('posts exactly the body and the headers it is given', async () => {
    expect(await post(`${receiver.url}?a=b`)).to.deep.equal({ kind: 'delivered' });
    const [request] = receiver.requests;
    expect(request?.method).to.equal('POST');
    expect(request?.path).to.equal('/hooks?a=b');
    expect(request?.rawBody).to.equal(body.toString());
    expect(request?.headers['x-test']).to.equal('yes');
    expect(request?.headers['content-length']).to.equal(String(body.length));
    expect(request?.headers['transfer-encoding']).to.equal(undefined);
  });

  it('uses one connection for requests that follow each other', async () => {
    const one = client(receiver.url);
    for (let at = 0; at < 3; at += 1) await one.post(body, {});
    expect(receiver.requests).to.have.length(3);
    expect(receiver.connected).to.equal(1);
  });

  it('makes a new connection at once where the target had closed the kept one', async () => {
    const one = client(receiver.url);
    await one.post(body, {});
    receiver.answer((response) => response.socket?.resetAndDestroy());
    expect(await one.post(body, {})).to.deep.equal({ kind: 'delivered' });
    expect(receiver.connected).to.equal(2);
  });

  for (const status of [200, 201, 204, 299]) {
    it(`takes ${status} for delivered`, async () => {
      receiver.answer(status);
      expect(await post(receiver.url)).to.deep.equal({ kind: 'delivered' });
    });
  }

  for (const status of [304, 400, 401, 404, 410, 429, 500, 503]) {
    it(`takes ${status} for failed`, async () => {
      receiver.answer(status);
      const outcome = await post(receiver.url);
      expect(outcome).to.include({ kind: 'failed', cause: 'status' });
      expect(outcome).to.have.property('reason').that.includes(`answered ${status}`);
    });
  }

  for (const status of [301, 302, 303, 307, 308]) {
    it(`follows no ${status}`, async () => {
      const elsewhere = await startWebhookReceiver();
      try {
        receiver.answer((response) =>
          response.writeHead(status, { Location: elsewhere.url }).end(),
        );
        expect(await post(receiver.url)).to.deep.equal({
          kind: 'failed',
          cause: 'status',
          reason: `answered ${status}, redirects are not followed`,
        });
        expect(elsewhere.requests).to.deep.equal([]);
      } finally {
        await elsewhere.close();
      }
    });
  }

  it('gives up on an answer that does not come in time', async () => {
    const clock = createManualClock();
    receiver.answer(() => undefined);
    const outcome = post(receiver.url, { clock });
    await eventually(() => expect(receiver.requests).to.have.length(1));
    clock.advance(9_999);
    clock.advance(1);
    expect(await outcome).to.deep.equal({
      kind: 'failed',
      cause: 'timeout',
      reason: 'no answer within 10000 ms',
    });
    await eventually(async () => expect(await receiver.connections()).to.equal(0));
    expect(clock.pendingTimers).to.equal(0);
  });

  it('lets a delivered request be delivered though its answer never ends', async () => {
    receiver.answer((response) => response.writeHead(200).write('and so on'));
    expect(await post(receiver.url, { timeoutMs: 1_000 })).to.deep.equal({ kind: 'delivered' });
    await eventually(async () => expect(await receiver.connections()).to.equal(0));
  });

  it('reads no more of an answer than it needs to use the connection again', async () => {
    receiver.answer((response) => {
      response.writeHead(200);
      const more = () => {
        while (response.write(Buffer.alloc(16_384)));
        response.once('drain', more);
      };
      more();
    });
    expect(await post(receiver.url)).to.deep.equal({ kind: 'delivered' });
    await eventually(async () => expect(await receiver.connections()).to.equal(0));
  });

  it('says that nobody listens', async () => {
    await receiver.close();
    expect(await post(receiver.url)).to.deep.equal({
      kind: 'failed',
      cause: 'connection',
      reason: 'connection failed: ECONNREFUSED',
    });
    receiver = await startWebhookReceiver();
  });

  it('says that a target speaks something else', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined).resume();
      socket.end('SSH-2.0-OpenSSH_9.2\r\n');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    expect(await post(`http://127.0.0.1:${port}/`)).to.include({
      kind: 'failed',
      cause: 'connection',
    });
    await new Promise((resolve) => server.close(resolve));
  });

  it('speaks TLS to https targets, and to nothing else there', async () => {
    const outcome = await post(`https://127.0.0.1:${receiver.port}/`);
    expect(outcome).to.include({ kind: 'failed', cause: 'connection' });
    expect(receiver.requests).to.deep.equal([]);
  });

  for (const url of ['ftp://127.0.0.1/', 'file:///etc/passwd', 'nonsense', '']) {
    it(`sends nothing to "${url}"`, async () => {
      expect(await post(url)).to.deep.equal({
        kind: 'refused',
        reason: 'the URL is neither http nor https',
      });
    });
  }

  it('sends nothing where a header cannot be written, and does not repeat its value', async () => {
    const outcome = await client(receiver.url).post(body, { 'X-Pusher-Key': 'a\nb' });
    expect(outcome.kind).to.equal('refused');
    expect(JSON.stringify(outcome)).to.not.include('a\\nb');
  });

  it('ends a request under way when it is closed', async () => {
    receiver.answer(() => undefined);
    const one = client(receiver.url);
    const outcome = one.post(body, {});
    await eventually(() => expect(receiver.requests).to.have.length(1));
    one.close();
    expect(await outcome).to.include({ kind: 'failed', cause: 'connection' });
  });

  describe('reaches no private address', () => {
    const resolvesTo =
      (...addresses: string[]): Resolve =>
      (_hostname, _options, callback) =>
        callback(
          null,
          addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
        );

    const spellings = [
      '127.0.0.1',
      '2130706433',
      '0x7f000001',
      '0x7f.1',
      '0177.0.0.1',
      '127.1',
      '127.0.0.1.',
      '①②⑦.0.0.1',
      '[::ffff:127.0.0.1]',
      '[::1]',
      '[::]',
      '0',
      '0.0.0.0',
      '[64:ff9b::7f00:1]',
    ];
    for (const host of spellings) {
      it(`written as ${host}`, async () => {
        const outcome = await post(`http://${host}:${receiver.port}/`, { allow: [] });
        expect(outcome.kind).to.equal('refused');
        expect(outcome).to.have.property('reason').that.includes('WARREN_WEBHOOK_PRIVATE_TARGETS');
        expect(receiver.connected).to.equal(0);
      });
    }

    it('by a name of this machine', async () => {
      const outcome = await post(`http://localhost:${receiver.port}/`, { allow: [] });
      expect(outcome.kind).to.equal('refused');
      expect(outcome)
        .to.have.property('reason')
        .that.matches(/^localhost \((127\.0\.0\.1|::1)\) is not/);
      expect(receiver.connected).to.equal(0);
    });

    it('by a name of the internet that resolves to it', async () => {
      const outcome = await post(`http://rebind.example:${receiver.port}/`, {
        allow: [],
        resolve: resolvesTo('::ffff:7f00:1', '127.0.0.1', '10.0.0.1'),
      });
      expect(outcome.kind).to.equal('refused');
      expect(receiver.connected).to.equal(0);
    });

    it('by a name that resolved to something else a moment ago', async () => {
      const answers = [['127.0.0.1'], ['127.0.0.2']];
      let asked = 0;
      const rebinding: Resolve = (hostname, options, callback) => {
        asked += 1;
        resolvesTo(...(answers.shift() ?? []))(hostname, options, callback);
      };
      const one = client(`http://rebind.example:${receiver.port}/`, {
        allow: ['127.0.0.1'],
        resolve: rebinding,
      });
      receiver.answer((response) => response.writeHead(200, { Connection: 'close' }).end());
      expect(await one.post(body, {})).to.deep.equal({ kind: 'delivered' });
      expect((await one.post(body, {})).kind).to.equal('refused');
      expect(asked).to.equal(2);
      expect(receiver.connected).to.equal(1);
    });

    it('where only some addresses of a name are private: it takes the others', async () => {
      const outcome = await post(`http://mixed.example:${receiver.port}/`, {
        allow: ['127.0.0.1'],
        resolve: resolvesTo('10.255.255.1', '::1', '127.0.0.1'),
      });
      expect(outcome).to.deep.equal({ kind: 'delivered' });
    });

    it('by a proxy that the environment names', async () => {
      const proxy = await startWebhookReceiver();
      const before = process.env['http_proxy'];
      process.env['http_proxy'] = proxy.url;
      try {
        expect((await post(receiver.url)).kind).to.equal('delivered');
        expect(proxy.connected).to.equal(0);
      } finally {
        if (before === undefined) delete process.env['http_proxy'];
        else process.env['http_proxy'] = before;
        await proxy.close();
      }
    });
  });

  it('reaches a private host that the operator named', async () => {
    const outcome = await post(`http://localhost:${receiver.port}/`, { allow: ['localhost'] });
    expect(outcome).to.deep.equal({ kind: 'delivered' });
  });

  it('says that a name does not resolve, which may pass', async () => {
    const outcome = await post('http://nowhere.example/', {
      resolve: (_hostname, _options, callback) =>
        callback(Object.assign(new Error('getaddrinfo'), { code: 'EAI_AGAIN' }), []),
    });
    expect(outcome).to.deep.equal({
      kind: 'failed',
      cause: 'connection',
      reason: 'connection failed: EAI_AGAIN',
    });
  });
});
