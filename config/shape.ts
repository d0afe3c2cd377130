/** Keys and types of warren.yaml against its JSON Schema, each mistake told in a sentence. */
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import schema from '../contracts/warren.schema.json' with { type: 'json' };
import { nearest } from '../runtime/nearest.ts';
import { isLaterKey, notAvailable } from './later-keys.ts';
import { type Path, type Problem, pathText, shown } from './problems.ts';
import { eventRuleWithoutEffect, keyWithoutTarget } from './rule-effects.ts';
import type { Source } from './source.ts';

/** What ajv's `verbose` adds to an error: the part of the schema that was not met. */
interface Subschema {
  readonly properties?: Readonly<Record<string, { readonly examples?: readonly unknown[] }>>;
  readonly type?: string | readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly enum?: readonly unknown[];
  readonly 'x-expected'?: string;
}

export interface ShapeCheck {
  readonly problems: readonly Problem[];
  /** True where nothing at or below the path is amiss. */
  sound(path: Path): boolean;
  /** True where what is there has the right types, so that its meaning can be checked; keys may be missing or unknown. */
  typed(path: Path): boolean;
}

type Validate = ReturnType<Ajv2020['compile']>;
let compiled: Validate | undefined;

/** Compiling takes some 50 ms, checking well under one. */
function validator(): Validate {
  if (compiled === undefined) {
    const ajv = new Ajv2020({ allErrors: true, verbose: true, allowUnionTypes: true });
    ajv.addKeyword('x-expected');
    compiled = ajv.compile(schema);
  }
  return compiled;
}

export function checkShape(source: Source): ShapeCheck {
  const validate = validator();
  if (validate(source.value)) return { problems: [], sound: () => true, typed: () => true };
  const mistyped: Path[] = [];
  const incomplete: Path[] = [];
  const problems: Problem[] = [];
  for (const error of validate.errors ?? []) {
    // Branches are told as one.
    if (/\/(oneOf|anyOf)\/\d/.test(error.schemaPath)) continue;
    const path = pathOf(error.instancePath, source.value);
    (aboutKeys.has(error.keyword) ? incomplete : mistyped).push(path);
    const problem = explain(source, path, error);
    if (problem !== undefined) problems.push(problem);
  }
  const touches = (bad: readonly Path[], path: Path) =>
    bad.some((one) => isWithin(one, path) || isWithin(path, one));
  return {
    problems,
    sound: (path) => !touches(mistyped, path) && !touches(incomplete, path),
    typed: (path) => !touches(mistyped, path),
  };
}

/** Mistakes about which keys there are, and not about what is in them. */
const aboutKeys: ReadonlySet<string> = new Set([
  'additionalProperties',
  'required',
  'oneOf',
  'anyOf',
  'dependentRequired',
]);

/** True where `inner` is at or below `outer`; the root of the file counts for itself alone. */
function isWithin(inner: Path, outer: Path): boolean {
  if (outer.length === 0) return inner.length === 0;
  return outer.every((step, index) => inner[index] === step);
}

/** A JSON pointer as a path: whether `0` is a position or a key depends on what it points into. */
function pathOf(pointer: string, root: unknown): Path {
  const path: (string | number)[] = [];
  let at: unknown = root;
  for (const raw of pointer.split('/').slice(1)) {
    const step = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    path.push(Array.isArray(at) ? Number(step) : step);
    at = (at as Record<string, unknown> | undefined)?.[step];
  }
  return path;
}

