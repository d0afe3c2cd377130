/** What it costs to check a value against one schema, the schemas within it left out. */
import { isJsonObject } from '../../contracts/json-guard.ts';
import { maxWork } from './budget.ts';

/** Keywords that look at the whole of a text, or at each entry. Patterns and uniqueItems count for themselves. */
const perUnitKeywords: ReadonlySet<string> = new Set([
  'minLength',
  'maxLength',
  'format',
  'minProperties',
  'maxProperties',
  'additionalProperties',
  'patternProperties',
  'propertyNames',
  'unevaluatedProperties',
  'unevaluatedItems',
]);

/** `[fixed, perUnit]`; undefined where the schema checks nothing. */
export function workOf(schema: Readonly<Record<string, unknown>>): [number, number] | undefined {
  let fixed = 0;
  let perUnit = 0;
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === '$defs' || keyword === 'definitions') continue;
    fixed += 1 + entriesOf(value);
    if (perUnitKeywords.has(keyword)) perUnit += 1;
    if (keyword === 'enum' || keyword === 'const') perUnit += objectsIn(keyword, value);
    if (keyword === 'additionalProperties')
      perUnit += Math.ceil(entriesOf(schema['properties']) / 8);
    if (keyword === 'patternProperties') perUnit += entriesOf(value);
  }
  return fixed === 0 ? undefined : [Math.min(fixed, maxWork), perUnit];
}

function entriesOf(value: unknown): number {
  return typeof value === 'object' && value !== null ? Object.keys(value).length : 0;
}

function objectsIn(keyword: string, value: unknown): number {
  const values: readonly unknown[] = keyword === 'enum' && Array.isArray(value) ? value : [value];
  return values.filter((one) => isJsonObject(one)).length;
}
