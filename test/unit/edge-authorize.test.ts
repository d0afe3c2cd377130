import { expect } from 'chai';
import { parseChannel } from '../../contracts/channel.ts';
import { parseSocketId } from '../../contracts/ids.ts';
import { signChannel } from '../../contracts/pusher/signature.ts';
import { authorize, type SubscriptionClaim } from '../../edge/channels/authorize.ts';

/** Pusher's own test vector (pusher-protocol.md §4.3). */
const app = { key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' };
const vector = `${app.key}:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4`;

function id(text: string) {
  const parsed = parseSocketId(text);
  if (parsed === undefined) throw new Error('not a socket id');
  return parsed;
}

const socketId = id('1234.1234');

function verdict(name: string, claim: SubscriptionClaim, socket = socketId): string | undefined {
  const channel = parseChannel(name);
  if (!channel.ok) return 'illegal';
  return authorize(channel.value, claim, socket, [app])?.type;
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

  it('refuses presence and server-to-user channels, signed or not', () => {
    for (const name of ['presence-x', 'presence-cache-x', '#server-to-user-7']) {
      expect(verdict(name, { auth: signChannel(app, socketId, name) }), name).to.equal(
        'InvalidChannel',
      );
    }
  });
});
