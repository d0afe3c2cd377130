/** Which event rule of a new file is which of the old one: rules have no names. */
import type { EventRule } from '../../contracts/warren-config.ts';
import { patternsOverlap } from './topic-patterns.ts';

export interface RulePairs {
  readonly pairs: readonly { readonly old: EventRule; readonly next: EventRule }[];
  readonly removed: readonly EventRule[];
  readonly added: readonly EventRule[];
}

/** Pairs what is most alike first; a rule with neither the pattern nor a channel in common is another one. */
export function pairRules(before: readonly EventRule[], after: readonly EventRule[]): RulePairs {
  const candidates = before.flatMap((old) =>
    after
      .map((next) => ({ old, next, likeness: likeness(old, next) }))
      .filter(({ likeness }) => likeness > 0),
  );
  // Of equals, those that stand in the same order.
  candidates.sort((a, b) => b.likeness - a.likeness || a.old.index - b.old.index);
  const [olds, nexts] = [new Set<EventRule>(), new Set<EventRule>()];
  const pairs = candidates.filter(({ old, next }) => {
    if (olds.has(old) || nexts.has(next)) return false;
    olds.add(old);
    nexts.add(next);
    return true;
  });
  return {
    pairs: pairs.sort((a, b) => a.next.index - b.next.index),
    removed: before.filter((rule) => !olds.has(rule)),
    added: after.filter((rule) => !nexts.has(rule)),
  };
}

function likeness(old: EventRule, next: EventRule): number {
  if (old.app !== next.app) return 0;
  const samePattern = old.on === next.on;
  const shared = old.to.filter((target) => next.to.includes(target)).length;
  if (!samePattern && (shared === 0 || patternsOverlap(old.on, next.on) === false)) return 0;
  return [
    samePattern ? 8 : 0,
    shared > 0 ? 8 : 0,
    shared === old.to.length && shared === next.to.length ? 2 : 0,
    JSON.stringify([old.unsubscribe, old.disconnect]) ===
    JSON.stringify([next.unsubscribe, next.disconnect])
      ? 2
      : 0,
    old.as === next.as ? 2 : 0,
    old.when === next.when ? 1 : 0,
    JSON.stringify(old.data) === JSON.stringify(next.data) ? 1 : 0,
  ].reduce((sum, points) => sum + points);
}
