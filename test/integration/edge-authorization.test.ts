/** The authorization endpoint: token, rule, signature, and what gets none. */
import { generateKeyPairSync } from 'node:crypto';
import { expect } from 'chai';
import { SignJWT, UnsecuredJWT } from 'jose';
import type { AuthConfig } from '../../contracts/warren-config.ts';
import { openEcho } from '../support/clients.ts';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts';

/** Long enough for HS512 too, so that only the list of algorithms keeps that out. */
const secret = 'a-jwt-secret-of-sufficient-length'.repeat(2);
const jwt = { secret, algorithms: ['HS256'], userClaim: 'sub' } satisfies AuthConfig['jwt'];
const rules = [
  { name: 'private-chat.{room}', allow: 'room in claims.rooms' },
  { name: 'private-user.{id}', allow: 'user.id == id' },
  { name: 'private-broken.{x}', allow: 'claims.missing.deep == x' },
  { name: 'private-first.{x}', allow: 'false' },
  { name: 'private-{any}.{x}', allow: "any == 'first' || claims.admin == true" },
];

interface TokenOptions {
  readonly claims?: Record<string, unknown>;
  readonly key?: string;
  readonly alg?: string;
  readonly exp?: number | null;
}

const now = () => Math.floor(Date.now() / 1_000);

function token({ claims = {}, key = secret, alg = 'HS256', exp = now() + 60 }: TokenOptions = {}) {
  const builder = new SignJWT({ sub: '7', rooms: ['1', '2'], ...claims });
  builder.setProtectedHeader({ alg });
  if (exp !== null) builder.setExpirationTime(exp);
  return builder.sign(new TextEncoder().encode(key));
}

