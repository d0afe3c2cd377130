import { expect } from 'chai';
import fc from 'fast-check';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import { channelKey, decodeWord, encodeWord } from '../../contracts/routing-key.ts';
import { hostileText } from '../support/arbitraries.ts';

type Encode = (text: string) => string;

const wordAlphabet = /^[A-Za-z0-9_\-=@,;:%+]+$/;
const runs = { numRuns: 2_000 };

/**
 * The invariant, and not only a round trip: a codec that loses a difference between two names may still read back each name of a
 * test. Finds two texts with one word; collects words over a whole sample, so that any two of its texts are compared.
 */
function findCollision(encode: Encode, texts: readonly string[]): [string, string] | undefined {
  const owner = new Map<string, string>();
  for (const text of texts) {
    const word = encode(text);
    const other = owner.get(word);
    if (other !== undefined && other !== text) return [other, text];
    owner.set(word, text);
  }
  return undefined;
}

const samples = fc.array(hostileText, { minLength: 50, maxLength: 200 });
const isInjective = (encode: Encode) =>
  fc.property(samples, (texts) => {
    expect(findCollision(encode, texts)).to.equal(undefined);
  });

describe('the routing-key codec', () => {
  it('gives two different texts two different words', () => {
    fc.assert(isInjective(encodeWord), { numRuns: 300 });
  });

  it('gives two different texts two different words, also where words are hashed early', () => {
    fc.assert(
      isInjective((text) => encodeWord(text, 44)),
      { numRuns: 300 },
    );
  });

  it('emits words that are never empty and hold no dot, no wildcard and nothing else unexpected', () => {
    fc.assert(
      fc.property(hostileText, fc.integer({ min: 44, max: 255 }), (text, maxBytes) => {
        const word = encodeWord(text, maxBytes);
        expect(word).to.match(wordAlphabet);
        expect(Buffer.byteLength(word)).to.be.at.most(maxBytes);
      }),
      runs,
    );
  });

  it('is undone by the decoder, unless the word was hashed', () => {
    fc.assert(
      fc.property(hostileText, (text) => {
        const word = encodeWord(text);
        expect(decodeWord(word)).to.equal(word.startsWith('+') ? undefined : text);
      }),
      runs,
    );
  });

  it('decodes nothing that it would not have encoded', () => {
    const almostWords = fc.string({
      unit: fc.constantFrom(
        'a',
        'Z',
        ':',
        '%',
        '2',
        'A',
        'F',
        'C3',
        '%C3%A9',
        '+',
        '.',
        'é',
        '%2E',
      ),
      maxLength: 20,
    });
    fc.assert(
      fc.property(almostWords, (word) => {
        const text = decodeWord(word);
        if (text !== undefined) expect(encodeWord(text)).to.equal(word);
      }),
      runs,
    );
  });

  it('never lets a literal word look like a hashed one', () => {
    const nearlyHashed = fc.string({
      unit: fc.constantFrom('+', 'a', '-', '_'),
      minLength: 1,
      maxLength: 44,
    });
    fc.assert(
      fc.property(fc.oneof(hostileText, nearlyHashed), (text) => {
        const literal = encodeWord(text, Number.MAX_SAFE_INTEGER);
        const hashed = encodeWord(`${text}${'x'.repeat(256)}`);
        expect(literal).to.not.match(/^\+/);
        expect(hashed).to.match(/^\+[A-Za-z0-9_-]{43}$/);
      }),
      runs,
    );
  });

  it('makes keys of exactly two words and at most 255 bytes, different for every pair of app and channel', () => {
    const pairs = fc.array(fc.tuple(hostileText, hostileText), { minLength: 20, maxLength: 100 });
    fc.assert(
      fc.property(pairs, (all) => {
        const owner = new Map<string, string>();
        for (const [app, channel] of all) {
          const key = channelKey(app as AppId, channel as ChannelName);
          expect(key.split('.')).to.have.lengthOf(2);
          expect(Buffer.byteLength(key)).to.be.at.most(255);
          const pair = JSON.stringify([app, channel]);
          expect(owner.get(key) ?? pair).to.equal(pair);
          owner.set(key, pair);
        }
      }),
      { numRuns: 300 },
    );
  });

  describe('is held to an invariant that catches broken codecs, such as one that', () => {
    const broken: readonly (readonly [string, Encode])[] = [
      ['writes a dot as a dash', (text) => encodeWord(text.replaceAll('.', '-'))],
      ['writes a dot as a colon and leaves colons alone', (text) => text.replaceAll('.', ':')],
      ['forgets to escape its own escape', (text) => encodeWord(text).replaceAll('%25', '%')],
      ['ignores case', (text) => encodeWord(text.toLowerCase())],
      ['normalises Unicode', (text) => encodeWord(text.normalize('NFC'))],
      ['cuts long words', (text) => encodeWord(text, Number.MAX_SAFE_INTEGER).slice(0, 255)],
      ['loses a character to U+FFFD', (text) => encodeWord(text.replaceAll('\u{10000}', '\ufffd'))],
    ];
    for (const [what, encode] of broken) {
      it(what, () => {
        expect(fc.check(isInjective(encode), { numRuns: 300 }).failed).to.equal(true);
      });
    }
  });
});
