/** The trie finds exactly what the definition of an AMQP topic pattern says, whatever is filed and removed. */
import { assert } from 'chai';
import fc from 'fast-check';
import { TopicTrie, topicWords } from '../../contracts/topic-pattern.ts';

/** The definition, word by word: slow and plain. */
function matches(pattern: readonly string[], key: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return key.length === 0;
  if (first === '#') return range(key.length + 1).some((taken) => matches(rest, key.slice(taken)));
  if (key.length === 0) return false;
  return (first === '*' || first === key[0]) && matches(rest, key.slice(1));
}

function range(length: number): readonly number[] {
  return Array.from({ length }, (_, index) => index);
}

/** Few different words, so that patterns and keys meet; odd ones among them. */
const word = fc.constantFrom('a', 'b', '', 'a*', '#a', 'é', '日本', '__proto__');
const wildcard = fc.constantFrom('*', '#');
const pattern = fc
  .array(fc.oneof({ weight: 3, arbitrary: word }, { weight: 2, arbitrary: wildcard }), {
    maxLength: 6,
  })
  .map((words) => words.join('.'));
/** In a routing key `*` and `#` are words like any other. */
const routingKey = fc
  .array(fc.oneof({ weight: 4, arbitrary: word }, { weight: 1, arbitrary: wildcard }), {
    maxLength: 6,
  })
  .map((words) => words.join('.'));

describe('TopicTrie', () => {
  it('matches what the definition matches, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 12 }), routingKey, (patterns, key) => {
        const trie = new TopicTrie<number>();
        for (const [index, each] of patterns.entries()) trie.add(each, index);
        const expected = [...patterns.keys()].filter((index) =>
          matches(topicWords(patterns[index] ?? ''), topicWords(key)),
        );
        assert.sameMembers([...trie.match(key)], expected);
      }),
      { numRuns: 2_000 },
    );
  });

  it('forgets what is removed and nothing else, in whatever order', () => {
    const step = fc.record({
      remove: fc.boolean(),
      pattern,
      value: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), routingKey, (steps, key) => {
        const trie = new TopicTrie<number>();
        const filed = new Map<string, { readonly pattern: string; readonly value: number }>();
        for (const { remove, pattern: each, value } of steps) {
          const id = `${value} ${each}`;
          if (remove) {
            trie.remove(each, value);
            filed.delete(id);
          } else {
            trie.add(each, value);
            filed.set(id, { pattern: each, value });
          }
        }
        const expected = new Set(
          [...filed.values()]
            .filter((entry) => matches(topicWords(entry.pattern), topicWords(key)))
            .map((entry) => entry.value),
        );
        assert.sameMembers([...trie.match(key)], [...expected]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes a pattern full of wildcards in its stride', () => {
    const trie = new TopicTrie<number>();
    trie.add(
      range(60)
        .map(() => '#.a')
        .join('.'),
      1,
    );
    const key = range(120)
      .map(() => 'a')
      .join('.');
    const since = performance.now();
    assert.deepEqual([...trie.match(key)], [1]);
    assert.deepEqual([...trie.match(`${key}.b`)], []);
    assert.isBelow(performance.now() - since, 500);
  });
});
