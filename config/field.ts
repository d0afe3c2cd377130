/** Reads the fields that templates name out of a domain event: own properties only, values checked before they are text. */
import type { DomainEvent } from '../contracts/domain-event.ts';
import type { DeadLetterCode, Refusal } from '../contracts/errors.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import { bigIntegersIn } from './big-integer.ts';
import type { Template, Variable } from './template.ts';

/** One event, as templates read it. */
export interface Fields {
  readonly event: DomainEvent;
  /** Integers of 2^53 or more in the payload as it was published, rounded as JSON.parse rounds them; looked for once, if ever. */
  bigIntegers(): ReadonlySet<number>;
}

export function fieldsOf(event: DomainEvent): Fields {
  let found: ReadonlySet<number> | undefined;
  return {
    event,
    bigIntegers: () => {
      found ??= bigIntegersIn(event.payload);
      return found;
    },
  };
}

/** The value at the variable's place; `undefined` where there is none. */
export function readField({ event }: Fields, variable: Variable): unknown {
  switch (variable.root) {
    case 'data':
      return descend(event.data, variable.path);
    case 'headers':
      return descend(event.headers, variable.path);
    case 'event':
      return eventAttribute(event, variable.path[0] ?? '');
    case 'key': {
      const word = variable.path[0];
      return word === undefined ? event.key : event.key.split('.')[Number(word)];
    }
  }
}

function eventAttribute(event: DomainEvent, name: string): unknown {
  switch (name) {
    case 'key':
      return event.key;
    case 'id':
      return event.id;
    case 'source':
      return event.source;
    case 'type':
      return event.type;
    default:
      return Object.hasOwn(event.attributes, name) ? event.attributes[name] : undefined;
  }
}

function descend(from: unknown, path: readonly string[]): unknown {
  let at = from;
  for (const step of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    if (Array.isArray(at)) {
      if (!/^(0|[1-9]\d*)$/.test(step)) return undefined;
      at = at[Number(step)] as unknown;
    } else {
      if (!Object.hasOwn(at, step)) return undefined;
      at = (at as Record<string, unknown>)[step];
    }
  }
  return at;
}

/** The field as text: text itself, a number or a boolean. Anything else would be a guess. */
export function fieldText(fields: Fields, variable: Variable): Result<string, Refusal> {
  const value = readField(fields, variable);
  switch (typeof value) {
    case 'string':
      return value.isWellFormed()
        ? ok(value)
        : refuse('invalid_field', variable, 'holds a lone surrogate');
    case 'boolean':
      return ok(String(value));
    case 'number': {
      if (!Number.isFinite(value)) {
        return refuse('invalid_field', variable, 'holds a number out of range');
      }
      return isUnsafe(fields, variable, value)
        ? refuse('unsafe_integer', variable, 'holds an integer of 2^53 or more')
        : ok(String(value));
    }
    case 'undefined':
      return refuse('missing_field', variable, 'is not in the event');
    default:
      return refuse('invalid_field', variable, `holds ${kindOf(value)} where text is needed`);
  }
}

/** The template as text, its fields filled in as they are. For event names and socket ids, never for channel names. */
export function renderText(fields: Fields, template: Template): Result<string, Refusal> {
  let text = '';
  for (const part of template.parts) {
    if (typeof part === 'string') {
      text += part;
      continue;
    }
    const value = fieldText(fields, part);
    if (!value.ok) return value;
    text += value.value;
  }
  return ok(text);
}

/**
 * The first thing in a value that would not reach the browser as it was published: an integer of 2^53 or more, a number that
 * JSON cannot hold, a lone surrogate. Values nest at most as deep as the envelope allows.
 */
export function lossIn(fields: Fields, variable: Variable, value: unknown): Refusal | undefined {
  if (typeof value === 'string') {
    return value.isWellFormed()
      ? undefined
      : refusal('invalid_field', variable, 'holds a lone surrogate');
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) {
      return refusal('invalid_field', variable, 'holds a number out of range');
    }
    return isUnsafe(fields, variable, value)
      ? refusal('unsafe_integer', variable, 'holds an integer of 2^53 or more')
      : undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    if (!key.isWellFormed()) return refusal('invalid_field', variable, 'holds a lone surrogate');
    const loss = lossIn(fields, variable, inner);
    if (loss !== undefined) return loss;
  }
  return undefined;
}

/**
 * JSON.parse has already rounded 9007199254740993 to …992, so a number of that size is looked up in the text as published:
 * refused if an integer written there reads as this number, and let pass if it was written as 1e300 or 12.5e20.
 */
function isUnsafe(fields: Fields, variable: Variable, value: number): boolean {
  if (!Number.isInteger(value) || Number.isSafeInteger(value)) return false;
  return variable.root !== 'data' || fields.bigIntegers().has(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return 'an object';
}

export function refusal(code: DeadLetterCode, variable: Variable, reason: string): Refusal {
  return { code, text: `{${variable.text}} ${reason}` };
}

function refuse(code: DeadLetterCode, variable: Variable, reason: string) {
  return fail(refusal(code, variable, reason));
}
