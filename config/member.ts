/** Templates that make a member's user_info out of the claims of a token: `{ name: '{claims.name}' }`. */
import { fail, ok, type Result } from '../contracts/result.ts';

export interface MemberError {
  /** The key of the map. */
  readonly key: string;
  readonly offset: number;
  readonly message: string;
  readonly cure: string;
}

export interface MemberTemplates {
  /**
   * What the claims have of it. A template that is one claim alone keeps its JSON type; a key of which a claim is absent, or is no
   * text, number or boolean beside other text, is left out.
   */
  render(claims: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
}

/** Literal text, or the path of a claim. */
type Part = string | readonly string[];

const forbidden: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const token = /\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g;

/** Reports every template that is wrong. */
export function compileMember(
  templates: Readonly<Record<string, string>>,
): Result<MemberTemplates, readonly MemberError[]> {
  const compiled: { readonly key: string; readonly parts: readonly Part[] }[] = [];
  const errors: MemberError[] = [];
  for (const [key, source] of Object.entries(templates)) {
    const parts = parse(source);
    if (forbidden.has(key)) {
      errors.push({ key, offset: 0, message: 'may not be a key of user_info', cure: 'rename it' });
    } else if (parts.ok) compiled.push({ key, parts: parts.value });
    else errors.push({ key, ...parts.error });
  }
  if (errors.length > 0) return fail(errors);
  return ok({
    render(claims) {
      const info: Record<string, unknown> = {};
      for (const { key, parts } of compiled) {
        const value = filledIn(parts, claims);
        if (value !== undefined) info[key] = value;
      }
      return info;
    },
  });
}

function parse(source: string): Result<readonly Part[], Omit<MemberError, 'key'>> {
  const parts: Part[] = [];
  for (const { 0: text, index } of source.matchAll(token)) {
    if (text === '{{' || text === '}}') parts.push(text.charAt(0));
    else if (text === '{' || text === '}') {
      const message = text === '{' ? 'has a { without }' : 'has a } without {';
      return fail({ offset: index, message, cure: `write ${text}${text} for a literal brace` });
    } else if (text.startsWith('{')) {
      const [root, ...path] = text.slice(1, -1).split('.');
      const legal = path.every((step) => /^[^\s"'`]+$/.test(step) && !forbidden.has(step));
      if (root !== 'claims' || path.length === 0 || !legal) {
        return fail({
          offset: index,
          message: `does not know ${text.slice(0, 60)}`,
          cure: 'name a claim of the token, as {claims.name} or {claims.profile.avatar}',
        });
      }
      parts.push(path);
    } else parts.push(text);
  }
  return ok(parts);
}

function filledIn(parts: readonly Part[], claims: Readonly<Record<string, unknown>>): unknown {
  const [first] = parts;
  if (parts.length === 1 && typeof first === 'object') return claimAt(claims, first);
  let text = '';
  for (const part of parts) {
    const value = typeof part === 'string' ? part : claimAt(claims, part);
    if (!['string', 'number', 'boolean'].includes(typeof value)) return undefined;
    text += String(value);
  }
  return text;
}

/** Own properties only; positions of lists count as such. */
function claimAt(claims: Readonly<Record<string, unknown>>, path: readonly string[]): unknown {
  let at: unknown = claims;
  for (const step of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    if (Array.isArray(at) && !/^\d+$/.test(step)) return undefined;
    at = (at as Record<string, unknown>)[step];
  }
  return at;
}
