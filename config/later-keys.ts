/** Keys of warren.yaml that later versions bring: named ones are refused with that word instead of "unknown". */

/** Where the key stands, list positions left out, as `events[].disconnect`. */
const laterKeys: ReadonlySet<string> = new Set(['partitions']);

export const notAvailable = 'is not available in this version of Warren';

/** @param path of the key itself, as `['events', 0, 'disconnect']` */
export function isLaterKey(path: readonly (string | number)[]): boolean {
  const general = path
    .map((step) => (typeof step === 'number' ? '[]' : step))
    .join('.')
    .replaceAll('.[]', '[]');
  return laterKeys.has(general);
}
