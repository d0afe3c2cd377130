import { expect } from 'chai';
import { parseChannel } from '../../contracts/channel.ts';
import { parseSocketId } from '../../contracts/ids.ts';
import type { Member } from '../../contracts/pusher/identity.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import { authorize, type SubscriptionClaim } from '../../edge/channels/authorize.ts';
import { errorOf, okOf } from '../support/result.ts';

/** Pusher's own test vector (pusher-protocol.md §4.3). */
const app = { key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };
const vector = `${app.key}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4`;

function id(text: string) {
  const parsed = parseSocketId(text);
  if (parsed === undefined) throw new Error('not a socket id');
  return parsed;
}

const socketId = id('1234.1234');

const rules = { keys: [app], maxInfoBytes: 100 };

function decide(name: string, claim: SubscriptionClaim, user?: Member, socket = socketId) {
  return authorize(okOf(parseChannel(name)), claim, { socketId: socket, user }, rules);
}

function verdict(name: string, claim: SubscriptionClaim, socket = socketId): string | undefined {
  const decision = decide(name, claim, undefined, socket);
  return decision.ok ? undefined : decision.error.type;
}

describe('authorize', () => {
  it('lets everybody into public channels, whatever auth says', () => {
    expect(verdict('news', {})).to.equal(undefined);
    expect(verdict('cache-news', { auth: 'nonsense' })).to.equal(undefined);
  });

  it('accepts the published test vector', () => {
    expect(verdict('private-foobar', { auth: vector })).to.equal(undefined);
  });

  it('refuses a signature of another socket, channel, key or length', () => {
    const [key, digest] = vector.split(':') as [string, string];
    expect(verdict('private-foobar', { auth: vector }, id('1234.1235'))).to.equal('AuthError');
    expect(verdict('private-foobaz', { auth: vector })).to.equal('AuthError');
    for (const auth of [
      `other-key:${digest}`,
      `:${digest}`,
      digest,
      `${key}:${digest.toUpperCase()}`,
      `${key}:${digest.slice(0, -1)}`,
      `${vector}0`,
      `${key}:`,
      ' ',
    ]) {
      expect(verdict('private-foobar', { auth }), auth).to.equal('AuthError');
    }
    expect(verdict('private-foobar', {})).to.equal('AuthError');
  });

  it('binds channel_data byte for byte where the client sends it, on private channels too', () => {
    const channelData = '{"user_id":1}';
    const auth = signChannel(app, socketId, 'private-foobar', channelData);
    expect(verdict('private-foobar', { auth, channelData })).to.equal(undefined);
    expect(verdict('private-foobar', { auth })).to.equal('AuthError');
    expect(verdict('private-foobar', { auth, channelData: '{"user_id": 1}' })).to.equal(
      'AuthError',
    );
    expect(verdict('private-foobar', { auth: vector, channelData: '' })).to.equal('AuthError');
  });

  it('asks for a signature on every kind of private channel', () => {
    for (const name of [
      'private-x',
      'private-cache-x',
      'private-encrypted-x',
      'private-encrypted-cache-x',
    ]) {
      expect(verdict(name, {}), name).to.equal('AuthError');
      expect(verdict(name, { auth: signChannel(app, socketId, name) }), name).to.equal(undefined);
    }
  });

  it('takes the member of a presence channel from what was signed', () => {
    const channelData = '{"user_id":10,"user_info":{"name":"Mr. Channels"}}';
    const auth = `${app.key}:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80`;
    expect(okOf(decide('presence-foobar', { auth, channelData }))).to.deep.equal({
      member: { userId: '10', info: '{"name":"Mr. Channels"}' },
    });
    expect(
      verdict('presence-foobar', { auth, channelData: channelData.replace('10', '11') }),
    ).to.equal('AuthError');
  });

  it('looks at the signature of a presence channel before it parses anything', () => {
    const decision = decide('presence-x', { auth: 'nonsense', channelData: 'not json' });
    expect(errorOf(decision).error).to.match(/signature/);
    const signed = signChannel(app, socketId, 'presence-x', 'not json');
    const parsed = decide('presence-x', { auth: signed, channelData: 'not json' });
    expect(errorOf(parsed)).to.include({ status: 400 });
    expect(errorOf(parsed).error).to.match(/channel_data/);
  });

  it('joins a signed-in user to a presence channel without channel_data, and nobody else', () => {
    const auth = signChannel(app, socketId, 'presence-x');
    const user = { userId: 'ada', info: '{"n":1}' };
    expect(okOf(decide('presence-x', { auth }, user))).to.deep.equal({ member: user });
    expect(errorOf(decide('presence-x', { auth })).error).to.match(/channel_data/);
    expect(verdict('presence-x', {})).to.equal('AuthError');
  });

  it('lets only the signed-in user itself into its channel, signed or not', () => {
    const name = '#server-to-user-7';
    const auth = signChannel(app, socketId, name);
    expect(verdict(name, { auth })).to.equal('AuthError');
    expect(decide(name, {}, { userId: '7', info: null }).ok).to.equal(true);
    expect(decide(name, { auth }, { userId: '70', info: null }).ok).to.equal(false);
  });
});
