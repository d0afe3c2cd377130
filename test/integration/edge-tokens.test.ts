/** Tokens that are checked with public keys: one key, or the issuer's key set; and what attackers make of them. */
import { createHmac, createSign, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { exportJWK, type JWTHeaderParameters, SignJWT } from 'jose';
import type { AsymmetricAlgorithm, AuthConfig } from '../../contracts/warren-config.ts';
import { createLog } from '../../runtime/log.ts';
import { startTestEdge, type TestEdge, type TestEdgeOptions } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import {
  askForChannel,
  type HttpService,
  json,
  startHttpService,
} from '../support/http-service.ts';

const issuer = 'https://id.example';
const audience = 'warren';
const channels = [{ name: 'private-user.{id}', allow: 'user.id == id' }];
const now = () => Math.floor(Date.now() / 1_000);
const encode = (value: object | string) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const rsa: Pair = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const otherRsa: Pair = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const pemOf = (pair: Pair) => pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();

function sign(
  { privateKey }: Pair,
  header: Partial<JWTHeaderParameters> = {},
  claims: Record<string, unknown> = {},
): Promise<string> {
  return new SignJWT({ sub: '7', iss: issuer, aud: audience, exp: now() + 60, ...claims })
    .setProtectedHeader({ alg: 'RS256', ...header })
    .sign(privateKey);
}

describe('tokens checked with public keys', () => {
  let test: TestEdge;
  let service: HttpService | undefined;
  const lines: string[] = [];
  const start = async (jwt: object, options: TestEdgeOptions = {}) => {
    lines.length = 0;
    test = await startTestEdge({
      auth: { jwt: { issuer, audience, userClaim: 'sub', ...jwt } as AuthConfig['jwt'] },
      channels,
      log: createLog('info', {}, { write: (line) => lines.push(line) }),
      ...options,
    });
  };
  const ask = async (token: string) =>
    (await askForChannel(test.origin, 'private-user.7', token)).status;
  afterEach(async () => {
    await test.close();
    await service?.close();
    service = undefined;
  });

  describe('one key', () => {
    const pairs: Readonly<Record<string, () => Pair>> = {
      RS256: () => rsa,
      RS384: () => rsa,
      RS512: () => rsa,
      PS256: () => rsa,
      PS384: () => rsa,
      PS512: () => rsa,
      ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
      ES512: () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
      EdDSA: () => generateKeyPairSync('ed25519'),
    };
    for (const [alg, pairOf] of Object.entries(pairs)) {
      it(`accepts ${alg} by its key, and no other key or algorithm`, async () => {
        const pair = pairOf();
        await start({ publicKey: pemOf(pair), algorithms: [alg as AsymmetricAlgorithm] });
        expect(await ask(await sign(pair, { alg }))).to.equal(200);
        const other = alg === 'RS256' ? 'RS384' : 'RS256';
        expect(await ask(await sign(rsa, { alg: other }))).to.equal(401);
        const [header, payload, signature = ''] = (await sign(pair, { alg })).split('.');
        const changed = `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
        expect(await ask(`${header}.${payload}.${changed}`)).to.equal(401);
      });
    }

    it('refuses every forgery, says nothing about it, and tells the operator once', async () => {
      let fetched = 0;
      service = await startHttpService((response, request) => {
        fetched += 1;
        json({ keys: [] })(response, request);
      });
      const pem = pemOf(rsa);
      await start({ publicKey: pem, algorithms: ['RS256'] });
      const jwk = await exportJWK(otherRsa.publicKey);
      const payload = encode({ sub: '7', iss: issuer, aud: audience, exp: now() + 60 });
      const hmac = (key: string) => {
        const head = `${encode({ alg: 'HS256', typ: 'JWT' })}.${payload}`;
        return `${head}.${createHmac('sha256', key).update(head).digest('base64url')}`;
      };
      const forged: Readonly<Record<string, string>> = {
        'alg none': `${encode({ alg: 'none' })}.${payload}.`,
        'alg nOnE': `${encode({ alg: 'nOnE' })}.${payload}.`,
        'alg as a list': `${encode({ alg: ['RS256'] })}.${payload}.AAAA`,
        'no alg': `${encode({})}.${payload}.AAAA`,
        'HS256 with the public key': hmac(pem),
        'HS256 with the public key, trimmed': hmac(pem.trim()),
        'no signature': `${encode({ alg: 'RS256' })}.${payload}.`,
        'another key': await sign(otherRsa),
        'key in the token': await sign(otherRsa, { jwk }),
        jku: await sign(otherRsa, { jku: service.url }),
        x5u: await sign(otherRsa, { x5u: service.url }),
        'kid as a path': await sign(otherRsa, { kid: '../../../../dev/null' }),
        'kid as SQL': await sign(otherRsa, { kid: "x' UNION SELECT 'key" }),
        'unknown crit': await sign(rsa, { crit: ['b64'], b64: false }).catch(() => 'x.y.z'),
        expired: await sign(rsa, {}, { exp: now() - 11 }),
        'no exp': await sign(rsa, {}, { exp: undefined }),
        'exp as text': await sign(rsa, {}, { exp: String(now() + 60) }),
        'not yet valid': await sign(rsa, {}, { nbf: now() + 60 }),
        'wrong iss': await sign(rsa, {}, { iss: `${issuer}/` }),
        'no iss': await sign(rsa, {}, { iss: undefined }),
        'wrong aud': await sign(rsa, {}, { aud: ['other'] }),
        'no aud': await sign(rsa, {}, { aud: undefined }),
        'too long': await sign(rsa, {}, { x: 'x'.repeat(9_000) }),
        'five parts': 'a.b.c.d.e',
      };
      for (let times = 0; times < 2; times += 1) {
        for (const [what, token] of Object.entries(forged)) {
          const { status, body } = await askForChannel(test.origin, 'private-user.7', token);
          expect([what, status, body]).to.deep.equal([
            what,
            401,
            { error: 'A valid bearer token is required.', code: 'unauthorized' },
          ]);
        }
      }
      // Node itself refuses the head of such a request.
      expect(await ask('x'.repeat(1_048_576)).catch(() => 431)).to.equal(431);
      expect(fetched).to.equal(0);
      const told = lines.filter((line) => line.includes('a bearer request was refused'));
      const reasons = told.map((line) => (JSON.parse(line) as { why: string }).why);
      expect(reasons).to.have.members([
        'algorithm',
        'malformed',
        'signature',
        'expired',
        'claims',
        'not_yet_valid',
        'issuer',
        'audience',
        'no_token',
      ]);
      const secrets = Object.values(forged).map((token) => token.split('.')[2] ?? '');
      for (const secret of secrets.filter((text) => text.length > 20)) {
        expect(lines.join('')).not.to.include(secret);
      }
      expect(await test.metric('warren_tokens_refused_total', 'why="issuer"')).to.equal(4);
    });

    it('takes the clocks to be ten seconds apart at most, and an audience out of a list', async () => {
      await start({ publicKey: pemOf(rsa), algorithms: ['RS256'] });
      expect(await ask(await sign(rsa, {}, { exp: now() - 5 }))).to.equal(200);
      expect(await ask(await sign(rsa, {}, { nbf: now() + 5 }))).to.equal(200);
      expect(await ask(await sign(rsa, {}, { aud: ['other', audience] }))).to.equal(200);
    });

    it('reads a claim that stands twice as one, the last', async () => {
      await start({ publicKey: pemOf(rsa), algorithms: ['RS256'] });
      const rest = `"iss":"${issuer}","aud":"${audience}","exp":${now() + 60}`;
      const signed = (payload: string) => {
        const head = `${encode({ alg: 'RS256' })}.${encode(payload)}`;
        return `${head}.${createSign('sha256').update(head).sign(rsa.privateKey, 'base64url')}`;
      };
      expect(await ask(signed(`{"sub":"8","sub":"7",${rest}}`))).to.equal(200);
      expect(await ask(signed(`{"sub":"7","sub":"8",${rest}}`))).to.equal(403);
    });
  });

  describe('a key set', () => {
    const jwkOf = async (pair: Pair, kid?: string) => ({
      ...(await exportJWK(pair.publicKey)),
      use: 'sig',
      ...(kid === undefined ? {} : { kid }),
    });
    const fast = { coolDownMs: 300, timeoutMs: 300, refreshMs: 60_000, maxAgeMs: 60_000 };
    const startWith = async (keys: object[], keySetTimings: object = fast) => {
      service = await startHttpService(json({ keys }));
      await start({ jwksUri: service.url, algorithms: ['RS256', 'ES256'] }, { keySetTimings });
      await eventually(() => expect(service?.requests.length).to.equal(1));
      return service;
    };

    it('finds the key by its kid, without asking for each token', async () => {
      const ec: Pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const { requests } = await startWith([await jwkOf(rsa, 'a'), await jwkOf(ec, 'b')]);
      for (let times = 0; times < 5; times += 1) {
        expect(await ask(await sign(rsa, { kid: 'a' }))).to.equal(200);
        expect(await ask(await sign(ec, { kid: 'b', alg: 'ES256' }))).to.equal(200);
        // One key goes with this algorithm, so its name is not needed.
        expect(await ask(await sign(ec, { alg: 'ES256' }))).to.equal(200);
      }
      expect(await ask(await sign(otherRsa, { kid: 'a' }))).to.equal(401);
      expect(requests.length).to.equal(1);
    });

    it('refuses a token that does not say which of several keys it means', async () => {
      await startWith([await jwkOf(rsa, 'a'), await jwkOf(otherRsa, 'b')]);
      expect(await ask(await sign(rsa))).to.equal(401);
      expect(await ask(await sign(rsa, { kid: 'a' }))).to.equal(200);
    });

    it('takes no shared secret out of the set, and no private key', async () => {
      const secret = 'x'.repeat(64);
      await startWith([
        { kty: 'oct', k: encode(secret), kid: 'h' },
        { ...(await exportJWK(otherRsa.privateKey)), kid: 'p' },
      ]);
      const head = `${encode({ alg: 'HS256', kid: 'h' })}.${encode({ sub: '7', iss: issuer, aud: audience, exp: now() + 60 })}`;
      const hmac = createHmac('sha256', secret).update(head).digest('base64url');
      expect(await ask(`${head}.${hmac}`)).to.equal(401);
      expect(await ask(await sign(otherRsa, { kid: 'p' }))).to.equal(401);
    });

    it('follows a rotation with no wrongful refusal, though it comes within a cool-down', async () => {
      const { requests, answer } = await startWith([await jwkOf(rsa, 'old')]);
      answer(json({ keys: [await jwkOf(rsa, 'old'), await jwkOf(otherRsa, 'new')] }));
      const tokens = await Promise.all([
        ...Array.from({ length: 20 }, () => sign(otherRsa, { kid: 'new' })),
        ...Array.from({ length: 20 }, () => sign(rsa, { kid: 'old' })),
      ]);
      const statuses = await Promise.all(tokens.map(ask));
      expect(new Set(statuses)).to.deep.equal(new Set([200]));
      expect(requests.length).to.equal(2);
    });

    it('asks once in a cool-down however many unknown keys are named, and serves known ones meanwhile', async () => {
      const { requests } = await startWith([await jwkOf(rsa, 'a')], { ...fast, coolDownMs: 1_000 });
      const flood = Array.from({ length: 200 }, async (_, index) =>
        ask(await sign(otherRsa, { kid: `unknown-${index}` })),
      );
      expect(await ask(await sign(rsa, { kid: 'a' }))).to.equal(200);
      expect(requests.length).to.equal(1);
      const statuses = await Promise.all(flood);
      expect(new Set(statuses)).to.deep.equal(new Set([401]));
      // A few may have come while the one fetch was under way, and have waited for the next.
      expect(requests.length).to.be.within(2, 3);
    });

    it('drops a key that the issuer took out of the set, at the next refresh', async () => {
      const { answer } = await startWith([await jwkOf(rsa, 'a')], { ...fast, refreshMs: 350 });
      const token = await sign(rsa, { kid: 'a' });
      expect(await ask(token)).to.equal(200);
      answer(json({ keys: [await jwkOf(otherRsa, 'b')] }));
      await eventually(async () => expect(await ask(token)).to.equal(401));
    });

    it('keeps its keys while the host is away, and then says that it cannot know', async () => {
      const set = await startWith([await jwkOf(rsa, 'a')], {
        ...fast,
        coolDownMs: 50,
        refreshMs: 100,
        maxAgeMs: 1_000,
      });
      const token = await sign(rsa, { kid: 'a' });
      await set.pause();
      expect(await ask(token)).to.equal(200);
      const unknown = await askForChannel(
        test.origin,
        'private-user.7',
        await sign(otherRsa, { kid: 'b' }),
      );
      expect([unknown.status, unknown.body['code'], unknown.retryAfter]).to.deep.equal([
        503,
        'keys_unavailable',
        '1',
      ]);
      expect(await test.metric('warren_jwks_fetches_total', 'outcome="failed"')).to.be.above(0);
      await eventually(async () => expect(await ask(token)).to.equal(503));
      await set.resume();
      await eventually(async () => expect(await ask(token)).to.equal(200));
      expect(lines.filter((line) => line.includes('cannot fetch the key set')).length).to.equal(1);
    });

    for (const [what, answer] of Object.entries<Parameters<HttpService['answer']>[0]>({
      'a redirect': (response) => response.writeHead(302, { location: '/elsewhere' }).end(),
      'an error': json({ keys: [] }, 500),
      'what is no key set': json({ keys: 'none' }),
      'what is no JSON': (response) => response.end('<html>'),
      'no end': (response) => {
        response.on('error', () => undefined);
        const more = () => {
          while (!response.destroyed && response.write('x'.repeat(65_536)));
        };
        response.on('drain', more);
        more();
      },
      silence: () => undefined,
    })) {
      it(`believes nothing when the host answers with ${what}, and recovers`, async () => {
        service = await startHttpService(answer);
        await start(
          { jwksUri: service.url, algorithms: ['RS256'] },
          { keySetTimings: { ...fast, coolDownMs: 50 } },
        );
        const token = await sign(rsa, { kid: 'a' });
        expect(await ask(token)).to.equal(503);
        service.answer(json({ keys: [await jwkOf(rsa, 'a')] }));
        await eventually(async () => expect(await ask(token)).to.equal(200));
        expect(service.requests.every(({ path }) => path === '/')).to.equal(true);
      });
    }
  });
});