function explain(source: Source, path: Path, error: ErrorObject): Problem | undefined {
  const part = (error.parentSchema ?? {}) as Subschema;
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case 'additionalProperties':
      return unknownKey(source, [...path, String(params['additionalProperty'])], part);
    case 'required':
      return missingKey(source, path, String(params['missingProperty']), error.data, part);
    case 'oneOf':
      return secretTwiceOrNever(source, path, error.data);
    case 'anyOf':
      return path[0] === 'events'
        ? eventRuleWithoutEffect(source, path, error.data, part.properties)
        : ruleWithoutEffect(source, path, error.data, part);
    case 'dependentRequired':
      return keyWithoutTarget(source, path, String(params['property']), error.data);
    case 'type':
      return wrongType(source, path, error.data, part);
    case 'minLength':
      return source.problem(path, 'is empty text');
    case 'maxLength':
      return source.problem(path, `is longer than ${part.maxLength ?? 0} characters`);
    case 'minProperties':
      return source.problem(path, 'is an empty map');
    case 'minItems':
      return source.problem(path, 'is an empty list');
    case 'maxItems':
      return source.problem(path, `has more than ${part.maxItems ?? 0} entries`);
    case 'uniqueItems': {
      const again = Math.max(Number(params['i']), Number(params['j']));
      const value = (error.data as readonly unknown[])[again];
      return source.problem([...path, again], `${shown(value)} is given twice`);
    }
    case 'minimum':
    case 'maximum':
    case 'not': {
      const range = part['x-expected'] ?? `from ${part.minimum ?? 0} to ${part.maximum ?? 0}`;
      return source.problem(path, `must be ${range}, not ${shown(error.data)}`);
    }
    case 'enum':
      return unknownChoice(source, path, error.data, (part.enum ?? []).map(String));
    case 'pattern':
      return source.problem(
        path,
        `must be ${part['x-expected'] ?? 'of another form'}, not ${shown(error.data)}`,
      );
    default:
      return source.problem(path, error.message ?? 'is not valid');
  }
}

function unknownKey(source: Source, path: Path, part: Subschema): Problem {
  const key = String(path.at(-1));
  if (isLaterKey(path)) {
    return source.problem(path, notAvailable, { at: 'key', cure: 'remove the key' });
  }
  const known = Object.keys(part.properties ?? {});
  const best = nearest(key, known);
  const home = Object.keys(elsewhere).includes(pathText(path))
    ? elsewhere[pathText(path)]
    : undefined;
  if (home !== undefined) {
    return source.problem(path, `belongs under ${home}`, { at: 'key' });
  }
  const hint =
    best === undefined ? `; known here: ${known.join(', ')}` : `; did you mean ${shown(best)}?`;
  return source.problem(path, `is not a known key${hint}`, { at: 'key' });
}

function unknownChoice(
  source: Source,
  path: Path,
  data: unknown,
  choices: readonly string[],
): Problem | undefined {
  // Told already as the wrong type.
  if (typeof data !== 'string') return undefined;
  const best = nearest(data, choices);
  return best === undefined
    ? source.problem(
        path,
        `${shown(data)} ${notAvailable}; there is ${choices.map(shown).join(', ')}`,
      )
    : source.problem(path, `${shown(data)} is not known here; did you mean ${shown(best)}?`);
}

/** Keys that are easily put one level too high. */
const elsewhere: Readonly<Record<string, string>> = {
  'auth.userClaim': 'auth.jwt',
  'auth.secret': 'auth.jwt',
  'auth.issuer': 'auth.jwt',
  'auth.audience': 'auth.jwt',
  'auth.algorithms': 'auth.jwt',
  jwt: 'auth',
  webhooks: 'an app: apps[].webhooks',
  clientEvents: 'an app: apps[].clientEvents',
  subscriptionCount: 'an app: apps[].subscriptionCount',
  limits: 'an app: apps[].limits',
};

function missingKey(
  source: Source,
  path: Path,
  key: string,
  data: unknown,
  part: Subschema,
): Problem | undefined {
  const siblings = Object.keys((data ?? {}) as object);
  const misspelt = siblings.some(
    (name) => part.properties?.[name] === undefined && nearest(name, [key]) !== undefined,
  );
  // Told already as an unknown key, with the right one beside it.
  if (misspelt) return undefined;
  const example = part.properties?.[key]?.examples?.[0];
  return source.problem(path, `has no "${key}"`, {
    ...(example === undefined ? {} : { cure: `for example  ${key}: ${yamlText(example)}` }),
  });
}

