/** The template language of warren.yaml: text with `{variables}`, compiled once. */
import { fail, ok, type Result } from '../contracts/result.ts';

/** What a variable reads. */
export type Root = 'data' | 'event' | 'headers' | 'key';

export interface Variable {
  readonly root: Root;
  /** Keys and list positions below the root, in order. */
  readonly path: readonly string[];
  /** As it was written, without the braces. */
  readonly text: string;
}

export interface Template {
  readonly source: string;
  /** Literal text and variables in order; literals are never empty. */
  readonly parts: readonly (string | Variable)[];
  /** The variable that is the whole template, nothing beside it. */
  readonly alone?: Variable;
}

export interface TemplateError {
  /** Goes on from the name of the key. */
  readonly message: string;
  readonly cure?: string;
  /** Characters into the template. */
  readonly offset: number;
}

const roots: readonly Root[] = ['data', 'event', 'headers', 'key'];

/** They name no field of anyone's data, and in JavaScript they lead out of it. */
const forbidden: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * Compiles `private-chat.{data.roomId}`. Variables are `{data.a.b}`, `{data.items.0.id}`, `{data}`, `{event.type}` (id, source,
 * type, key and CloudEvents attributes), `{headers.name}`, `{key}` and `{key.0}` (a word of the routing key, from 0);
 * `{{` and `}}` stand for braces. Nothing is evaluated: a variable names a place, and only own properties are read there.
 */
export function compileTemplate(source: string): Result<Template, TemplateError> {
  const parts: (string | Variable)[] = [];
  let literal = '';
  let at = 0;
  while (at < source.length) {
    const character = source.charAt(at);
    const doubled = source.charAt(at + 1) === character;
    if ((character === '{' || character === '}') && doubled) {
      literal += character;
      at += 2;
    } else if (character === '}') {
      return bad(at, 'has a } without {', 'write }} for a literal brace');
    } else if (character === '{') {
      const end = source.indexOf('}', at);
      if (end < 0) return bad(at, 'has a { without }', 'write {{ for a literal brace');
      const variable = parseVariable(source.slice(at + 1, end), at + 1);
      if (!variable.ok) return variable;
      if (literal !== '') parts.push(literal);
      literal = '';
      parts.push(variable.value);
      at = end + 1;
    } else {
      literal += character;
      at += 1;
    }
  }
  if (literal !== '') parts.push(literal);
  const first = parts[0];
  const alone = parts.length === 1 && typeof first === 'object' ? first : undefined;
  return ok({ source, parts, ...(alone === undefined ? {} : { alone }) });
}

function parseVariable(text: string, offset: number): Result<Variable, TemplateError> {
  if (text === '') return bad(offset, 'has an empty {}', 'name a field, as {data.id}');
  const steps = text.split('.');
  const root = roots.find((name) => name === steps[0]);
  if (root === undefined) {
    return bad(
      offset,
      `does not know {${text.slice(0, 60)}}`,
      /^[\w.-]{1,60}$/.test(text)
        ? `fields of the payload are written {data.${text}}; there are also {event.…}, {headers.…} and {key}`
        : 'variables are {data.…}, {event.…}, {headers.…} and {key}',
    );
  }
  const path = steps.slice(1);
  for (const step of path) {
    if (!/^[^\s{}[\]"'`\p{Cc}]+$/u.test(step)) {
      return bad(
        offset,
        `has an illegal part in {${text.slice(0, 60)}}`,
        'write a path of names and list positions, as {data.items.0.id}',
      );
    }
    if (forbidden.has(step)) return bad(offset, `may not name "${step}"`);
  }
  if (!text.isWellFormed()) return bad(offset, 'holds a lone surrogate');
  const problem = shapeProblem(root, path);
  return problem === undefined ? ok({ root, path, text }) : bad(offset, ...problem);
}

function shapeProblem(root: Root, path: readonly string[]): [string, string] | undefined {
  if (root === 'event' && path.length !== 1) {
    return [
      'needs one attribute name after "event"',
      'as {event.type}, {event.id} or {event.subject}',
    ];
  }
  if (root === 'headers' && path.length === 0) {
    return ['needs a header name after "headers"', 'as {headers.x-tenant}'];
  }
  if (root === 'key' && (path.length > 1 || !/^(0|[1-9]\d{0,2})$/.test(path[0] ?? '0'))) {
    return [
      'takes only a word position after "key"',
      '{key} is the routing key, {key.0} its first word',
    ];
  }
  return undefined;
}

function bad(
  offset: number,
  message: string,
  cure?: string,
): { readonly ok: false; readonly error: TemplateError } {
  return fail({ offset, message, ...(cure === undefined ? {} : { cure }) });
}
