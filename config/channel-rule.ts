/** Names of channel rules, `private-chat.{room}`: compiled to matchers that take linear time and yield the parameters. */

import { parseChannel } from '../contracts/channel.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import type { Variables } from './expression.ts';

export interface ChannelRuleName {
  readonly source: string;
  /** Names of the parameters, in order; each is text to the rule's condition. */
  readonly parameters: readonly string[];
  /** True where every channel of this form is a presence channel. */
  readonly presence: boolean;
  /** True where the form is one of public channels; it then matches no others, whatever its parameters may stand for. */
  readonly public: boolean;
  /**
   * The parameters of a channel name that has this form, on an object without a prototype; `undefined` for any other.
   *
   * A parameter is one or more characters other than a dot. Where a name can be read in two ways (`private-{a}-{b}`), the
   * earlier parameter is the shorter one.
   */
  match(channelName: string): Readonly<Record<string, string>> | undefined;
  /** True where this rule matches every channel that the other one matches, so that the other, coming later, is never asked. */
  covers(other: ChannelRuleName): boolean;
}

/**
 * What a channel rule's `allow` may read: `claims`, the verified claims of the token; `user`, who asks (at least `id`, as text); and
 * the parameters of the name, as text.
 */
export function allowVariables(name: ChannelRuleName): Variables {
  const parameters = name.parameters.map((parameter) => [parameter, 'text'] as const);
  return { claims: 'map', user: 'map', ...Object.fromEntries(parameters) };
}

export interface ChannelRuleNameError {
  readonly message: string;
  readonly cure?: string;
  readonly offset: number;
}

/** Literal text and parameters; two parameters are never neighbours. */
type Part = string | { readonly parameter: string };

/** Names that the condition has for other things. */
const taken: ReadonlySet<string> = new Set(['claims', 'user']);
/** CEL, and the names of its types. */
const reserved: ReadonlySet<string> = new Set(
  (
    'as break const continue else false for function if import in let loop namespace null package prototype return true var ' +
    'void while bool bytes cel double duration dyn google int list map null_type optional string timestamp type uint'
  ).split(' '),
);

/** In place of a parameter while comparing rules: no channel name holds it. */
const anything = '\u0000';

/**
 * @param maxLength of a channel name, from the limits of the app
 * @param publicToo the rule sets something that public channels have too; else their names are refused
 */
export function compileChannelRuleName(
  source: string,
  maxLength: number,
  publicToo = false,
): Result<ChannelRuleName, ChannelRuleNameError> {
  const parsed = parseParts(source);
  if (!parsed.ok) return parsed;
  const parts = parsed.value;
  const sample = parts.map((part) => (typeof part === 'string' ? part : 'x')).join('');
  const channel = parseChannel(sample, maxLength);
  if (!channel.ok) {
    return bad(0, `can never be a channel name: ${channel.error.text}`);
  }
  if (channel.value.kind === 'server-to-user') {
    return bad(
      0,
      'names the channel of a user, which nobody subscribes to',
      'users sign in instead',
    );
  }
  const isPublic = !channel.value.requiresAuthorization;
  if (isPublic && !publicToo) {
    return bad(
      0,
      'is a public channel, so nobody would ask this rule',
      `begin the name with private- or presence-: private-${source}`,
    );
  }
  const parameters = parts.flatMap((part) => (typeof part === 'string' ? [] : [part.parameter]));
  return ok({
    source,
    parameters,
    presence: channel.value.kind === 'presence',
    public: isPublic,
    match: (name) => {
      if (isPublic && !isPublicName(name)) return undefined;
      const values = matchParts(parts, name);
      if (values === undefined) return undefined;
      const named = Object.create(null) as Record<string, string>;
      for (const [index, parameter] of parameters.entries()) named[parameter] = values[index] ?? '';
      return named;
    },
    covers: (other) =>
      other.public === isPublic &&
      matchParts(parts, other.source.replace(/\{[^{}]*\}/g, anything)) !== undefined,
  });
}

/** `{kind}-chat` can be read as `private-chat`: a rule that anybody may write for a public channel must not reach that. */
function isPublicName(name: string): boolean {
  const channel = parseChannel(name);
  return channel.ok && !channel.value.requiresAuthorization;
}

function parseParts(source: string): Result<readonly Part[], ChannelRuleNameError> {
  const parts: Part[] = [];
  const names = new Set<string>();
  let at = 0;
  while (at < source.length) {
    const open = source.indexOf('{', at);
    const literal = source.slice(at, open < 0 ? source.length : open);
    const stray = literal.indexOf('}');
    if (stray >= 0) return bad(at + stray, 'has a } without {');
    if (literal !== '') parts.push(literal);
    if (open < 0) break;
    const close = source.indexOf('}', open);
    if (close < 0) return bad(open, 'has a { without }');
    const name = source.slice(open + 1, close);
    const problem = parameterProblem(name, names);
    if (problem !== undefined) return bad(open + 1, ...problem);
    if (typeof parts.at(-1) === 'object') {
      return bad(open, 'has two parameters side by side', 'put text between them: {a}.{b}');
    }
    names.add(name);
    parts.push({ parameter: name });
    at = close + 1;
  }
  return ok(parts);
}

function parameterProblem(
  name: string,
  earlier: ReadonlySet<string>,
): [string, string] | undefined {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name) || name === '__proto__') {
    return [
      'has a parameter that is not a name',
      'letters, digits and _, as {room}; rules take no data: {data.room} belongs in events',
    ];
  }
  if (taken.has(name))
    return [`has a parameter "${name}", which the condition has already`, 'choose another name'];
  if (reserved.has(name))
    return [`has a parameter "${name}", a word of CEL`, 'choose another name'];
  if (earlier.has(name)) return [`has the parameter "${name}" twice`, 'give each its own name'];
  return undefined;
}

/**
 * Matches from left to right, each parameter taking as little as it can. That finds a match whenever there is one, since an earlier
 * end leaves more for the rest, and never goes back, so it takes linear time for each literal.
 */
function matchParts(parts: readonly Part[], name: string): readonly string[] | undefined {
  const values: string[] = [];
  let at = 0;
  for (let index = 0; index < parts.length; index += 1) {
    const part = parts[index];
    if (typeof part === 'string') {
      if (!name.startsWith(part, at)) return undefined;
      at += part.length;
      continue;
    }
    const end = endOfParameter(parts, index, name, at);
    if (end === undefined) return undefined;
    values.push(name.slice(at, end));
    at = end;
  }
  return at === name.length ? values : undefined;
}

/** Where the parameter at `index` ends: before the next place of the literal behind it, or at the end of the name. */
function endOfParameter(
  parts: readonly Part[],
  index: number,
  name: string,
  at: number,
): number | undefined {
  const next = parts[index + 1];
  const isLastLiteral = index + 2 >= parts.length;
  let end: number;
  if (typeof next !== 'string') end = name.length;
  else if (isLastLiteral) end = name.endsWith(next) ? name.length - next.length : -1;
  else end = name.indexOf(next, at + 1);
  if (end <= at) return undefined;
  return name.slice(at, end).includes('.') ? undefined : end;
}

function bad(
  offset: number,
  message: string,
  cure?: string,
): { readonly ok: false; readonly error: ChannelRuleNameError } {
  return fail({ offset, message, ...(cure === undefined ? {} : { cure }) });
}
