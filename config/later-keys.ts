/** Keys of warren.yaml that later versions bring: named ones are refused with that word instead of "unknown". */

/** Where the key stands, list positions left out, as `events[].schema`. */
const laterKeys: ReadonlySet<string> = new Set([
  'ingress',
  'egress',
  'partitions',
  'events[].schema',
  'events[].disconnect',
  'events[].unsubscribe',
]);

/** Keys that stand for another one: with them, the other one is not missing. */
const insteadOf: Readonly<Record<string, readonly string[]>> = {
  'events[].to': ['disconnect', 'unsubscribe'],
};

export const notAvailable = 'is not available in this version of Warren';

/** @param path of the key itself, as `['events', 0, 'schema']` */
export function isLaterKey(path: readonly (string | number)[]): boolean {
  return laterKeys.has(generalPath(path));
}

/** True where a later key of the same map explains why this one is absent. */
export function isExplainedByLaterKey(
  path: readonly (string | number)[],
  siblings: readonly string[],
): boolean {
  return (insteadOf[generalPath(path)] ?? []).some((key) => siblings.includes(key));
}

function generalPath(path: readonly (string | number)[]): string {
  return path
    .map((step) => (typeof step === 'number' ? '[]' : step))
    .join('.')
    .replaceAll('.[]', '[]');
}
