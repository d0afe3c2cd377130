import { expect } from 'chai';
import { parseTopicPattern, TopicTrie, topicWords } from '../../contracts/topic-pattern.ts';
import { errorOf } from '../support/result.ts';

/** Seen on a real broker: reliability.md §4. */
const seen: readonly (readonly [string, string, boolean])[] = [
  ['a.b', 'a.b', true],
  ['a.b', 'A.b', false],
  ['a.b', 'a.b ', false],
  ['a.*', 'a.b', true],
  ['a.*', 'a', false],
  ['a.*', 'a.b.c', false],
  ['*', 'a', true],
  ['*', '', false],
  ['*.*', '.', true],
  ['*.', '.', true],
  ['a.*', 'a.', true],
  ['#', '', true],
  ['#', 'a', true],
  ['#', 'a.b.c', true],
  ['#.#', '', true],
  ['#.#', 'a', true],
  ['', '', true],
  ['', 'a', false],
  ['a.#', 'a', true],
  ['a.#', 'a.b.c', true],
  ['a.#', 'b', false],
  ['#.b', 'a..b', true],
  ['#.b', 'b', true],
  ['a.b', 'a..b', false],
  ['a..b', 'a..b', true],
  ['a.*.b', 'a..b', true],
  ['a.#', 'a..b', true],
  ['#.b.#', 'a.b.c', true],
  ['#.b.#', 'a.c', false],
  ['a.*', 'a.*', true],
  ['a.#', 'a.*', true],
  ['a.b', 'a.*', false],
  ['#', '#', true],
  ['*', '#', true],
  ['a', '#', false],
  ['é.ü', 'é.ü', true],
  ['日本', '日本', true],
];

function trieOf(...patterns: readonly string[]): TopicTrie<string> {
  const trie = new TopicTrie<string>();
  for (const pattern of patterns) trie.add(pattern, pattern);
  return trie;
}

describe('TopicTrie', () => {
  for (const [pattern, key, matches] of seen) {
    it(`"${pattern}" ${matches ? 'matches' : 'does not match'} "${key}"`, () => {
      expect(trieOf(pattern).match(key).has(pattern)).to.equal(matches);
    });
  }

  it('finds a value once, however many of its patterns match', () => {
    const trie = new TopicTrie<string>();
    for (const pattern of ['a.b', 'a.*', '#', 'a.#']) trie.add(pattern, 'rule');
    expect([...trie.match('a.b')]).to.deep.equal(['rule']);
  });

  it('finds every value whose pattern matches', () => {
    const found = trieOf('a.b', 'a.*', 'b.*', '#', 'a.#', '*.b.#').match('a.b');
    expect([...found].sort()).to.deep.equal(['#', '*.b.#', 'a.#', 'a.*', 'a.b']);
  });

  it('forgets what is removed and nothing else', () => {
    const trie = trieOf('a', 'a.b', 'a.b.c');
    trie.remove('a.b', 'a.b');
    trie.remove('a.b', 'never there');
    trie.remove('x.y', 'never there');
    expect(trie.match('a.b').size).to.equal(0);
    expect(trie.match('a').size).to.equal(1);
    expect(trie.match('a.b.c').size).to.equal(1);
  });

  it('keeps a pattern that two values share until both are gone', () => {
    const trie = new TopicTrie<string>();
    trie.add('a.*', 'one');
    trie.add('a.*', 'two');
    trie.remove('a.*', 'one');
    expect([...trie.match('a.b')]).to.deep.equal(['two']);
    trie.remove('a.*', 'two');
    expect(trie.match('a.b').size).to.equal(0);
  });

  it('answers at once where a pattern of many # meets a long key', () => {
    const trie = trieOf(`${'#.a.'.repeat(30)}b`);
    expect(trie.match('a.'.repeat(120)).size).to.equal(0);
  });
});

describe('topicWords', () => {
  it('splits as the broker does: empty words count, the empty text has none', () => {
    expect(topicWords('')).to.deep.equal([]);
    expect(topicWords('a')).to.deep.equal(['a']);
    expect(topicWords('a..b')).to.deep.equal(['a', '', 'b']);
    expect(topicWords('.')).to.deep.equal(['', '']);
  });
});

describe('parseTopicPattern', () => {
  it('takes every pattern that can be bound', () => {
    for (const pattern of [
      '',
      '#',
      '*',
      'a.*.#',
      'a..b',
      'chat.message.*',
      '日本.*',
      'x'.repeat(255),
    ]) {
      expect(parseTopicPattern(pattern).ok, pattern).to.equal(true);
    }
  });

  it('refuses a wildcard inside a word, which the broker would take literally', () => {
    for (const pattern of ['a*b', 'chat*', 'a.*x', 'a#', '##', '**', 'a.b*.c']) {
      expect(errorOf(parseTopicPattern(pattern)).text, pattern).to.include('whole word');
    }
  });

  it('counts bytes, not characters', () => {
    expect(parseTopicPattern('é'.repeat(127)).ok).to.equal(true);
    expect(errorOf(parseTopicPattern('é'.repeat(128))).text).to.include('256 bytes');
  });

  it('refuses a lone surrogate', () => {
    expect(errorOf(parseTopicPattern('a.\ud800')).code).to.equal('invalid_topic_pattern');
  });
});
