/** What is wrong with a payload, in a sentence: where and what was expected, never what was found. */
import type { ErrorObject } from 'ajv';
import { printable } from '../problems.ts';

/** @param errors as ajv leaves them: the outermost one is the last */
export function describeViolation(errors: readonly ErrorObject[]): string {
  const last = errors.at(-1);
  if (last === undefined) return 'the payload violates the schema';
  const branch = errors.at(-2);
  // `if` itself only says which branch it was.
  if (last.keyword === 'if' && branch !== undefined) return sentence(branch);
  const text = sentence(last);
  if (!composite.has(last.keyword)) return text;
  const nearest = deepest(errors, last);
  return nearest === undefined ? text : `${text}; the nearest fails as ${sentence(nearest)}`;
}

const composite: ReadonlySet<string> = new Set(['anyOf', 'oneOf', 'contains']);

/** The branch that got furthest into the payload is most likely the one that was meant. */
function deepest(errors: readonly ErrorObject[], last: ErrorObject): ErrorObject | undefined {
  let best = last;
  for (const error of errors) {
    const inside = error.instancePath.startsWith(`${last.instancePath}/`);
    if (inside && error.instancePath.length > best.instancePath.length) best = error;
  }
  return best === last ? undefined : best;
}

const maxPointer = 120;
const maxShown = 80;

function sentence(error: ErrorObject): string {
  const where =
    error.instancePath === '' ? 'the payload' : shortened(error.instancePath, maxPointer);
  return `${where} ${expectation(error.keyword, error.params as Record<string, unknown>)}`;
}

function expectation(keyword: string, params: Record<string, unknown>): string {
  const limit = String(params['limit']);
  switch (keyword) {
    case 'type':
      return `must be ${[params['type']].flat().map(typeText).join(' or ')}`;
    case 'required':
      return `lacks the property ${name(params['missingProperty'])}`;
    case 'dependentRequired':
      return `lacks the property ${name(params['missingProperty'])}, which ${name(params['property'])} needs`;
    case 'additionalProperties':
      return `has the property ${name(params['additionalProperty'])}, which the schema does not allow`;
    case 'unevaluatedProperties':
      return `has the property ${name(params['unevaluatedProperty'])}, which the schema does not allow`;
    case 'unevaluatedItems':
      return 'has more items than the schema allows';
    case 'propertyNames':
      return `has the property ${name(params['propertyName'])}, whose name the schema does not allow`;
    case 'enum':
      return `must be one of ${shortened(listText(params['allowedValues']), maxShown)}`;
    case 'const':
      return `must be ${shortened(JSON.stringify(params['allowedValue']), maxShown)}`;
    case 'pattern':
      return `must match the pattern ${shortened(String(params['pattern']), maxShown)}`;
    case 'format':
      return `must be of the format ${String(params['format'])}`;
    case 'multipleOf':
      return `must be a multiple of ${String(params['multipleOf'])}`;
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return `must be ${String(params['comparison'])} ${limit}`;
    case 'minLength':
      return `must have at least ${limit} characters`;
    case 'maxLength':
      return `must have at most ${limit} characters`;
    case 'minItems':
      return `must have at least ${limit} items`;
    case 'maxItems':
      return `must have at most ${limit} items`;
    case 'minProperties':
      return `must have at least ${limit} properties`;
    case 'maxProperties':
      return `must have at most ${limit} properties`;
    case 'uniqueItems':
      return 'must not hold an item twice';
    case 'contains':
      return `must hold at least ${String(params['minContains'] ?? 1)} items of the kind that the schema asks for${atMost(params)}`;
    case 'anyOf':
      return 'matches none of the alternatives (anyOf)';
    case 'oneOf':
      return Array.isArray(params['passingSchemas'])
        ? 'matches more than one of the alternatives (oneOf)'
        : 'matches none of the alternatives (oneOf)';
    case 'not':
      return 'is what the schema excludes (not)';
    case 'false schema':
      return 'is not allowed by the schema';
    case 'if':
      return `does not match the branch "${String(params['failingKeyword'])}"`;
    default:
      return `violates ${shortened(keyword, maxShown)}`;
  }
}

function atMost(params: Record<string, unknown>): string {
  return params['maxContains'] === undefined ? '' : ` and at most ${String(params['maxContains'])}`;
}

const typeTexts: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  array: 'a list',
  null: 'null',
};

function typeText(type: unknown): string {
  return typeTexts[String(type)] ?? String(type);
}

function listText(values: unknown): string {
  return Array.isArray(values) ? values.map((value) => JSON.stringify(value)).join(', ') : '';
}

function name(value: unknown): string {
  return shortened(JSON.stringify(String(value)), maxShown);
}

/** Keys come from the payload: bounded, and nothing that drives a terminal or breaks a header. */
function shortened(text: string, most: number): string {
  const cut = text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  return printable(cut).toWellFormed();
}
