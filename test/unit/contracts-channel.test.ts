import { expect } from 'chai';
import {
  type ChannelKind,
  maxChannelNameLength,
  maxUserIdLength,
  parseChannel,
  serverToUserChannel,
} from '../../contracts/channel.ts';
import { errorOf, okOf } from '../support/result.ts';

interface Expected {
  readonly kind: ChannelKind;
  readonly encrypted?: boolean;
  readonly cache?: boolean;
}

/** Name to what it means. Every line after the first group is one that a peer gets wrong (pusher-protocol.md §4.1). */
const accepted: readonly (readonly [string, Expected])[] = [
  ['chat', { kind: 'public' }],
  ['private-chat.42', { kind: 'private' }],
  ['presence-room.1', { kind: 'presence' }],
  ['cache-scores', { kind: 'public', cache: true }],
  ['private-cache-scores', { kind: 'private', cache: true }],
  ['presence-cache-scores', { kind: 'presence', cache: true }],
  ['private-encrypted-x', { kind: 'private', encrypted: true }],
  ['private-encrypted-cache-x', { kind: 'private', encrypted: true, cache: true }],
  ['_-=@,.;azAZ09', { kind: 'public' }],
  ['.', { kind: 'public' }],
  ['App.Models.User.1', { kind: 'public' }],

  ['xprivate-y', { kind: 'public' }],
  ['xpresence-y', { kind: 'public' }],
  ['foo-cache-bar', { kind: 'public' }],
  ['private-foo-cache-bar', { kind: 'private' }],
  ['presence-foo-cache-bar', { kind: 'presence' }],
  ['privateer', { kind: 'public' }],
  ['private', { kind: 'public' }],
  ['presenceless', { kind: 'public' }],
  ['presence', { kind: 'public' }],
  ['cached', { kind: 'public' }],
  ['cache', { kind: 'public' }],
  ['Private-x', { kind: 'public' }],
  ['PRIVATE-x', { kind: 'public' }],
  ['Presence-x', { kind: 'public' }],
  ['private-private-channel.5', { kind: 'private' }],
  ['private-presence-x', { kind: 'private' }],
  ['private-encryptedx', { kind: 'private' }],
  ['private-cachex', { kind: 'private' }],
  ['presence-encrypted-x', { kind: 'presence' }],
  ['cache-private-x', { kind: 'public', cache: true }],
  ['cache-cache-x', { kind: 'public', cache: true }],
];

const refused: readonly unknown[] = [
  '',
  'private-',
  'presence-',
  'cache-',
  'private-cache-',
  'presence-cache-',
  'private-encrypted-',
  'private-encrypted-cache-',
  'has space',
  ' chat',
  'chat ',
  'chat\n',
  'a:b',
  'private-x:y',
  'private-x:{"user_id":1}',
  ':user:',
  'a/b',
  'a*b',
  '*',
  '#',
  '#x',
  '#server-to-user',
  '#server-to-user-',
  '#Server-to-user-7',
  'x#server-to-user-7',
  'a#b',
  'a%2e',
  'a+b',
  'a\\b',
  'a\u0000b',
  'é',
  '日本',
  '😀',
  'ı',
  '\ud800',
  'a\udc00',
  '__proto__\u0000',
  null,
  undefined,
  7,
  true,
  {},
  [],
  ['private-x'],
  { toString: () => 'public' },
];

describe('parseChannel', () => {
  for (const [name, expected] of accepted) {
    const words = [
      expected.kind,
      ...(expected.encrypted ? ['encrypted'] : []),
      ...(expected.cache ? ['cache'] : []),
    ];
    it(`takes ${name} as ${words.join(', ')}`, () => {
      expect(okOf(parseChannel(name))).to.deep.equal({
        name,
        kind: expected.kind,
        encrypted: expected.encrypted ?? false,
        cache: expected.cache ?? false,
        requiresAuthorization: expected.kind !== 'public',
      });
    });
  }

  for (const name of refused) {
    it(`refuses ${JSON.stringify(name) ?? String(name)}`, () => {
      const error = errorOf(parseChannel(name));
      expect(error.code).to.equal('invalid_channel_name');
      expect(error.text).to.be.a('string').and.not.equal('');
    });
  }

  it('asks for authorization for every private and presence name, whatever else the name contains', () => {
    for (const rest of ['x', 'cache-x', 'encrypted-x', 'encrypted-cache-x', 'foo-cache-bar', '.']) {
      for (const prefix of ['private-', 'presence-']) {
        expect(okOf(parseChannel(prefix + rest)).requiresAuthorization, prefix + rest).to.equal(
          true,
        );
      }
    }
  });

  it('takes names up to 200 characters and not one more', () => {
    expect(maxChannelNameLength).to.equal(200);
    expect(parseChannel('x'.repeat(200)).ok).to.equal(true);
    expect(parseChannel('x'.repeat(201)).ok).to.equal(false);
    expect(parseChannel(`private-${'x'.repeat(192)}`).ok).to.equal(true);
    expect(errorOf(parseChannel(`private-${'x'.repeat(193)}`)).text).to.include('201');
  });

  it('takes the limit of the app where it is shorter', () => {
    expect(parseChannel('x'.repeat(164), 164).ok).to.equal(true);
    expect(parseChannel('x'.repeat(165), 164).ok).to.equal(false);
  });

  it('answers at once for a name of a megabyte', () => {
    expect(parseChannel('x'.repeat(1024 * 1024)).ok).to.equal(false);
    expect(parseChannel(`#server-to-user-${'x'.repeat(1024 * 1024)}`).ok).to.equal(false);
  });
});

describe('serverToUserChannel', () => {
  for (const userId of ['7', 'auth0|u ser/é', 'a:b', '*', '#', '😀', '__proto__', ' ']) {
    it(`makes the channel of the user ${JSON.stringify(userId)}, which parseChannel reads back`, () => {
      const channel = okOf(serverToUserChannel(userId));
      expect(channel).to.deep.equal({
        name: `#server-to-user-${userId}`,
        kind: 'server-to-user',
        encrypted: false,
        cache: false,
        requiresAuthorization: true,
        userId,
      });
      expect(okOf(parseChannel(channel.name))).to.deep.equal(channel);
    });
  }

  it('takes a user id up to 128 characters and not one more', () => {
    expect(maxUserIdLength).to.equal(128);
    expect(serverToUserChannel('u'.repeat(128)).ok).to.equal(true);
    expect(serverToUserChannel('u'.repeat(129)).ok).to.equal(false);
  });

  it('does not count the prefix against the limit of channel names', () => {
    expect(parseChannel(`#server-to-user-${'u'.repeat(128)}`, 100).ok).to.equal(true);
  });

  it('refuses an empty or ill-formed id', () => {
    for (const userId of ['', '\ud800', 'a\udfff']) {
      expect(errorOf(serverToUserChannel(userId)).code).to.equal('invalid_channel_name');
    }
  });

  it('lets an id that looks like a channel belong to nobody but that user', () => {
    const channel = okOf(parseChannel('#server-to-user-private-x'));
    expect(channel.kind).to.equal('server-to-user');
    expect(channel.userId).to.equal('private-x');
  });
});
