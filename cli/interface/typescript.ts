/** What clients receive as TypeScript declarations: for each form of channel and each event the type of `data`, as far as it is known. */
import type { EventRule, WarrenConfig } from '../../contracts/warren-config.ts';
import { clientShape, dereferenced, isShape, payloadSchemaOf, type Shape } from './shape.ts';
import { interfaceView, type NamePattern, type ReceivedEvent } from './view.ts';

/** Deeper than this nothing is told: a schema may refer to itself. */
const maxDepth = 6;

export interface DeclarationOptions {
  /** Id of the app whose channels are told. */
  readonly app: string;
  /** Shown in the first line. */
  readonly source: string;
}

/** The same file gives the same text. It has no code in it and compiles under `tsc --strict`. */
export function typeDeclarations(
  config: Pick<WarrenConfig, 'events'>,
  { app, source }: DeclarationOptions,
): string {
  const channels = interfaceView(config).received.filter((one) => one.app === app);
  const members = channels.flatMap(({ channel, events }) => [
    ...documentation(channel, 1),
    `  ${quoted(channel.text)}: {`,
    ...eventMembers(events),
    '  };',
  ]);
  return [
    `// Written by "warren types" from ${comment(source)}, app ${comment(app)}. Write it anew rather than change it.`,
    '',
    '/** By form of channel, then by event: the data that a listener is called with. */',
    'export interface WarrenEvents {',
    ...members,
    '}',
    '',
    usage,
  ].join('\n');
}

const usage = `export type WarrenChannelForm = keyof WarrenEvents & string;

/** Names of channels of a form: \`private-chat.\${string}\` of \`private-chat.{room}\`. */
export type WarrenChannelName<Form extends string = WarrenChannelForm> =
  Form extends \`\${infer Before}{\${string}}\${infer After}\`
    ? \`\${Before}\${string}\${WarrenChannelName<After>}\`
    : Form;

export type WarrenEventName<Form extends WarrenChannelForm> = keyof WarrenEvents[Form] & string;

export type WarrenData<
  Form extends WarrenChannelForm,
  Event extends WarrenEventName<Form>,
> = WarrenEvents[Form][Event];

/** A channel of pusher-js, with the events of its form: \`pusher.subscribe(name) as WarrenPusherChannel<Form>\`. */
export interface WarrenPusherChannel<Form extends WarrenChannelForm> {
  bind<Event extends WarrenEventName<Form>>(
    event: Event,
    callback: (data: WarrenData<Form, Event>) => void,
  ): this;
}

/** A channel of Laravel Echo; the dot before an event keeps Echo from putting a namespace there. */
export interface WarrenEchoChannel<Form extends WarrenChannelForm> {
  listen<Event extends WarrenEventName<Form>>(
    event: \`.\${Event}\`,
    callback: (data: WarrenData<Form, Event>) => void,
  ): this;
}
`;

/** A name with parameters is an index signature, which must admit the names beside it: then it says nothing of the data. */
function eventMembers(events: readonly ReceivedEvent[]): readonly string[] {
  const signatures = new Map<string, { readonly pattern: NamePattern; readonly types: string[] }>();
  for (const { name, rules } of events) {
    const isOpen = name.parameters.length > 0;
    const key = isOpen ? `[event: ${openName(name.text)}]` : quoted(name.text);
    const type = isOpen && events.length > 1 ? 'unknown' : unionOf(rules.map(ruleType));
    const signature = signatures.get(key) ?? { pattern: name, types: [] };
    signature.types.push(type);
    signatures.set(key, signature);
  }
  return [...signatures].flatMap(([key, { pattern, types }]) => [
    ...documentation(pattern, 2),
    `    ${key}: ${unionOf(types)};`,
  ]);
}

function documentation({ parameters }: NamePattern, depth: number): readonly string[] {
  if (parameters.length === 0) return [];
  const told = parameters.map(({ name, description }) => `${name}: ${description}`).join('; ');
  return [`${'  '.repeat(depth)}/** ${comment(told)} */`];
}