function secretTwiceOrNever(source: Source, path: Path, data: unknown): Problem | undefined {
  const siblings = Object.keys((data ?? {}) as object);
  if (siblings.includes('secret')) {
    return source.problem([...path, 'secretFile'], 'is given beside "secret"', {
      at: 'key',
      cure: 'keep one of the two',
    });
  }
  return source.problem(path, 'has no "secret"', {
    cure: 'give secret, or secretFile: the path of a file that holds it',
  });
}

/** A channel rule that sets nothing would only hide the rules behind it. */
function ruleWithoutEffect(
  source: Source,
  path: Path,
  data: unknown,
  part: Subschema,
): Problem | undefined {
  const siblings = Object.keys((data ?? {}) as object);
  const misspelt = siblings.some(
    (name) =>
      part.properties?.[name] === undefined &&
      nearest(name, ['allow', 'authorizer', 'presenceGraceMs', 'delivery']) !== undefined,
  );
  if (misspelt) return undefined;
  const message =
    'has none of "allow", "authorizer", "presenceGraceMs" and "delivery", so it sets nothing';
  return source.problem(path, message, {
    cure: "say who may subscribe, for example  allow: 'room in claims.rooms'",
  });
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map of keys',
};

function wrongType(source: Source, path: Path, data: unknown, part: Subschema): Problem {
  const types = [part.type ?? []].flat();
  const expected = types.map((type) => typeNames[type] ?? type).join(' or ');
  const key = String(path.at(-1));
  if (data === null && templateRoot.test(key)) {
    return source.problem(path, `is not a map of templates`, {
      at: 'key',
      cure: `YAML reads an unquoted {…} as a map: put quotes around it: '{${key}}'`,
    });
  }
  if (data === null) {
    return source.problem(path, `is empty, it must be ${expected}`, {
      at: 'key',
      cure: types.includes('string')
        ? "a # starts a comment and an unquoted {…} a map in YAML: put quotes around the value, as '#' or '{data.id}'"
        : 'write something below it, or remove the key',
    });
  }
  const message = `must be ${expected}, not ${kindOf(data)}`;
  const template = unquotedTemplate(data);
  if (template !== undefined && types.includes('string')) {
    return source.problem(path, message, {
      cure: `YAML reads an unquoted {…} as a map: put quotes around it: '${template}'`,
    });
  }
  if (types.includes('string') && (typeof data === 'number' || typeof data === 'boolean')) {
    // The value may be a secret, so it is not repeated here.
    return source.problem(path, message, { cure: 'put quotes around the value' });
  }
  if (types.includes('integer') && typeof data === 'string' && /^\d+$/.test(data)) {
    return source.problem(path, message, { cure: 'remove the quotes' });
  }
  if (types.includes('array') && !types.includes('string') && typeof data !== 'object') {
    return source.problem(path, message, { cure: 'put [ ] around the value, or - before it' });
  }
  return source.problem(path, message);
}

function kindOf(data: unknown): string {
  if (Array.isArray(data)) return 'a list';
  if (typeof data === 'string') return 'text';
  if (typeof data === 'boolean') return 'true or false';
  if (typeof data === 'number') return Number.isInteger(data) ? 'a number' : 'a fraction';
  return 'a map';
}

const templateRoot = /^(data|event|headers|key)(\.|$)/;

/** `{data.id}` without quotes is, to YAML, a map with the empty key `data.id`. */
function unquotedTemplate(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return undefined;
  const entries = Object.entries(data);
  const [key, value] = entries[0] ?? [];
  const one = entries.length === 1 && key !== undefined && value === null;
  return one && templateRoot.test(key) ? `{${key}}` : undefined;
}

function yamlText(example: unknown): string {
  if (typeof example !== 'string') return JSON.stringify(example);
  return /[{*#]/.test(example) ? `'${example}'` : example;
}
