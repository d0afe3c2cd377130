/**
 * Payload schemas at work. The payload is only looked at: nothing is coerced, filled in or removed. Whatever schema and payload hold,
 * a check ends: after `maxWork` elementary checks at the latest.
 */

import { _, type CodeKeywordDefinition, type FuncKeywordDefinition } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { fail, ok, type Result } from '../../contracts/result.ts';
import type { EventSchema } from '../../contracts/warren-config.ts';
import { Budget, WorkSpent } from './budget.ts';
import { type SchemaValue, workKeyword } from './document.ts';
import { formats } from './formats.ts';
import { inspectSchema } from './inspect.ts';
import { compilePattern } from './linear-pattern.ts';
import { hasDuplicates } from './unique.ts';
import { describeViolation } from './violation.ts';

/**
 * Checks a payload; never throws. The answer where it violates the schema names the place as a JSON pointer and what was expected, in
 * at most some hundred characters. It holds names of properties and no values.
 */
export type PayloadCheck = (payload: unknown) => string | undefined;

const compiled = new WeakMap<EventSchema, PayloadCheck>();

/** Compiled once for each object, however many rules share it. @throws Error on a schema that was not checked by `loadConfig` */
export function payloadCheckOf(schema: EventSchema): PayloadCheck {
  let check = compiled.get(schema);
  if (check === undefined) {
    const result = compilePayloadCheck(inspectSchema(schema.document).sanitized);
    if (!result.ok) throw new Error(`${schema.path} was not checked: ${result.error}`);
    check = result.value;
    compiled.set(schema, check);
  }
  return check;
}

/** For a schema that was inspected, and only then; keeps what it compiles for `payloadCheckOf`. */
export function compileSchema(
  schema: EventSchema,
  sanitized: SchemaValue,
): Result<undefined, string> {
  const result = compilePayloadCheck(sanitized);
  if (!result.ok) return result;
  compiled.set(schema, result.value);
  return ok(undefined);
}

function compilePayloadCheck(sanitized: SchemaValue): Result<PayloadCheck, string> {
  const budget = new Budget();
  const ajv = createAjv(budget);
  let validate: ReturnType<Ajv2020['compile']>;
  try {
    validate = ajv.compile(sanitized);
    // V8 compiles what was generated when it is first called.
    budget.refill();
    validate({});
  } catch (error) {
    if (error instanceof RangeError) return fail('it holds too much in one place');
    return fail(error instanceof Error ? error.message : String(error));
  }
  return ok((payload) => {
    budget.refill();
    try {
      if (validate(payload)) return undefined;
      return describeViolation(validate.errors ?? []);
    } catch (error) {
      if (error instanceof WorkSpent) {
        return `the payload takes ${error.message}`;
      }
      // The stack: each level of a payload costs what the schema has put into one function.
      if (error instanceof RangeError) return 'the payload nests too deeply for this schema';
      throw error;
    } finally {
      // Errors hold parts of the payload's paths; a payload must not live on until the next one.
      validate.errors = null;
    }
  });
}

function createAjv(budget: Budget): Ajv2020 {
  const regExp = Object.assign(
    (source: string) => {
      const pattern = compilePattern(source);
      if (!pattern.ok) throw new Error(pattern.error);
      const { size, test } = pattern.value;
      return {
        test: (text: string) => {
          // At worst each instruction looks at each character, at twice the cost of an elementary check; most patterns are far quicker.
          budget.spend(1 + Math.ceil((text.length * size) / 8));
          return test(text);
        },
        // Ajv tells patterns apart by this.
        toString: () => source,
      };
    },
    { code: 'linearPattern' },
  );
  const ajv = new Ajv2020({
    strict: false,
    logger: false,
    meta: false,
    validateSchema: false,
    // Or `constructor` would count as a property of every object.
    ownProperties: true,
    // 19.99 is a multiple of 0.01 to everybody but binary fractions.
    multipleOfPrecision: 9,
    messages: false,
    // A part referred to a thousand times would be a thousand copies.
    inlineRefs: false,
    code: { regExp: regExp as never },
    formats: Object.fromEntries(
      Object.entries(formats).map(([name, validate]) => [name, { type: 'string', validate }]),
    ),
  });
  ajv.addKeyword(workOf(budget));
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword(uniqueItems(budget));
  return ajv;
}

function workOf(budget: Budget): CodeKeywordDefinition & { keyword: string } {
  return {
    keyword: workKeyword,
    before: '$ref',
    schemaType: 'array',
    code({ gen, schema, data }) {
      const spending = gen.scopeValue('obj', { key: budget, ref: budget });
      const [fixed, perUnit] = schema as [number, number];
      gen.code(
        perUnit === 0
          ? _`${spending}.spend(${fixed})`
          : _`${spending}.spendOn(${fixed}, ${perUnit}, ${data})`,
      );
    },
  };
}

/** Ajv's own compares each item with each: an hour for a megabyte of small objects. */
function uniqueItems(budget: Budget): FuncKeywordDefinition {
  return {
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    errors: false,
    compile: (wanted: boolean) => (items: readonly unknown[]) =>
      !wanted || !hasDuplicates(items, budget),
  };
}
