/** The endpoints that sign for clients: sign-in, presence channels, and the channels that Warren cannot sign for. */
import { expect } from 'chai';
import { SignJWT } from 'jose';
import type { AppId } from '../../contracts/ids.ts';
import { startTestApi, type TestApi, type TestApiOptions } from '../support/http-api.ts';

const secret = 'a-jwt-secret-of-sufficient-length';
const auth: NonNullable<TestApiOptions['auth']> = {
  jwt: { secret, algorithms: ['HS256'], userClaim: 'sub' },
};
/** The app of the examples in the protocol's documentation. */
const example = { key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };

describe('edge HTTP API: signatures for clients', () => {
  let api: TestApi;
  const start = async (options: TestApiOptions = {}) => {
    api = await startTestApi({
      apps: [example],
      auth,
      channels: [
        { name: 'presence-room.{id}', allow: 'id in claims.rooms' },
        { name: 'private-encrypted-{id}', allow: 'true' },
        { name: 'private-{id}', allow: 'true' },
        { name: 'presence-open', allow: 'true' },
      ],
      ...options,
    });
  };
  afterEach(() => api.close());

  const token = (sub: unknown) =>
    new SignJWT({ sub: sub as string, rooms: ['1'] })
      .setProtectedHeader({ alg: 'HS256' })
      .setExpirationTime('1m')
      .sign(new TextEncoder().encode(secret));

  async function ask(
    path: string,
    fields: Record<string, string>,
    sub: unknown = '12345',
    headers: Record<string, string> = {},
  ) {
    const answer = await api.send('POST', path, new URLSearchParams(fields).toString(), {
      'content-type': 'application/x-www-form-urlencoded',
      authorization: `Bearer ${await token(sub)}`,
      ...headers,
    });
    return { ...answer, body: answer.json as Record<string, string> };
  }
  const socket = { socket_id: '1234.1234' };

  describe('user-auth', () => {
    it('signs the user of the token, as the example of the protocol does', async () => {
      await start();
      for (const path of [
        '/broadcasting/user-auth',
        '/pusher/user-auth',
        `/app/${example.key}/broadcasting/user-auth`,
        `/app/${example.key}/pusher/user-auth`,
      ]) {
        const { status, body } = await ask(path, socket);
        expect(status, path).to.equal(200);
        expect(body).to.deep.equal({
          auth: `${example.key}:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba`,
          user_data: '{"id":"12345"}',
        });
      }
    });

    it('signs what the SDK of Pusher would sign', async () => {
      await start();
      for (const sub of ['7', 'auth0|u ser/é"\\', 7]) {
        const { body } = await ask('/broadcasting/user-auth', socket, sub);
        expect(body).to.deep.equal(api.sdk.authenticateUser(socket.socket_id, { id: String(sub) }));
      }
    });

    it('refuses a token that names no user, or one that no socket can be', async () => {
      await start();
      for (const sub of [null, '', {}, 'x'.repeat(129), '\ud800']) {
        const { status, body } = await ask('/broadcasting/user-auth', socket, sub);
        expect([status, body['code']], String(sub)).to.deep.equal([403, 'forbidden']);
      }
      expect((await ask('/broadcasting/user-auth', socket, 'x'.repeat(128))).status).to.equal(200);
    });

    it('needs a token and a socket id', async () => {
      await start();
      const none = await ask('/broadcasting/user-auth', socket, '7', { authorization: '' });
      expect([none.status, none.header('www-authenticate')]).to.deep.equal([401, 'Bearer']);
      for (const fields of [{}, { socket_id: '1' }, { socket_id: '1.2:presence-x' }]) {
        const { status } = await ask('/broadcasting/user-auth', fields as Record<string, string>);
        expect(status, JSON.stringify(fields)).to.equal(400);
      }
    });

    it('answers preflights like the other endpoint, and asks for the app where there are several', async () => {
      await start({ apps: [example, { id: 'b' as AppId, key: 'b-key', secret: 'b' }] });
      const preflight = await api.send('OPTIONS', '/app/b-key/broadcasting/user-auth', '', {
        origin: 'https://a.example',
      });
      expect([preflight.status, preflight.header('access-control-allow-origin')]).to.deep.equal([
        204,
        '*',
      ]);
      const plain = await ask('/broadcasting/user-auth', socket);
      expect([plain.status, plain.body['code']]).to.deep.equal([404, 'unknown_app']);
      expect(plain.body['error']).to.include('/app/<key>/broadcasting/user-auth');
      const { body } = await ask('/app/b-key/broadcasting/user-auth', socket);
      expect(body['auth']).to.match(/^b-key:/);
    });
  });

  describe('auth', () => {
    const channel = (name: string) => ({ ...socket, channel_name: name });

    it('signs a private channel as the example of the protocol does', async () => {
      await start();
      const { body } = await ask('/broadcasting/auth', channel('private-foobar'));
      expect(body).to.deep.equal({
        auth: `${example.key}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4`,
      });
    });

    it('signs a presence channel with the user of the token as its member', async () => {
      await start();
      for (const sub of ['7', 'auth0|u ser/é"\\', 7]) {
        const { status, body } = await ask('/pusher/auth', channel('presence-room.1'), sub);
        expect(status).to.equal(200);
        expect(body['channel_data']).to.equal(JSON.stringify({ user_id: String(sub) }));
        expect(body).to.deep.equal(
          api.sdk.authorizeChannel(socket.socket_id, 'presence-room.1', { user_id: String(sub) }),
        );
      }
    });

    it('refuses a presence channel by its rule first, then to a token that names no user', async () => {
      await start();
      const refused = await ask('/broadcasting/auth', channel('presence-room.2'), null);
      expect([refused.status, refused.body['error']]).to.deep.equal([
        403,
        'This channel is not open to you.',
      ]);
      for (const sub of [null, 'x'.repeat(129)]) {
        const nobody = await ask('/broadcasting/auth', channel('presence-open'), sub);
        expect([nobody.status, nobody.body['code']]).to.deep.equal([403, 'forbidden']);
        expect(nobody.body).not.to.have.property('auth');
      }
    });

    it('leaves encrypted channels to the application, whatever their rule says, and says so', async () => {
      await start();
      for (const name of ['private-encrypted-a', 'private-encrypted-cache-a']) {
        const { status, body } = await ask('/broadcasting/auth', channel(name));
        expect(status).to.equal(403);
        expect(body['error']).to.include('application').and.include('shared_secret');
      }
    });

    it('refuses the channel of a user, also to that user', async () => {
      await start();
      const { status, body } = await ask('/broadcasting/auth', channel('#server-to-user-12345'));
      expect(status).to.equal(403);
      expect(body['error']).to.include('user-auth');
    });
  });

  it('refuses everything for a disabled app, and lets the page read that', async () => {
    await start({ apps: [{ ...example, enabled: false }] });
    for (const path of ['/broadcasting/auth', '/broadcasting/user-auth']) {
      const answer = await ask(path, { ...socket, channel_name: 'private-a' }, '7', {
        origin: 'https://a.example',
      });
      expect([answer.status, answer.body['code']]).to.deep.equal([403, 'app_disabled']);
      expect(answer.header('access-control-allow-origin')).to.equal('*');
    }
  });
});
