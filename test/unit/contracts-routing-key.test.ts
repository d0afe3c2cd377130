import { expect } from 'chai';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import {
  channelKey,
  decodeWord,
  encodeWord,
  maxRoutingKeyBytes,
} from '../../contracts/routing-key.ts';

const key = (app: string, channel: string) => channelKey(app as AppId, channel as ChannelName);

describe('encodeWord', () => {
  const readable: readonly (readonly [string, string])[] = [
    ['private-chat.42', 'private-chat:42'],
    ['App.Models.User.1', 'App:Models:User:1'],
    ['#server-to-user-7', '%23server-to-user-7'],
    ['*', '%2A'],
    ['#', '%23'],
    ['.', ':'],
    ['..', '::'],
    [':', '%3A'],
    ['%', '%25'],
    ['+', '%2B'],
    ['%2A', '%252A'],
    ['a b', 'a%20b'],
    ['é', '%C3%A9'],
    ['日', '%E6%97%A5'],
    ['😀', '%F0%9F%98%80'],
    ['\u0000', '%00'],
    ['\n', '%0A'],
    ['AZaz09_-=@,;', 'AZaz09_-=@,;'],
  ];
  for (const [text, word] of readable) {
    it(`writes ${JSON.stringify(text)} as ${word}`, () => {
      expect(encodeWord(text)).to.equal(word);
    });
  }

  it('hashes a word that would be longer than allowed, and only then', () => {
    expect(encodeWord('x'.repeat(255))).to.equal('x'.repeat(255));
    expect(encodeWord('x'.repeat(256))).to.match(/^\+[A-Za-z0-9_-]{43}$/);
    expect(encodeWord('x'.repeat(50), 49)).to.match(/^\+/);
    expect(encodeWord('é'.repeat(42))).to.have.lengthOf(252);
    expect(encodeWord('é'.repeat(43))).to.match(/^\+/);
  });

  it('writes a text that looks like a hashed word differently', () => {
    const hashed = encodeWord('x'.repeat(256));
    expect(encodeWord(hashed)).to.equal(`%2B${hashed.slice(1)}`);
  });

  it('keeps upper and lower case, and composed and decomposed letters, apart', () => {
    expect(encodeWord('A')).to.not.equal(encodeWord('a'));
    expect(encodeWord('\u00e9')).to.not.equal(encodeWord('e\u0301'));
  });

  it('refuses empty and ill-formed text: both would collide with other names', () => {
    for (const text of ['', '\ud800', 'a\udc00b', '\udc00\ud800']) {
      expect(() => encodeWord(text), JSON.stringify(text)).to.throw(RangeError);
    }
  });
});

describe('decodeWord', () => {
  it('reads back every literal word', () => {
    for (const text of ['private-chat.42', '*', '#', '😀é日', 'a%2Ab', ':+.', '\u0000\ufeff']) {
      expect(decodeWord(encodeWord(text))).to.equal(text);
    }
  });

  it('knows that a hashed word cannot be read back', () => {
    expect(decodeWord(encodeWord('x'.repeat(300)))).to.equal(undefined);
  });

  it('refuses text that no encoder emits', () => {
    const odd = [
      '',
      'a.b',
      '*',
      '#',
      '%',
      '%4',
      '%2a',
      '%41',
      '%C3',
      '%FF',
      '%ED%A0%80',
      'a b',
      'é',
    ];
    for (const word of [...odd, 'x'.repeat(256)]) {
      expect(decodeWord(word), word).to.equal(undefined);
    }
  });
});

describe('channelKey', () => {
  it('is <app>.<channel>, readable for ordinary names', () => {
    expect(key('app1', 'private-chat.42')).to.equal('app1.private-chat:42');
    expect(key('app1', '#server-to-user-7')).to.equal('app1.%23server-to-user-7');
  });

  it('stays readable for every name of 200 characters with an app id of up to 54', () => {
    expect(key('a'.repeat(54), 'x'.repeat(200))).to.equal(`${'a'.repeat(54)}.${'x'.repeat(200)}`);
    expect(key('a'.repeat(55), 'x'.repeat(200))).to.match(/^a{55}\.\+/);
  });

  it('fits into 255 bytes whatever the names are', () => {
    expect(maxRoutingKeyBytes).to.equal(255);
    for (const app of ['a', 'a'.repeat(64), '日'.repeat(100)]) {
      for (const channel of ['c', 'c'.repeat(200), `#server-to-user-${'日'.repeat(128)}`]) {
        expect(Buffer.byteLength(key(app, channel))).to.be.at.most(255);
      }
    }
  });

  it('does not let an app and a channel be cut in another place', () => {
    expect(key('a', 'b.c')).to.not.equal(key('a.b', 'c'));
    expect(key('a', 'b.c').split('.')).to.have.lengthOf(2);
  });
});