describe('edge authorization endpoint', () => {
  let test: TestEdge;
  const start = async (options: TestEdgeOptions = {}) => {
    test = await startTestEdge({ auth: { jwt }, channels: rules, ...options });
  };
  afterEach(() => test.close());

  async function ask(
    channel: unknown,
    options: {
      bearer?: string;
      header?: string;
      path?: string;
      json?: boolean;
      socketId?: string;
      raw?: string;
      headers?: Record<string, string>;
    } = {},
  ) {
    const authorization = options.header ?? `Bearer ${options.bearer ?? (await token())}`;
    const fields = { socket_id: options.socketId ?? '1234.1234', channel_name: channel };
    const body = options.json
      ? JSON.stringify(fields)
      : new URLSearchParams(fields as Record<string, string>).toString();
    const response = await fetch(`${test.origin}${options.path ?? '/broadcasting/auth'}`, {
      method: 'POST',
      headers: {
        connection: 'close',
        'content-type': options.json ? 'application/json' : 'application/x-www-form-urlencoded',
        ...(authorization === '' ? {} : { authorization }),
        ...options.headers,
      },
      body: options.raw ?? body,
    });
    const text = await response.text();
    return { status: response.status, body: JSON.parse(text) as Record<string, string>, response };
  }

  it('signs what the rule allows, in every spelling of the request', async () => {
    await start();
    const paths = ['/broadcasting/auth', '/pusher/auth', '/app/app-key/broadcasting/auth'];
    for (const path of paths) {
      for (const json of [false, true]) {
        const { status, body } = await ask('private-chat.1', { path, json });
        expect(status, `${path} ${json}`).to.equal(200);
        expect(body).to.have.keys('auth');
        expect(body['auth']).to.match(/^app-key:[0-9a-f]{64}$/);
      }
    }
  });

  it('gives a signature that the socket accepts', async () => {
    await start();
    const client = await test.connect();
    const { body } = await ask('private-chat.2', { socketId: client.socketId });
    client.send('pusher:subscribe', { channel: 'private-chat.2', ...body });
    await client.next('pusher_internal:subscription_succeeded', 'private-chat.2');
  });

  it('evaluates the first rule that matches, over claims, user and parameters; an error is a no', async () => {
    await start();
    const admin = await token({ claims: { admin: true } });
    const outcomes: readonly (readonly [string, number, string?])[] = [
      ['private-chat.1', 200],
      ['private-chat.3', 403],
      ['private-chat.1.2', 403],
      ['private-user.7', 200],
      ['private-user.8', 403],
      ['private-broken.1', 403],
      ['private-first.1', 403],
      ['private-other.1', 403],
      ['private-other.1', 200, admin],
      ['private-unruled', 403, admin],
    ];
    for (const [channel, expected, bearer] of outcomes) {
      const { status } = await ask(channel, bearer === undefined ? {} : { bearer });
      expect(status, channel).to.equal(expected);
    }
  });

  it('refuses a rule about the user to a token that names none', async () => {
    await start();
    for (const sub of [undefined, '', null, {}, ['7'], true, 7.5]) {
      const bearer = await token({ claims: { sub } });
      expect((await ask('private-user.7', { bearer })).status, String(sub)).to.equal(403);
      expect((await ask('private-chat.1', { bearer })).status, String(sub)).to.equal(200);
    }
    const numeric = await token({ claims: { sub: 7 } });
    expect((await ask('private-user.7', { bearer: numeric })).status).to.equal(200);
  });

  it('says the same to everybody who is refused', async () => {
    await start();
    const texts = new Set<string>();
    for (const channel of ['private-chat.3', 'private-broken.1', 'private-unruled']) {
      const { body } = await ask(channel);
      expect(body).to.include({ code: 'forbidden' });
      texts.add(String(body['error']));
    }
    expect(texts.size).to.equal(1);
  });

  it('refuses public and presence channels, and names that are none', async () => {
    await start();
    expect((await ask('news')).status).to.equal(403);
    expect((await ask('presence-room.1')).status).to.equal(403);
    expect((await ask('#server-to-user-7')).status).to.equal(403);
    for (const json of [false, true]) {
      expect((await ask('private-chat.*', { json })).status).to.equal(400);
      expect((await ask('', { json })).status).to.equal(400);
    }
  });

  it('refuses bodies that are not what they should be', async () => {
    await start();
    for (const raw of [
      '',
      'socket_id=1.1',
      'channel_name=private-chat.1',
      'socket_id=1.1&socket_id=1.2&channel_name=private-chat.1',
      'socket_id=1.1&channel_name=private-chat.1&channel_name=private-chat.2',
      'socket_id=x&channel_name=private-chat.1',
      `a=${'x'.repeat(20_000)}`,
    ]) {
      expect((await ask('', { raw })).status, raw.slice(0, 60)).to.be.oneOf([400, 413]);
    }
    for (const raw of [
      '[]',
      '{',
      'null',
      '{"__proto__":{"socket_id":"1.1","channel_name":"private-chat.1"}}',
    ]) {
      expect((await ask('', { raw, json: true })).status, raw).to.equal(400);
    }
    const plain = { 'content-type': 'text/plain' };
    expect((await ask('private-chat.1', { headers: plain })).status).to.equal(400);
  });

  it('refuses tokens that do not hold, all with the same 401', async () => {
    await start();
    const valid = await token();
    const [header, payload, signature] = valid.split('.') as [string, string, string];
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const rsa = await new SignJWT({ sub: '7' })
      .setProtectedHeader({ alg: 'RS256' })
      .setExpirationTime('1m')
      .sign(privateKey);
    const none = new UnsecuredJWT({ sub: '7', rooms: ['1'] }).setExpirationTime('1m').encode();
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const headers: readonly (readonly [string, string])[] = [
      ['no header', ''],
      ['no token', 'Bearer '],
      ['another scheme', `Basic ${valid}`],
      ['not a token', 'Bearer nonsense'],
      ['another secret', `Bearer ${await token({ key: 'another-secret-of-sufficient-length' })}`],
      ['expired', `Bearer ${await token({ exp: now() - 11 })}`],
      ['no expiry', `Bearer ${await token({ exp: null })}`],
      ['not yet valid', `Bearer ${await token({ claims: { nbf: now() + 60 } })}`],
      ['HS512', `Bearer ${await token({ alg: 'HS512' })}`],
      ['RS256', `Bearer ${rsa}`],
      ['alg none', `Bearer ${none}`],
      ['alg nOnE', `Bearer ${encode({ alg: 'nOnE' })}.${payload}.`],
      ['no signature', `Bearer ${header}.${payload}.`],
      ['changed payload', `Bearer ${header}.${encode({ sub: '8', exp: now() + 60 })}.${signature}`],
      ['too long', `Bearer ${await token({ claims: { x: 'x'.repeat(9_000) } })}`],
    ];
    const bodies = new Set<string>();
    for (const [what, value] of headers) {
      const { status, body, response } = await ask('private-chat.1', { header: value });
      expect(status, what).to.equal(401);
      expect(response.headers.get('www-authenticate'), what).to.equal('Bearer');
      bodies.add(JSON.stringify(body));
    }
    expect(bodies.size).to.equal(1);
    expect((await ask('private-chat.1', { header: `bearer ${valid}` })).status).to.equal(200);
  });

  it('takes no quadratic time over a long header without a blank', async () => {
    await start();
    const startedAt = performance.now();
    for (let times = 0; times < 20; times += 1)
      await ask('private-chat.1', { header: 'x'.repeat(14_000) });
    expect(performance.now() - startedAt).to.be.lessThan(1_000);
  });

  it('checks issuer and audience where they are configured', async () => {
    await start({ auth: { jwt: { ...jwt, issuer: 'https://id.example', audience: 'warren' } } });
    const good = { iss: 'https://id.example', aud: 'warren' };
    expect(
      (await ask('private-chat.1', { bearer: await token({ claims: good }) })).status,
    ).to.equal(200);
    for (const claims of [
      {},
      { ...good, iss: 'https://evil.example' },
      { ...good, aud: 'other' },
      { iss: good.iss },
    ]) {
      expect((await ask('private-chat.1', { bearer: await token({ claims }) })).status).to.equal(
        401,
      );
    }
  });

  it('takes the user from the claim that is configured', async () => {
    await start({ auth: { jwt: { ...jwt, userClaim: 'uid' } } });
    expect((await ask('private-user.7')).status).to.equal(403);
    const bearer = await token({ claims: { uid: '7' } });
    expect((await ask('private-user.7', { bearer })).status).to.equal(200);
  });

  it('asks for the app where there are several', async () => {
    await start();
    const { app } = test;
    await test.close();
    await start({
      apps: [app, { ...app, id: 'b' as typeof app.id, key: 'b-key', secret: 'b-secret' }],
    });
    const plain = await ask('private-chat.1');
    expect([plain.status, plain.body['code']]).to.deep.equal([404, 'unknown_app']);
    expect(plain.body['error']).to.include('/app/<key>/broadcasting/auth');
    expect(
      (await ask('private-chat.1', { path: '/app/app-key/broadcasting/auth' })).status,
    ).to.equal(200);
    // The rules are those of the first app.
    expect((await ask('private-chat.1', { path: '/app/b-key/broadcasting/auth' })).status).to.equal(
      403,
    );
    expect(
      (await ask('private-chat.1', { path: '/app/nobody/broadcasting/auth' })).status,
    ).to.equal(404);
  });

  it('says how to get it where no token can be checked', async () => {
    test = await startTestEdge({ channels: rules });
    const { status, body } = await ask('private-chat.1');
    expect(status).to.equal(403);
    expect(body['error']).to.include('auth.jwt');
  });

  it('lets the origins of the app ask, and no others', async () => {
    await start({ apps: [{ allowedOrigins: ['https://good.com'] }] });
    const preflight = (origin: string) =>
      fetch(`${test.origin}/broadcasting/auth`, {
        method: 'OPTIONS',
        headers: {
          connection: 'close',
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization, x-csrf-token',
        },
      });
    const good = await preflight('https://good.com');
    expect(good.status).to.equal(204);
    expect(good.headers.get('access-control-allow-origin')).to.equal('https://good.com');
    expect(good.headers.get('access-control-allow-headers')).to.include('authorization');
    expect(good.headers.get('vary')).to.equal('Origin');
    const evil = await preflight('https://good.com.evil');
    expect(evil.headers.get('access-control-allow-origin')).to.equal(null);
    // A refusal can be read by the page too, or it could not tell why.
    for (const header of ['', `Bearer ${await token()}`]) {
      const { response } = await ask('private-chat.9', {
        header,
        headers: { origin: 'https://good.com' },
      });
      expect(response.headers.get('access-control-allow-origin')).to.equal('https://good.com');
    }
  });

  it('lets Echo in with nothing but its bearerToken', async () => {
    await start();
    const echo = openEcho('reverb', test.edge.port, { bearerToken: await token() });
    try {
      await new Promise<void>((resolve, reject) => {
        echo
          .private('chat.1')
          .subscribed(() => resolve())
          .error(reject);
      });
      const refused = await new Promise<{ status?: number }>((resolve) => {
        echo.private('chat.9').error(resolve);
      });
      expect(refused).to.include({ status: 403 });
      const event = new Promise((resolve) => echo.private('chat.1').listen('.posted', resolve));
      await test.post('/apps/app-id/events', {
        name: 'posted',
        channel: 'private-chat.1',
        data: '{"text":"hi"}',
      });
      expect(await event).to.deep.equal({ text: 'hi' });
    } finally {
      echo.disconnect();
    }
  });
});
