/** The JSON types that a schema accepts. */

export type TypeName = 'string' | 'integer' | 'fraction' | 'boolean' | 'object' | 'array' | 'null';

const all: readonly TypeName[] = [
  'string',
  'integer',
  'fraction',
  'boolean',
  'object',
  'array',
  'null',
];

/** `fraction` is a number that is not whole, so that a number narrowed to an integer loses one. */
export function typesOf(schema: Readonly<Record<string, unknown>>): readonly TypeName[] {
  const values = valuesOf(schema);
  const named = schema['type'] === undefined ? undefined : [schema['type']].flat();
  const declared = named?.flatMap((name) =>
    name === 'number' ? (['integer', 'fraction'] as const) : [name as TypeName],
  );
  const allowed = declared ?? all;
  if (values === undefined) return all.filter((type) => allowed.includes(type));
  const given = new Set(values.map(typeOfValue));
  return all.filter((type) => allowed.includes(type) && given.has(type));
}

/** The values of `enum` or `const`; undefined where there is neither. */
export function valuesOf(
  schema: Readonly<Record<string, unknown>>,
): readonly unknown[] | undefined {
  if (Object.hasOwn(schema, 'const')) return [schema['const']];
  return Array.isArray(schema['enum']) ? (schema['enum'] as readonly unknown[]) : undefined;
}

function typeOfValue(value: unknown): TypeName {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'fraction';
  return typeof value === 'string' ? 'string' : typeof value === 'boolean' ? 'boolean' : 'object';
}

const texts: Readonly<Record<TypeName, string>> = {
  string: 'text',
  integer: 'a whole number',
  fraction: 'a fraction',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
  null: 'null',
};

export function typesText(types: readonly TypeName[]): string {
  if (types.length === all.length) return 'anything';
  const number = types.includes('integer') && types.includes('fraction');
  const names = types
    .filter((type) => !(number && type === 'fraction'))
    .map((type) => (number && type === 'integer' ? 'a number' : texts[type]));
  return names.length === 0 ? 'nothing' : names.join(' or ');
}