const anyText = '$' + '{string}';

/** A template literal type; `string` where it would be nothing but one variable. */
function openName(text: string): string {
  const inner = text
    .split(/\{[^{}]*\}/)
    .map((literal) => literal.replace(/[\\`$]/g, (character) => `\\${character}`))
    .join(anyText);
  return inner === anyText ? 'string' : `\`${inner}\``;
}

function ruleType(rule: EventRule): string {
  return typeOf(clientShape(rule), payloadSchemaOf(rule)?.document ?? true, 3);
}

/** @param depth of indentation */
function typeOf(shape: Shape, document: Shape, depth: number): string {
  const here = dereferenced(document, shape);
  if (here === false) return 'never';
  if (here === true || depth > maxDepth + 3) return 'unknown';
  if (Object.hasOwn(here, 'const')) return literalType(here['const']);
  if (Array.isArray(here['enum'])) return unionOf(here['enum'].map(literalType));
  for (const keyword of ['anyOf', 'oneOf']) {
    const branches = here[keyword];
    if (Array.isArray(branches) && branches.every(isShape)) {
      return unionOf(branches.map((branch) => typeOf(branch, document, depth)));
    }
  }
  const types = [here['type'] ?? []].flat();
  return types.length === 0
    ? 'unknown'
    : unionOf(types.map((type) => simpleType(String(type), here, document, depth)));
}

function simpleType(
  type: string,
  shape: { readonly [keyword: string]: unknown },
  document: Shape,
  depth: number,
): string {
  switch (type) {
    case 'string':
    case 'boolean':
    case 'null':
      return type;
    case 'number':
    case 'integer':
      return 'number';
    case 'array': {
      const { items, prefixItems } = shape;
      const known = prefixItems === undefined && isShape(items);
      return `readonly ${grouped(known ? typeOf(items, document, depth) : 'unknown')}[]`;
    }
    case 'object':
      return objectType(shape, document, depth);
    default:
      return 'unknown';
  }
}

function objectType(
  { properties, required, additionalProperties }: { readonly [keyword: string]: unknown },
  document: Shape,
  depth: number,
): string {
  const names = new Set(Array.isArray(required) ? required : []);
  const members = Object.entries(typeof properties === 'object' ? (properties ?? {}) : {}).map(
    ([name, value]) => {
      const type = isShape(value) ? typeOf(value, document, depth + 1) : 'unknown';
      return `readonly ${quoted(name)}${names.has(name) ? '' : '?'}: ${type};`;
    },
  );
  if (members.length > 0) {
    const indent = '  '.repeat(depth);
    return `{\n${members.map((member) => `${indent}${member}\n`).join('')}${indent.slice(2)}}`;
  }
  if (additionalProperties === false) return '{ readonly [key: string]: never }';
  const values = isShape(additionalProperties)
    ? typeOf(additionalProperties, document, depth)
    : 'unknown';
  return `{ readonly [key: string]: ${values} }`;
}

function literalType(value: unknown): string {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
    ? quoted(value)
    : 'unknown';
}

function unionOf(types: readonly string[]): string {
  const different = [...new Set(types)];
  if (different.length === 0) return 'never';
  return different.includes('unknown') ? 'unknown' : different.join(' | ');
}

function grouped(type: string): string {
  return /[|\s]/.test(type) ? `(${type})` : type;
}

/** As a literal of TypeScript. */
function quoted(value: unknown): string {
  return JSON.stringify(value).replace(/[\u2028\u2029]/g, (character) =>
    character === '\u2028' ? '\\u2028' : '\\u2029',
  );
}

/** Nothing in it ends a comment, or a line. */
function comment(text: string): string {
  return text.replace(/\*\//g, '*\u200b/').replace(/[\p{Cc}\u2028\u2029]/gu, ' ');
}
