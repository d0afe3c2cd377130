/**
 * Conditions in CEL, for event rules and channel rules alike: compiled once, evaluated in microseconds, and never a way for data
 * to hold up the process.
 *
 * JSON numbers are CEL doubles; they compare, equal and add up with integers of an expression (`data.count > 3`, `data.id == 5`,
 * `data.id in [1, 2]`, `data.count % 2 == 0`) as people expect. Text is never a number: `id == 5` needs `int(id) == 5`.
 */
import {
  TypeError as CheckError,
  Environment,
  EvaluationError,
  ParseError,
} from '@marcbachmann/cel-js';
import { fail, ok, type Result } from '../contracts/result.ts';
import { nearest } from '../runtime/nearest.ts';
import { guardSyntaxTree, limitedList, registerGuards } from './expression-guard.ts';

/** Names and kinds of what an expression may read; `any` where the value may be anything, null included. */
export type Variables = Readonly<Record<string, 'text' | 'map' | 'any'>>;

export interface Expression {
  readonly source: string;
  /**
   * Evaluates; never throws. Only `true` is a yes: false, a value of another type and every error are a no.
   * `error` is there when the no is not a plain false: for people, may repeat a word of the data, so not for logs. `code` is for logs.
   *
   * @param values one own property for each declared variable
   */
  test(values: Readonly<Record<string, unknown>>): Verdict;
}

export type Verdict =
  | { readonly ok: true }
  | { readonly ok: false; readonly error?: string; readonly code?: string };

export interface ExpressionError {
  readonly message: string;
  readonly cure?: string;
  /** Characters into the expression. */
  readonly offset: number;
}

const limits = { maxAstNodes: 200, maxDepth: 20, maxListElements: 20, maxMapEntries: 20 };

const yes: Verdict = { ok: true };
const no: Verdict = { ok: false };

/** Compiles and type-checks. Everything that can be known to be wrong before the first event is an error here. */
export function compileExpression(
  source: string,
  variables: Variables,
): Result<Expression, ExpressionError> {
  const environment = createEnvironment(variables);
  let parsed: ReturnType<Environment['parse']>;
  try {
    parsed = environment.parse(source);
    const objection = guardSyntaxTree(parsed.ast, () => environment.parse(limitedList).ast);
    if (objection !== undefined) return fail(objection);
  } catch (error) {
    return fail(explain(error, source, variables));
  }
  const checked = parsed.check();
  if (!checked.valid) return fail(explain(checked.error, source, variables));
  if (checked.type !== 'bool' && checked.type !== 'dyn') {
    return fail({
      offset: 0,
      message: `yields ${typeName(checked.type)}, it must yield true or false`,
    });
  }
  return ok({
    source,
    test(values) {
      try {
        const value: unknown = parsed(values);
        if (value === true) return yes;
        if (value === false) return no;
        return { ok: false, code: 'not_bool', error: 'yields neither true nor false' };
      } catch (error) {
        return errorVerdict(error);
      }
    },
  });
}

function createEnvironment(variables: Variables): Environment {
  const environment = new Environment({ limits, homogeneousAggregateLiterals: false });
  for (const [name, kind] of Object.entries(variables)) {
    environment.registerVariable(name, kind === 'text' ? 'string' : kind === 'any' ? 'dyn' : 'map');
  }
  for (const [left, right] of [
    ['double', 'int'],
    ['int', 'double'],
  ]) {
    for (const [operator, apply] of Object.entries(arithmetic)) {
      environment.registerOperator(`${left} ${operator} ${right}: double`, mixed(apply));
    }
    environment.registerOperator(`${left} % ${right}: double`, mixed(remainder));
  }
  environment.registerOperator('double % double: double', mixed(remainder));
  registerGuards(environment);
  return environment;
}

type Arithmetic = (left: number, right: number) => number;

const remainder: Arithmetic = (left, right) => left % right;

const arithmetic: Readonly<Record<string, Arithmetic>> = {
  '+': (left, right) => left + right,
  '-': (left, right) => left - right,
  '*': (left, right) => left * right,
  '/': (left, right) => left / right,
};

function mixed(apply: Arithmetic) {
  return (left: number | bigint, right: number | bigint) => apply(Number(left), Number(right));
}

function errorVerdict(error: unknown): Verdict {
  if (!(error instanceof EvaluationError)) {
    return { ok: false, code: 'evaluation_error', error: messageOf(error) };
  }
  // cel-js asks a value for its `constructor`, and JSON may hold a key of that name.
  const text =
    error.code === 'unsupported_type'
      ? 'a value is of a kind that conditions cannot read, or an object with a key named "constructor"'
      : lowerFirst(error.summary);
  return { ok: false, code: error.code, error: text };
}

function explain(error: unknown, source: string, variables: Variables): ExpressionError {
  if (
    !(
      error instanceof ParseError ||
      error instanceof CheckError ||
      error instanceof EvaluationError
    )
  ) {
    return { offset: 0, message: `is not CEL: ${messageOf(error)}` };
  }
  const offset = error.range?.start ?? 0;
  const at = source.slice(offset);
  if (error.code === 'unknown_variable') {
    return { offset, ...unknownVariable(error.summary, variables) };
  }
  if (error.code === 'limit_exceeded') {
    return { offset, message: `is too large: ${lowerFirst(error.summary)}` };
  }
  const cure = cureOf(error, source, at);
  return {
    offset,
    message: /\bEOF$/.test(error.summary)
      ? 'is not CEL: it ends where a value belongs'
      : `is not CEL: ${lowerFirst(error.summary)}`,
    ...(cure === undefined ? {} : { cure }),
  };
}

function unknownVariable(summary: string, variables: Variables) {
  const name = /: (.*)$/.exec(summary)?.[1] ?? '';
  const names = Object.keys(variables);
  if (name === 'and' || name === 'or' || name === 'not') return { message: words[name] };
  // Of short names every other one is near.
  const best = name.length < 3 ? undefined : nearest(name, names);
  return {
    message: `does not know "${name}"${best === undefined ? '' : `; did you mean "${best}"?`}`,
    cure: `variables here are ${names.join(', ')}; text needs quotes`,
  };
}

const words = {
  and: 'holds "and"; in CEL it is &&',
  or: 'holds "or"; in CEL it is ||',
  not: 'holds "not"; in CEL it is !',
};

function cureOf(
  error: ParseError | CheckError | EvaluationError,
  source: string,
  at: string,
): string | undefined {
  if (at.startsWith('=') || /[^=!<>]=[^=]/.test(source)) return '== compares, there is no other =';
  if (error.code === 'unexpected_character') {
    const before = source.slice(0, source.length - at.length);
    if (/^(and|or)\b/.test(at) || /\bnot\s*$/.test(before)) return 'write && || ! for and, or, not';
  }
  if (/string [=!<>]=? (int|double)|(int|double) [=!<>]=? string/.test(error.summary)) {
    return "text and numbers do not compare: write int(id) == 5 or id == '5'";
  }
  return undefined;
}

function typeName(type: string | undefined): string {
  if (type === 'string') return 'text';
  if (type === 'int' || type === 'double' || type === 'uint') return 'a number';
  return type === undefined ? 'something' : `a ${type}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
