/** For a routing key that no rule wants: the patterns that nearly match, and what differs. */
import { ruleName } from '../config/rule-name.ts';
import { topicWords } from '../contracts/topic-pattern.ts';
import type { EventRule } from '../contracts/warren-config.ts';
import { nearest } from '../runtime/nearest.ts';

const maxHints = 3;

/** Sentences for people, nearest first; empty where nothing is near. */
export function nearPatterns(key: string, rules: readonly EventRule[]): readonly string[] {
  const words = topicWords(key);
  const hints: { readonly distance: number; readonly text: string }[] = [];
  for (const rule of rules) {
    const near = nearness(words, topicWords(rule.on));
    if (near === undefined) continue;
    hints.push({
      distance: near.distance,
      text: `${ruleName(rule)} on ${rule.on} is near: ${near.reason}`,
    });
  }
  return hints
    .sort((a, b) => a.distance - b.distance)
    .slice(0, maxHints)
    .map(({ text }) => text);
}

function nearness(
  words: readonly string[],
  pattern: readonly string[],
): { readonly distance: number; readonly reason: string } | undefined {
  const common = Math.min(words.length, pattern.length);
  const differing: number[] = [];
  for (let at = 0; at < common; at += 1) {
    if (pattern[at] === '#') return wordReason(words, pattern, differing, 0);
    if (pattern[at] !== '*' && pattern[at] !== words[at]) differing.push(at);
  }
  return wordReason(words, pattern, differing, Math.abs(words.length - pattern.length));
}

function wordReason(
  words: readonly string[],
  pattern: readonly string[],
  differing: readonly number[],
  surplus: number,
): { readonly distance: number; readonly reason: string } | undefined {
  const at = differing[0];
  if (at === undefined) {
    if (surplus === 0) return undefined;
    const [has, wants] = [words.length, pattern.length];
    const cure = has > wants ? '; * is exactly one word, # any number of them' : '';
    return {
      distance: 2,
      reason: `the key has ${count(has)}, the pattern wants ${count(wants)}${cure}`,
    };
  }
  if (differing.length > 1 || surplus > 0) return undefined;
  const word = words[at] ?? '';
  const wanted = pattern[at] ?? '';
  const told = `word ${at + 1} is "${word}", the pattern wants "${wanted}"`;
  if (word.toLowerCase() === wanted.toLowerCase()) {
    return { distance: 0, reason: `${told}: upper and lower case count` };
  }
  if (nearest(word, [wanted]) !== undefined) return { distance: 1, reason: told };
  // Another word altogether is near only where other words of the pattern are right.
  const right = pattern.some((one, index) => one === words[index]);
  return right ? { distance: 3, reason: told } : undefined;
}

function count(words: number): string {
  return words === 1 ? '1 word' : `${words} words`;
}
