/** Keywords in schemas that bound a text, a number, a list or an object: which of them became tighter. */
import type { TypeName } from './schema-types.ts';

type Schema = Readonly<Record<string, unknown>>;

export interface LimitChange {
  readonly tightened: string;
  readonly loosened: string;
  /** False where two patterns differ, and either may be the tighter one. */
  readonly decided?: boolean;
}

/** Keyword, the type that it is about, what it counts. */
const counts: readonly (readonly [string, TypeName, string])[] = [
  ['Length', 'string', 'characters'],
  ['Items', 'array', 'items'],
  ['Properties', 'object', 'properties'],
];

/** @param live types that both schemas accept */
export function limitChanges(
  old: Schema,
  next: Schema,
  live: readonly TypeName[],
): readonly LimitChange[] {
  const found: LimitChange[] = [];
  const add = (is: string, was: string) =>
    found.push({ tightened: `must ${is}, was ${was}`, loosened: `need no longer ${is}` });
  for (const [name, type, unit] of counts) {
    if (!live.includes(type)) continue;
    const [least, wasLeast] = [numberOf(next, `min${name}`, 0), numberOf(old, `min${name}`, 0)];
    if (least > wasLeast) add(`have at least ${least} ${unit}`, `at least ${wasLeast}`);
    const none = Number.POSITIVE_INFINITY;
    const [most, wasMost] = [numberOf(next, `max${name}`, none), numberOf(old, `max${name}`, none)];
    if (most < wasMost)
      add(`have at most ${most} ${unit}`, wasMost === none ? 'any number' : `at most ${wasMost}`);
  }
  if (live.includes('integer') || live.includes('fraction')) numberChanges(old, next, add);
  if (live.includes('string')) found.push(...textChanges(old, next));
  return found;
}

function textChanges(old: Schema, next: Schema): LimitChange[] {
  return ['pattern', 'format'].flatMap((keyword) => {
    const [was, is] = [old[keyword], next[keyword]];
    if (is === undefined || is === was) return [];
    const told = `the ${keyword} ${String(is)}`;
    const loosened = `need no longer match ${told}`;
    return was === undefined
      ? [{ tightened: `must match ${told}`, loosened }]
      : [{ tightened: `must match ${told}, was ${String(was)}`, loosened, decided: false }];
  });
}

function numberChanges(old: Schema, next: Schema, add: (is: string, was: string) => void): void {
  for (const side of ['min', 'max'] as const) {
    const [is, was] = [boundOf(next, side), boundOf(old, side)];
    if (is === undefined) continue;
    const sign = side === 'min' ? 1 : -1;
    const beyond = was === undefined ? 1 : sign * (is.value - was.value);
    if (beyond > 0 || (beyond === 0 && is.exclusive && was?.exclusive === false)) {
      add(`be ${boundText(side, is)}`, was === undefined ? 'unbounded' : boundText(side, was));
    }
  }
  const [is, was] = [next['multipleOf'], old['multipleOf']];
  if (typeof is !== 'number' || is === was) return;
  const multiple = typeof was === 'number' && Number.isInteger(was / is);
  if (!multiple)
    add(`be a multiple of ${is}`, typeof was === 'number' ? `of ${was}` : 'any number');
}

interface Bound {
  readonly value: number;
  readonly exclusive: boolean;
}

/** The tighter one of `minimum` and `exclusiveMinimum`, or of the two for the other side. */
function boundOf(schema: Schema, side: 'min' | 'max'): Bound | undefined {
  const name = side === 'min' ? 'Minimum' : 'Maximum';
  const exclusive = schema[`exclusive${name}`];
  const inclusive = schema[name.toLowerCase()];
  if (typeof inclusive !== 'number') {
    return typeof exclusive === 'number' ? { value: exclusive, exclusive: true } : undefined;
  }
  if (typeof exclusive !== 'number') return { value: inclusive, exclusive: false };
  const tighter = side === 'min' ? exclusive >= inclusive : exclusive <= inclusive;
  return tighter ? { value: exclusive, exclusive: true } : { value: inclusive, exclusive: false };
}

function boundText(side: 'min' | 'max', { value, exclusive }: Bound): string {
  return `${side === 'min' ? '>' : '<'}${exclusive ? '' : '='} ${value}`;
}

function numberOf(schema: Schema, name: string, otherwise: number): number {
  const value = schema[name];
  return typeof value === 'number' ? value : otherwise;
}
