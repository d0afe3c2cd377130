/** Rules under `events` that would do nothing, or say something about nothing. */
import { nearest } from '../runtime/nearest.ts';
import type { Path, Problem } from './problems.ts';
import type { Source } from './source.ts';

const effects = ['to', 'unsubscribe', 'disconnect'];

/** @param known the keys that a rule may have */
export function eventRuleWithoutEffect(
  source: Source,
  path: Path,
  rule: unknown,
  known: Readonly<Record<string, unknown>> = {},
): Problem | undefined {
  const isMisspelt = keysOf(rule).some(
    (key) => known[key] === undefined && nearest(key, effects) !== undefined,
  );
  // Told already as an unknown key, with the right one beside it.
  if (isMisspelt) return undefined;
  const message = 'has none of "to", "unsubscribe" and "disconnect", so it does nothing';
  return source.problem(path, message, { cure: "for example  to: 'private-chat.{data.roomId}'" });
}

/** `as`, `data` and `except` say what is published. */
export function keyWithoutTarget(
  source: Source,
  path: Path,
  key: string,
  rule: unknown,
): Problem | undefined {
  // A rule without any effect is told as that.
  if (!keysOf(rule).some((one) => effects.includes(one))) return undefined;
  return source.problem([...path, key], 'is about what is published, and the rule has no "to"', {
    at: 'key',
    cure: 'name the channels under "to", or remove the key',
  });
}

function keysOf(rule: unknown): readonly string[] {
  return typeof rule === 'object' && rule !== null ? Object.keys(rule) : [];
}
