/** Channel rules that ask a service: what it is asked, what its answers mean, and what happens when it gives none. */
import { createHmac } from 'node:crypto';
import { expect } from 'chai';
import { SignJWT } from 'jose';
import type { AuthorizerConfig } from '../../contracts/warren-config.ts';
import { createLog } from '../../runtime/log.ts';
import { openEcho, openPusher, subscribed } from '../support/clients.ts';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import {
  askForChannel,
  type HttpService,
  json,
  type ServiceAnswer,
  silence,
  startHttpService,
} from '../support/http-service.ts';

const secret = 'a-jwt-secret-of-sufficient-length';
const yes = json({ allow: true });
const no = json({ allow: false });

function token(claims: Record<string, unknown> = {}): Promise<string> {
  return new SignJWT({ sub: '7', name: 'Ada', ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secret));
}

describe('an authorizer', () => {
  let test: TestEdge;
  let service: HttpService;
  let bearer: string;
  const lines: string[] = [];

  async function start(
    answer: ServiceAnswer,
    settings: Partial<AuthorizerConfig> = {},
    options: TestEdgeOptions = {},
  ) {
    lines.length = 0;
    bearer = await token();
    service = await startHttpService(answer);
    const authorizer = {
      url: `${service.url}authorize`,
      timeoutMs: 300,
      concurrency: 20,
      cacheSeconds: 0,
      refusalCacheSeconds: 0,
      ...settings,
    };
    test = await startTestEdge({
      auth: { jwt: { secret, algorithms: ['HS256'], userClaim: 'sub' } },
      channels: [
        { name: 'private-both.{id}', allow: 'user.id == id', authorizer },
        { name: 'presence-room.{id}', authorizer, member: { name: '{claims.name}' } },
        {
          name: 'presence-free.{id}',
          allow: 'true',
          member: { name: '{claims.name}', site: '{claims.sub}@x' },
        },
        { name: 'private-open', allow: 'true' },
        { name: 'private-chat.{id}', authorizer },
      ],
      authorizerBreaker: { requests: 5, openMs: 400 },
      log: createLog('info', {}, { write: (line) => lines.push(line) }),
      ...options,
    });
  }
  afterEach(async () => {
    await test.close();
    await service.close();
  });
  const ask = (channel = 'private-chat.1', by = bearer, socketId?: string) =>
    askForChannel(test.origin, channel, by, socketId);
  const statusOf = async (channel?: string, by?: string) => (await ask(channel, by)).status;
  const outcome = (name: string) =>
    test.metric('warren_authorizer_questions_total', `outcome="${name}"`);

  it('is asked with app, channel, socket, user and claims, signed with the secret of the app', async () => {
    await start(yes);
    expect(await statusOf()).to.equal(200);
    const [request] = service.requests;
    expect([request?.method, request?.path]).to.deep.equal(['POST', '/authorize']);
    const asked = JSON.parse(request?.body ?? '') as Record<string, unknown>;
    const { claims, ...rest } = asked;
    expect(rest).to.deep.equal({
      app: 'app-id',
      channel: 'private-chat.1',
      socketId: '1234.1234',
      userId: '7',
    });
    expect(claims).to.include({ sub: '7', name: 'Ada' });
    const signature = createHmac('sha256', test.app.secret)
      .update(request?.body ?? '')
      .digest('hex');
    expect(request?.headers).to.include({
      'content-type': 'application/json',
      'x-pusher-key': 'app-key',
      'x-pusher-signature': signature,
    });
    // The token itself is the user's, and no business of the service.
    expect(JSON.stringify(request)).not.to.include(bearer);
  });

  it('says null for a user whom the token does not name', async () => {
    await start(yes);
    await ask('private-chat.1', await token({ sub: undefined }));
    expect(JSON.parse(service.requests[0]?.body ?? '')).to.include({ userId: null });
  });

  it('lets in on 200 with allow true, and on nothing else', async () => {
    await start(yes);
    const answers: readonly (readonly [string, ServiceAnswer])[] = [
      ['no', no],
      ['allow as text', json({ allow: 'true' })],
      ['allow as a number', json({ allow: 1 })],
      ['no allow', json({})],
      ['inherited allow', (response) => response.end('{"__proto__":{"allow":true}}')],
      ['a list', json([{ allow: true }])],
      ['201', json({ allow: true }, 201)],
      ['204', (response) => response.writeHead(204).end()],
      ['401', json({ allow: true }, 401)],
      ['403', json({ allow: true }, 403)],
      ['404', json({ allow: true }, 404)],
      ['a redirect', (response) => response.writeHead(307, { location: '/yes' }).end()],
      ['no JSON', (response) => response.end('allow: true')],
      [
        'too deep',
        (response) => response.end(`{"allow":true,"x":${'['.repeat(100)}${']'.repeat(100)}}`),
      ],
      ['huge', (response) => response.end(`{"allow":true,"x":"${'x'.repeat(100_000)}"}`)],
      ['userInfo that is none', json({ allow: true, userInfo: 'Ada' })],
    ];
    const texts = new Set<string>();
    for (const [what, answer] of answers) {
      service.answer(answer);
      const { status, body } = await ask();
      expect([what, status]).to.deep.equal([what, 403]);
      texts.add(JSON.stringify(body));
    }
    expect(texts.size).to.equal(1);
    expect(service.requests.every(({ path }) => path === '/authorize')).to.equal(true);
    service.answer(yes);
    expect(await statusOf()).to.equal(200);
    expect(await outcome('malformed')).to.equal(answers.length - 1);
    // What must be mended is told, once a minute at most.
    expect(lines.filter((line) => line.includes('does not answer as agreed')).length).to.equal(1);
  });

  it('is asked after allow has said yes, and both must', async () => {
    await start(yes);
    expect(await statusOf('private-both.8')).to.equal(403);
    expect(service.requests.length).to.equal(0);
    expect(await statusOf('private-both.7')).to.equal(200);
    service.answer(no);
    expect(await statusOf('private-both.7')).to.equal(403);
    expect(service.requests.length).to.equal(2);
  });

  it('is not asked without a token that holds, nor for what is no channel of its own', async () => {
    await start(yes);
    expect(await statusOf('private-chat.1', `${bearer}x`)).to.equal(401);
    expect(await statusOf('private-open')).to.equal(200);
    expect(await statusOf('private-encrypted-chat.1')).to.equal(403);
    expect(service.requests.length).to.equal(0);
  });

  it('gives what others see of a member; else the claims that the rule names do', async () => {
    await start(json({ allow: true, userInfo: { name: 'Countess', age: 36 } }));
    const dataOf = async (channel: string, by = bearer) =>
      JSON.parse((await ask(channel, by)).body['channel_data'] ?? '') as unknown;
    expect(await dataOf('presence-room.1')).to.deep.equal({
      user_id: '7',
      user_info: { name: 'Countess', age: 36 },
    });
    service.answer(yes);
    expect(await dataOf('presence-room.1')).to.deep.equal({
      user_id: '7',
      user_info: { name: 'Ada' },
    });
    expect(await dataOf('presence-free.1')).to.deep.equal({
      user_id: '7',
      user_info: { name: 'Ada', site: '7@x' },
    });
    const nameless = await token({ name: undefined });
    expect(await dataOf('presence-free.1', nameless)).to.deep.equal({
      user_id: '7',
      user_info: { site: '7@x' },
    });
    service.answer(json({ allow: true, userInfo: { text: 'x'.repeat(2_000) } }));
    expect(await statusOf('presence-room.1')).to.equal(403);
    expect(await statusOf('presence-free.1', await token({ name: 'x'.repeat(2_000) }))).to.equal(
      403,
    );
  });

  it('that is slow, down or failing lets nobody in, says when to come back, and is left alone', async () => {
    await start(silence, { timeoutMs: 100 });
    const failures: readonly (readonly [string, ServiceAnswer])[] = [
      ['timeout', silence],
      ['status', json({ allow: true }, 500)],
      ['status', json({ allow: true }, 429)],
      ['connection', (response) => response.destroy()],
      ['timeout', (response) => response.write('{"allow":true')],
    ];
    for (const [cause, answer] of failures) {
      service.answer(answer);
      const before = await outcome(cause);
      const { status, body, retryAfter } = await ask();
      expect([cause, status, body['code'], retryAfter]).to.deep.equal([
        cause,
        503,
        'authorizer_unavailable',
        '1',
      ]);
      expect(await outcome(cause)).to.equal(before + 1);
    }
    // Five have failed: the breaker is open, and the service hears nothing more.
    service.answer(yes);
    const asked = service.requests.length;
    expect(await statusOf()).to.equal(503);
    expect(service.requests.length).to.equal(asked);
    expect(await test.metric('warren_authorizer_breakers_open')).to.equal(1);
    expect(await statusOf('private-open')).to.equal(200);
    await eventually(async () => expect(await statusOf()).to.equal(200));
    expect(await test.metric('warren_authorizer_breakers_open')).to.equal(0);
  });

  it('is tried by one question at a time while its breaker is half open', async () => {
    await start(json({}, 500));
    for (let times = 0; times < 5; times += 1) await ask();
    service.answer((response) => response.writeHead(500).end());
    const asked = service.requests.length;
    await eventually(async () => {
      await Promise.all(Array.from({ length: 10 }, () => ask()));
      expect(service.requests.length).to.equal(asked + 1);
    });
  });

  it('leaves subscriptions in peace that exist, whatever becomes of it', async () => {
    await start(yes);
    const client = await test.connect();
    const { body } = await ask('private-chat.1', bearer, client.socketId);
    client.send('pusher:subscribe', { channel: 'private-chat.1', ...body });
    await client.next('pusher_internal:subscription_succeeded', 'private-chat.1');
    await service.pause();
    for (let times = 0; times < 6; times += 1) expect(await statusOf()).to.equal(503);
    await test.post('/apps/app-id/events', {
      name: 'posted',
      channel: 'private-chat.1',
      data: '1',
    });
    await client.next('posted', 'private-chat.1');
    await service.resume();
    await eventually(async () => expect(await statusOf()).to.equal(200));
  });

  it('is asked so many questions at a time, ten times as many wait, and more are turned away', async () => {
    await start(silence, { concurrency: 2, timeoutMs: 5_000 });
    const held: (() => void)[] = [];
    service.answer((response, request) => held.push(() => yes(response, request)));
    const statuses: number[] = [];
    const all = Array.from({ length: 30 }, async () => statuses.push(await statusOf()));
    await eventually(() => expect(statuses.length).to.equal(8));
    expect(new Set(statuses)).to.deep.equal(new Set([503]));
    expect([service.requests.length, service.open]).to.deep.equal([2, 2]);
    expect(await outcome('busy')).to.equal(8);
    service.answer(yes);
    for (const release of held) release();
    await Promise.all(all);
    expect(statuses.filter((status) => status === 200).length).to.equal(22);
    expect(service.requests.length).to.equal(22);
  });

  it('is asked each time unless its answers may be kept', async () => {
    await start(yes);
    await ask();
    await ask();
    expect(service.requests.length).to.equal(2);
  });

  it('answers once for the same user, claims and channel where that is allowed, whatever the socket', async () => {
    await start(yes, { cacheSeconds: 60, refusalCacheSeconds: 0 });
    expect((await ask('private-chat.1', bearer, '1.1')).status).to.equal(200);
    const again = await ask('private-chat.1', bearer, '2.2');
    const first = await ask('private-chat.1', bearer, '1.1');
    expect(service.requests.length).to.equal(1);
    expect(again.body['auth'])
      .to.match(/^app-key:/)
      .and.not.equal(first.body['auth']);
    await ask('private-chat.2');
    await ask('private-chat.1', await token({ role: 'guest' }));
    await ask('private-chat.1', await token({ sub: '8' }));
    expect(service.requests.length).to.equal(4);
    expect(await outcome('cached')).to.equal(2);
    service.answer(no);
    expect(await statusOf('private-chat.1')).to.equal(200);
    for (let times = 0; times < 2; times += 1)
      expect(await statusOf('private-chat.3')).to.equal(403);
    expect(service.requests.length).to.equal(6);
  });

  it('keeps a no where that is allowed, and never an outage or nonsense', async () => {
    await start(no, { refusalCacheSeconds: 60 });
    expect([await statusOf(), await statusOf()]).to.deep.equal([403, 403]);
    expect(service.requests.length).to.equal(1);
    for (const answer of [json({}), json({}, 500), yes]) {
      service.answer(answer);
      await ask('private-chat.2');
    }
    expect(service.requests.length).to.equal(4);
    expect(await statusOf('private-chat.2')).to.equal(200);
  });

  it('is forgotten what it answered, and kept with its breaker, when the rules are read again', async () => {
    await start(yes, { cacheSeconds: 60 });
    const authorizer = {
      url: `${service.url}authorize`,
      timeoutMs: 300,
      concurrency: 20,
      cacheSeconds: 60,
      refusalCacheSeconds: 0,
    };
    const config = (rule: object) => ({
      apps: [test.app],
      events: [],
      egress: { clientEvents: true, presence: false, occupancy: false },
      channels: [{ index: 0, app: test.app.id, name: 'private-chat.{id}', ...rule }],
    });
    await ask();
    service.answer(no);
    expect(await statusOf()).to.equal(200);
    test.edge.reload(config({ authorizer }));
    expect(await statusOf()).to.equal(403);
    test.edge.reload(config({ allow: 'true' }));
    expect(await statusOf()).to.equal(200);
    test.edge.reload(config({ presenceGraceMs: 0 }));
    expect(await statusOf()).to.equal(403);
  });

  it('does not let in by a rule that was tightened while it was thinking', async () => {
    await start(silence, { timeoutMs: 5_000 });
    let release: (() => void) | undefined;
    service.answer((response, request) => {
      release = () => yes(response, request);
    });
    const asked = statusOf();
    await eventually(() => expect(release).not.to.equal(undefined));
    const authorizer = {
      url: `${service.url}authorize`,
      timeoutMs: 5_000,
      concurrency: 20,
      cacheSeconds: 0,
      refusalCacheSeconds: 0,
    };
    const name = 'private-chat.{id}';
    test.edge.reload({
      apps: [test.app],
      events: [],
      egress: { clientEvents: true, presence: false, occupancy: false },
      channels: [{ index: 0, app: test.app.id, name, allow: 'false', authorizer }],
    });
    release?.();
    expect(await asked).to.equal(403);
  });

  it('lets pusher-js and Echo in as they are, and tells them what is refused or must wait', async () => {
    await start((response, request) => {
      const { channel } = JSON.parse(request.body) as { channel: string };
      if (channel.endsWith('.down')) json({}, 500)(response, request);
      else
        json({ allow: channel.endsWith('.1'), userInfo: { name: 'Countess' } })(response, request);
    });
    const pusher = openPusher(test.edge.port, {
      channelAuthorization: {
        endpoint: `${test.origin}/broadcasting/auth`,
        headers: { Authorization: `Bearer ${bearer}` },
      },
    });
    const echo = openEcho('reverb', test.edge.port, { bearerToken: bearer });
    try {
      const room = pusher.subscribe('presence-room.1');
      await subscribed(room);
      expect((room as unknown as { members: { me: object } }).members.me).to.deep.equal({
        id: '7',
        info: { name: 'Countess' },
      });
      const refused = (channel: string) =>
        new Promise<{ status?: number }>((resolve) =>
          pusher.subscribe(channel).bind('pusher:subscription_error', resolve),
        );
      expect(await refused('private-chat.2')).to.include({ status: 403 });
      expect(await refused('private-chat.down')).to.include({ status: 503 });
      await new Promise<void>((resolve, reject) => {
        echo
          .private('chat.1')
          .subscribed(() => resolve())
          .error(reject);
      });
      const status = await new Promise<{ status?: number }>((resolve) => {
        echo.private('chat.2').error(resolve);
      });
      expect(status).to.include({ status: 403 });
    } finally {
      pusher.disconnect();
      echo.disconnect();
    }
  });
});
