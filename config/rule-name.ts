/** How messages name an event rule. */
import type { EventRule } from '../contracts/warren-config.ts';

/** `events[2]`, or the part of the file that brings a rule of its own. */
export function ruleName({ index, builtIn }: Pick<EventRule, 'index' | 'builtIn'>): string {
  return builtIn ?? `events[${index}]`;
}

/**
 * Leaves out built-in rules where the file says otherwise: it has a rule, among these, that begins with the same literal word. A rule
 * such as `#` is about everything, so it comes on top.
 *
 * @param rules those whose pattern matches one event
 */
export function withoutOverridden<R>(rules: readonly R[], ruleOf: (one: R) => EventRule): R[] {
  const named = new Set<string>();
  for (const one of rules) {
    const rule = ruleOf(one);
    if (rule.builtIn === undefined) named.add(firstWord(rule.on));
  }
  return rules.filter((one) => {
    const { builtIn, on } = ruleOf(one);
    return builtIn === undefined || !named.has(firstWord(on));
  });
}

function firstWord(pattern: string): string {
  return pattern.split('.', 1)[0] ?? '';
}
