/** Topic patterns compared by the routing keys that they match. */
import { topicWords } from '../../contracts/topic-pattern.ts';

/** Stands for every word that neither pattern names. */
const otherWord = Symbol('any other word');
type Word = string | typeof otherWord;

/** Positions within a pattern; a `#` may match nothing, so the one behind it is reached as well. */
function withSkips(words: readonly string[], positions: Iterable<number>): number[] {
  const found = new Set(positions);
  for (const at of found) if (words[at] === '#') found.add(at + 1);
  return [...found].sort((a, b) => a - b);
}

function step(words: readonly string[], positions: readonly number[], word: Word): number[] {
  const next = positions.flatMap((at) => {
    const pattern = words[at];
    if (pattern === '#') return [at];
    return pattern === '*' || (pattern !== undefined && pattern === word) ? [at + 1] : [];
  });
  return withSkips(words, next);
}

/** Patterns with many `#` and `*` can need exponentially many; real ones need a handful. */
const maxStates = 5_000;

/** True where every key that `narrow` matches is matched by `wide`; undefined where finding out would take too long. */
export function patternCovers(wide: string, narrow: string): boolean | undefined {
  return walk(narrow, wide, (inNarrow, inWide) => inNarrow && !inWide, false);
}

/** True where some key is matched by both; undefined where finding out would take too long. */
export function patternsOverlap(one: string, other: string): boolean | undefined {
  return walk(one, other, (inOne, inOther) => inOne && inOther, true);
}

/** Follows both patterns over all keys until `found` holds at the end of one; then the answer is `answer`, else its opposite. */
function walk(
  left: string,
  right: string,
  found: (inLeft: boolean, inRight: boolean) => boolean,
  answer: boolean,
): boolean | undefined {
  const [a, b] = [topicWords(left), topicWords(right)];
  const literals = [...new Set([...a, ...b])].filter((word) => word !== '*' && word !== '#');
  const alphabet: readonly Word[] = [...literals, otherWord];
  const waiting = [{ inA: withSkips(a, [0]), inB: withSkips(b, [0]) }];
  const seen = new Set<string>();
  for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
    const key = `${state.inA.join()} ${state.inB.join()}`;
    if (seen.has(key) || state.inA.length === 0) continue;
    seen.add(key);
    if (seen.size > maxStates) return undefined;
    if (found(state.inA.includes(a.length), state.inB.includes(b.length))) return answer;
    for (const word of alphabet) {
      waiting.push({ inA: step(a, state.inA, word), inB: step(b, state.inB, word) });
    }
  }
  return !answer;
}
