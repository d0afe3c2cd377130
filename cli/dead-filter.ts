/** Which dead letters a command is about. */
import type { DeadLetter } from '../contracts/dead-letter.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import { parseTopicPattern, TopicTrie } from '../contracts/topic-pattern.ts';

/** As they were written; a letter must meet all that are given. */
export interface DeadFilterFlags {
  readonly id?: readonly string[];
  /** Codes. */
  readonly reason?: readonly string[];
  /** AMQP topic pattern over the first routing key. */
  readonly key?: string | undefined;
  /** Durations, as `90s`, `15m`, `2h`, `3d`. */
  readonly since?: string | undefined;
  readonly olderThan?: string | undefined;
}

export interface DeadFilter {
  /** False where no flag narrows it: it matches all. */
  readonly narrows: boolean;
  matches(letter: DeadLetter): boolean;
}

const unitMs: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** The error is a sentence for people. A letter of unknown age is neither younger nor older than anything. */
export function deadFilter(flags: DeadFilterFlags, nowMs: number): Result<DeadFilter, string> {
  const tests: ((letter: DeadLetter) => boolean)[] = [];
  const { id = [], reason = [], key } = flags;
  if (id.length > 0) {
    const ids = new Set(id.map((one) => one.toLowerCase()));
    tests.push((letter) => ids.has(letter.id));
  }
  if (reason.length > 0) tests.push((letter) => reason.includes(letter.code));
  if (key !== undefined) {
    const pattern = parseTopicPattern(key);
    if (!pattern.ok) return fail(`--key is not a topic pattern: ${pattern.error.text}`);
    const trie = new TopicTrie<true>();
    trie.add(pattern.value, true);
    tests.push((letter) => trie.match(letter.event.routingKey).size > 0);
  }
  for (const [name, text, younger] of [
    ['--since', flags.since, true],
    ['--older-than', flags.olderThan, false],
  ] as const) {
    if (text === undefined) continue;
    const durationMs = durationOf(text);
    if (durationMs === undefined) return fail(`${name} ${text}: write it as 90s, 15m, 2h or 3d`);
    const edgeMs = nowMs - durationMs;
    tests.push(({ atMs }) => atMs !== undefined && (younger ? atMs >= edgeMs : atMs < edgeMs));
  }
  return ok({
    narrows: tests.length > 0,
    matches: (letter) => tests.every((test) => test(letter)),
  });
}

function durationOf(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  return count === undefined || unit === undefined
    ? undefined
    : Number(count) * (unitMs[unit] ?? 0);
}
