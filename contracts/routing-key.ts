/**
 * The routing-key codec: free text to one word of an AMQP routing key, injectively.
 *
 * A word made here is never empty and holds only `[A-Za-z0-9_\-=@,;:%+]`, so it can neither split into two words nor act as
 * the wildcards `*` or `#` when it is used in a binding. That is what keeps one channel's subscribers away from another's
 * (docs/adr/0003-routing-keys.md).
 */
import { createHash } from 'node:crypto';
import type { AppId, ChannelKey, ChannelName } from './ids.ts';

/** AMQP 0-9-1 short string, in bytes; all that is emitted here is ASCII. */
export const maxRoutingKeyBytes = 255;

/** `+` and base64url of SHA-256 without padding. */
const hashedWordBytes = 1 + 43;

const literalPattern = /^[A-Za-z0-9_\-=@,;]+$/;
const literalCharacter = /[A-Za-z0-9_\-=@,;]/;

/**
 * Encodes text as one routing-key word: legal characters stand for themselves, `.` becomes `:`, every other character becomes
 * `%HH` per UTF-8 byte. A word longer than `maxBytes` becomes `+` and the base64url SHA-256 of the text instead; the literal form
 * never starts with `+`, so the two forms are disjoint.
 *
 * @param text non-empty and well-formed; lone surrogates would collapse into U+FFFD and collide
 * @param maxBytes at least 44, the size of the hashed form
 * @throws RangeError on empty or ill-formed text: callers parse before they encode
 */
export function encodeWord(text: string, maxBytes: number = maxRoutingKeyBytes): string {
  if (text === '' || !text.isWellFormed()) {
    throw new RangeError('a routing-key word is made from non-empty, well-formed text');
  }
  const literal = literalPattern.test(text) ? text : escapeWord(text);
  if (literal.length <= maxBytes) return literal;
  return `+${createHash('sha256').update(text, 'utf8').digest('base64url')}`;
}

function escapeWord(text: string): string {
  let word = '';
  for (const character of text) {
    if (literalCharacter.test(character)) word += character;
    else if (character === '.') word += ':';
    else {
      for (const byte of Buffer.from(character, 'utf8')) {
        word += `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
      }
    }
  }
  return word;
}

/** Reads a literal word back; `undefined` for a hashed word and for text that no encoder emits. */
export function decodeWord(word: string): string | undefined {
  if (word === '' || word.startsWith('+')) return undefined;
  if (!/^(?:[A-Za-z0-9_\-=@,;:]|%[0-9A-F]{2})+$/.test(word)) return undefined;
  const bytes: number[] = [];
  for (let at = 0; at < word.length; at += 1) {
    const character = word.charAt(at);
    if (character === '%') {
      bytes.push(Number.parseInt(word.slice(at + 1, at + 3), 16));
      at += 2;
    } else {
      bytes.push(character === ':' ? 0x2e : character.charCodeAt(0));
    }
  }
  const text = Buffer.from(bytes).toString('utf8');
  return text !== '' && encodeWord(text) === word ? text : undefined;
}

/** The routing key of a channel on `warren.channels`: always exactly two words, at most 255 bytes. */
export function channelKey(appId: AppId, channel: ChannelName): ChannelKey {
  const app = encodeWord(appId, maxRoutingKeyBytes - 1 - hashedWordBytes);
  return `${app}.${encodeWord(channel, maxRoutingKeyBytes - 1 - app.length)}` as ChannelKey;
}
