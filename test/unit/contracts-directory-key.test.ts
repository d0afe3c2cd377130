import { expect } from 'chai';
import fc from 'fast-check';
import {
  type DirectoryKey,
  directoryKeyText,
  directoryShard,
  parseDirectoryKey,
} from '../../contracts/directory-key.ts';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import { hostileText } from '../support/arbitraries.ts';

const app = 'app-id' as AppId;
const channel = 'presence-room' as ChannelName;
const keys: readonly DirectoryKey[] = [
  { kind: 'channel', app, channel },
  { kind: 'member', app, channel, user: '7' },
  { kind: 'user', app, user: '7' },
];

const anyKey: fc.Arbitrary<DirectoryKey> = fc
  .record({
    kind: fc.constantFrom('channel' as const, 'member' as const, 'user' as const),
    app: fc.constantFrom('app' as AppId, 'user' as AppId, 'channel' as AppId),
    channel: hostileText.map((text) => text as ChannelName),
    user: hostileText,
  })
  .map(({ kind, app: of, channel: name, user }): DirectoryKey => {
    if (kind === 'channel') return { kind, app: of, channel: name };
    return kind === 'user' ? { kind, app: of, user } : { kind, app: of, channel: name, user };
  });

describe('directoryKeyText', () => {
  it('is what every version of an edge agrees on', () => {
    expect(keys.map(directoryKeyText)).to.deep.equal([
      '["channel","app-id","presence-room"]',
      '["member","app-id","presence-room","7"]',
      '["user","app-id","7"]',
    ]);
  });

  it('is the same for the same key and for no other', () => {
    fc.assert(
      fc.property(anyKey, anyKey, (one, other) => {
        const isSame =
          JSON.stringify(Object.entries(one)) === JSON.stringify(Object.entries(other));
        expect(directoryKeyText(one) === directoryKeyText(other)).to.equal(isSame);
      }),
    );
  });
});

describe('parseDirectoryKey', () => {
  it('reads back what directoryKeyText makes', () => {
    fc.assert(
      fc.property(anyKey, (key) => {
        expect(parseDirectoryKey(directoryKeyText(key))).to.deep.equal(key);
      }),
    );
  });

  const refused = [
    '',
    'channel',
    '{}',
    'null',
    '[]',
    '["channel"]',
    '["channel","app"]',
    '["channel","app","a","b"]',
    '["member","app","a"]',
    '["member","app","a","b","c"]',
    '["user","app"]',
    '["user","app","a","b"]',
    '["room","app","a"]',
    '["channel","app",1]',
    '["channel",null,"a"]',
    // Another text for a key that has one would be another sum.
    '["channel", "app","a"]',
    '["channel","app","\\u0061"]',
  ];
  for (const text of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      expect(parseDirectoryKey(text)).to.equal(undefined);
    });
  }
});

describe('directoryShard', () => {
  it('is the same for a channel and its members, and another for other channels and users', () => {
    const [ofChannel, ofMember, ofUser] = keys.map(directoryShard);
    expect(ofMember).to.equal(ofChannel);
    expect(ofUser).to.not.equal(ofChannel);
    expect(directoryShard({ kind: 'channel', app, channel: 'x' as ChannelName })).to.not.equal(
      ofChannel,
    );
  });
});
