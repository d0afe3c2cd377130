/** Whether a list holds a value twice, in time that is linear in its text. */
import type { Budget } from './budget.ts';

export function hasDuplicates(items: readonly unknown[], budget: Budget): boolean {
  const seen = new Set<string>();
  for (const item of items) {
    const text = canonicalText(item, budget);
    if (seen.has(text)) return true;
    seen.add(text);
  }
  return false;
}

/** The same text for equal values, whatever the order of their keys. */
function canonicalText(value: unknown, budget: Budget): string {
  if (typeof value !== 'object' || value === null) {
    budget.spend(2 + (typeof value === 'string' ? value.length / 16 : 0));
    // JSON knows one zero.
    return value === 0 ? '0' : JSON.stringify(value);
  }
  budget.spend(4);
  if (Array.isArray(value)) {
    return `[${value.map((one) => canonicalText(one, budget)).join(',')}]`;
  }
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const texts = entries.map(([key, one]) => `${JSON.stringify(key)}:${canonicalText(one, budget)}`);
  return `{${texts.join(',')}}`;
}
