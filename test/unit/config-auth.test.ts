import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect } from 'chai';
import { loadConfig } from '../../config/load.ts';
import { isLoopback, isPrivateHost } from '../../config/private-host.ts';

const files: Record<string, string> = {};
const load = (jwt: object) =>
  loadConfig(JSON.stringify({ auth: { jwt } }), {
    path: 'warren.yaml',
    production: false,
    readFile: (path) => {
      const text = files[path.split('/').at(-1) ?? ''];
      if (text === undefined) throw Object.assign(new Error('no'), { code: 'ENOENT' });
      return text;
    },
  });
const told = (jwt: object) => {
  const result = load(jwt);
  const problems = result.ok ? [] : result.problems;
  return problems.map(({ path, message }) => `${path} ${message}`);
};
const jwtOf = (jwt: object) => {
  const result = load(jwt);
  return result.ok ? result.config.auth?.jwt : result.problems;
};
const pemOf = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString();
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const ec = pemOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey);
const claims = { issuer: 'https://id.example', audience: 'warren' };
const jwksUri = 'https://id.example/jwks.json';

describe('auth.jwt', () => {
  it('takes a public key in place or in a file, and the algorithm that goes with it', () => {
    files['jwt.pem'] = `${pemOf(rsa.publicKey)}\n`;
    expect(jwtOf({ publicKeyFile: 'jwt.pem', ...claims })).to.deep.equal({
      publicKey: pemOf(rsa.publicKey),
      algorithms: ['RS256'],
      userClaim: 'sub',
      ...claims,
    });
    expect(jwtOf({ publicKey: ec, ...claims })).to.deep.include({ algorithms: ['ES384'] });
    const several = { publicKey: pemOf(rsa.publicKey), algorithms: ['PS256', 'RS512'], ...claims };
    expect(jwtOf(several)).to.deep.include({ algorithms: ['PS256', 'RS512'] });
    const ed = pemOf(generateKeyPairSync('ed25519').publicKey);
    expect(jwtOf({ publicKey: ed, ...claims })).to.deep.include({ algorithms: ['EdDSA'] });
  });

  it('takes the URL of a key set, with the algorithms named', () => {
    expect(jwtOf({ jwksUri, algorithms: ['RS256', 'ES256'], ...claims })).to.deep.equal({
      jwksUri,
      algorithms: ['RS256', 'ES256'],
      userClaim: 'sub',
      ...claims,
    });
    expect(told({ jwksUri, ...claims })).to.deep.equal([
      'auth.jwt has no "algorithms", and a key set may hold keys for many',
    ]);
    for (const url of ['http://127.0.0.1:9/', 'http://localhost/', 'http://[::1]:80/']) {
      expect(told({ jwksUri: url, algorithms: ['RS256'], ...claims }), url).to.deep.equal([]);
    }
    for (const url of [
      'http://id.example/',
      'http://10.0.0.1/',
      'http://localhost.example/',
      'https://a:b@id.example/',
      'ftp://id.example/',
      'id.example',
    ]) {
      expect(told({ jwksUri: url, algorithms: ['RS256'], ...claims }).length, url).to.equal(1);
    }
  });

  it('takes exactly one kind of key', () => {
    expect(told({ ...claims })).to.deep.equal(['auth.jwt has no key to check tokens with']);
    const secret = 'x'.repeat(32);
    expect(told({ secret, secretFile: 'x', ...claims })).to.deep.equal([
      'auth.jwt.secretFile is given beside "secret"',
    ]);
    expect(told({ secret, publicKey: ec, ...claims })).to.deep.equal([
      'auth.jwt.publicKey is given beside "secret"',
    ]);
    expect(told({ publicKey: ec, jwksUri, ...claims })).to.deep.equal([
      'auth.jwt.jwksUri is given beside "publicKey"',
    ]);
  });

  it('never lets an HMAC stand beside a public key, nor the reverse', () => {
    expect(told({ publicKey: ec, algorithms: ['ES384', 'HS256'], ...claims })).to.deep.equal([
      'auth.jwt.algorithms[1] is for a shared secret, and "publicKey" is public',
    ]);
    expect(told({ jwksUri, algorithms: ['HS256'], ...claims })).to.deep.equal([
      'auth.jwt.algorithms[0] is for a shared secret, and "jwksUri" is public',
    ]);
    expect(told({ secret: 'x'.repeat(32), algorithms: ['RS256'], ...claims })).to.deep.equal([
      'auth.jwt.algorithms[0] needs a public key, and "secret" is a shared secret',
    ]);
    expect(told({ publicKey: ec, algorithms: ['ES384', 'RS256'], ...claims })).to.deep.equal([
      'auth.jwt.algorithms[1] does not go with an EC key on secp384r1',
    ]);
  });

  it('refuses keys that are private, short, of another kind, or none, and never repeats them', () => {
    const small = generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey;
    const odd = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey;
    const secretPem = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    expect(
      [secretPem, pemOf(small), pemOf(odd), 'nonsense'].flatMap((publicKey) =>
        told({ publicKey, ...claims }),
      ),
    ).to.deep.equal([
      'auth.jwt.publicKey holds a private key, which only the issuer of tokens may have',
      'auth.jwt.publicKey is an RSA key of 1024 bits',
      'auth.jwt.publicKey is a key of a kind that no supported algorithm uses',
      'auth.jwt.publicKey is not a public key in PEM',
    ]);
    expect(told({ publicKeyFile: 'missing.pem', ...claims })).to.deep.equal([
      'auth.jwt.publicKeyFile cannot be read (ENOENT)',
    ]);
  });

  it('needs issuer and audience with public keys, and asks for them with a secret', () => {
    expect(told({ publicKey: ec })).to.deep.equal([
      'auth.jwt has no "issuer" and "audience", so tokens that the issuer made for other services would be accepted',
    ]);
    expect(told({ publicKey: ec, issuer: 'i' })[0]).to.contain('has no "audience",');
    const result = load({ secret: 'x'.repeat(32), issuer: 'i' });
    expect(result.ok).to.equal(true);
    expect(
      result.warnings
        .filter(({ path }) => path !== '')
        .map(({ path, message }) => `${path} ${message}`),
    ).to.deep.equal([
      'auth.jwt has no "audience": tokens that were made for other services with this secret are accepted too',
    ]);
  });
});

describe('hosts', () => {
  it('of this machine are known by their spelling', () => {
    for (const host of [
      '127.0.0.1',
      '127.9.9.9',
      '[::1]',
      'localhost',
      'a.localhost',
      'LOCALHOST.',
    ])
      expect(isLoopback(host), host).to.equal(true);
    for (const host of ['128.0.0.1', '10.0.0.1', 'localhost.com', 'notlocalhost', '[::2]'])
      expect(isLoopback(host), host).to.equal(false);
  });

  it('within private networks are too', () => {
    for (const host of [
      '10.1.2.3',
      '172.31.0.1',
      '192.168.0.1',
      '[fd00::1]',
      'auth',
      'auth.default.svc',
      'auth.default.svc.cluster.local',
      'host.docker.internal',
    ])
      expect(isPrivateHost(host), host).to.equal(true);
    for (const host of [
      '172.32.0.1',
      '8.8.8.8',
      '[2001:4860::1]',
      'auth.example.com',
      'x.localhost.io',
    ])
      expect(isPrivateHost(host), host).to.equal(false);
  });
});
