/** The keywords of JSON Schema 2020-12 and what each takes. */

/** What stands behind a keyword. */
export type Takes =
  /** A schema, a non-empty list of them, or a map of them by property name. */
  | 'schema'
  | 'schemas'
  | 'schema-map'
  /** As `schema-map`; the names are regular expressions. */
  | 'pattern-map'
  | 'types'
  | 'reference'
  | 'pattern'
  | 'format'
  | 'text'
  | 'count'
  | 'number'
  | 'positive'
  | 'flag'
  | 'names'
  | 'names-map'
  | 'list'
  | 'anything'
  /** Tells people something and checks nothing. */
  | 'annotation'
  /** Known, and refused with the reason in `refusedKeywords`. */
  | 'refused';

const takenBy: Readonly<Record<Takes, string>> = {
  schema:
    'not if then else additionalProperties propertyNames items contains unevaluatedItems unevaluatedProperties',
  schemas: 'allOf anyOf oneOf prefixItems',
  'schema-map': '$defs definitions properties dependentSchemas',
  'pattern-map': 'patternProperties',
  types: 'type',
  reference: '$ref',
  pattern: 'pattern',
  format: 'format',
  text: '$schema $id',
  count:
    'minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties',
  number: 'minimum maximum exclusiveMinimum exclusiveMaximum',
  positive: 'multipleOf',
  flag: 'uniqueItems',
  names: 'required',
  'names-map': 'dependentRequired',
  list: 'enum',
  anything: 'const',
  annotation:
    '$comment title description default examples deprecated readOnly writeOnly contentEncoding contentMediaType contentSchema',
  refused: '$anchor $dynamicRef $dynamicAnchor $recursiveRef $recursiveAnchor $vocabulary',
};

export const keywords: ReadonlyMap<string, Takes> = new Map(
  Object.entries(takenBy).flatMap(([takes, names]) =>
    names.split(' ').map((name) => [name, takes as Takes] as const),
  ),
);

/** Keywords whose schemas see the same place of the payload as the schema that they stand in. */
export const inPlace: ReadonlySet<string> = new Set([
  'allOf',
  'anyOf',
  'oneOf',
  'not',
  'if',
  'then',
  'else',
  'dependentSchemas',
]);

/** Keywords of older drafts and of OpenAPI, with what does their work here. */
export const formerKeywords: ReadonlyMap<string, string> = new Map([
  ['id', '$id'],
  ['dependencies', 'dependentRequired or dependentSchemas'],
  ['additionalItems', 'items beside prefixItems'],
  ['nullable', 'type: ["string", "null"]'],
]);

export const typeNames = [
  'string',
  'number',
  'integer',
  'boolean',
  'object',
  'array',
  'null',
] as const;
