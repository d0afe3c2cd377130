/** Both sides of Warren as warren.yaml describes them: what services publish, and what clients receive. */
import { compileTemplate, type Template } from '../../config/template.ts';
import { topicWords } from '../../contracts/topic-pattern.ts';
import type { EventRule, WarrenConfig } from '../../contracts/warren-config.ts';

/** A name with `{parameters}` in it. */
export interface NamePattern {
  readonly text: string;
  readonly parameters: readonly NameParameter[];
}

export interface NameParameter {
  readonly name: string;
  /** What stands there, for people. */
  readonly description: string;
}

/** What services publish: all rules of one topic pattern. */
export interface PublishedEvent {
  /** AMQP topic pattern. */
  readonly on: string;
  readonly routingKey: NamePattern;
  readonly rules: readonly EventRule[];
}

/** What clients of an app receive on the channels of one form. */
export interface ReceivingChannel {
  readonly app: string;
  readonly channel: NamePattern;
  readonly events: readonly ReceivedEvent[];
}

export interface ReceivedEvent {
  readonly name: NamePattern;
  /** Rules that publish this event there, in file order. */
  readonly rules: readonly EventRule[];
}

export interface InterfaceView {
  readonly published: readonly PublishedEvent[];
  readonly received: readonly ReceivingChannel[];
}

/** In file order throughout, so that the same file gives the same documents. */
export function interfaceView(config: Pick<WarrenConfig, 'events'>): InterfaceView {
  const published = grouped(config.events, (rule) => rule.on).map(([on, rules]) => ({
    on,
    routingKey: routingKeyPattern(on),
    rules,
  }));
  const addressed = config.events.flatMap((rule) =>
    rule.to.flatMap((target) => {
      const channel = channelPattern(target);
      return channel === undefined ? [] : [{ rule, channel, event: eventPattern(rule) }];
    }),
  );
  const received = grouped(
    addressed,
    ({ rule, channel }) => `${rule.app}\n${channel.text}`,
  ).flatMap(([, uses]) => {
    const [first] = uses;
    if (first === undefined) return [];
    const events = grouped(uses, ({ event }) => event.text).flatMap(([, same]) =>
      same[0] === undefined
        ? []
        : [{ name: same[0].event, rules: [...new Set(same.map(({ rule }) => rule))] }],
    );
    return [{ app: first.rule.app, channel: first.channel, events }];
  });
  return { published, received };
}

/** Groups and members in the order in which they first come. */
function grouped<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
): readonly (readonly [string, readonly T[]])[] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return [...groups];
}

/** `chat.*.#` is `chat.{word2}.{words}`. */
function routingKeyPattern(on: string): NamePattern {
  const parameters: NameParameter[] = [];
  const words = topicWords(on).map((word, index) => {
    if (word === '*') {
      const name = `word${index + 1}`;
      parameters.push({ name, description: 'one word of the routing key' });
      return `{${name}}`;
    }
    if (word !== '#') return word;
    const several = topicWords(on).filter((one) => one === '#').length > 1;
    const name = several ? `words${index + 1}` : 'words';
    parameters.push({ name, description: 'any number of words of the routing key, none included' });
    return `{${name}}`;
  });
  return { text: words.join('.'), parameters };
}

/** `private-chat.{data.roomId}` is `private-chat.{roomId}`; undefined for a target that is not a channel. */
function channelPattern(target: string): NamePattern | undefined {
  if (target.startsWith('socket:')) return undefined;
  const user = target.startsWith('user:');
  const compiled = compileTemplate(user ? target.slice('user:'.length) : target);
  if (!compiled.ok) return undefined;
  const { text, parameters } = namePattern(compiled.value);
  return { text: `${user ? '#server-to-user-' : ''}${text}`, parameters };
}

/** Without `as`, the name is the CloudEvents type, else the routing key. */
function eventPattern(rule: EventRule): NamePattern {
  if (rule.as === undefined) return routingKeyPattern(rule.on);
  const compiled = compileTemplate(rule.as);
  return compiled.ok ? namePattern(compiled.value) : { text: rule.as, parameters: [] };
}

function namePattern(template: Template): NamePattern {
  const parameters: NameParameter[] = [];
  const names = new Map<string, string>();
  const parts = template.parts.map((part) => {
    if (typeof part === 'string') return part;
    let name = names.get(part.text);
    if (name === undefined) {
      name = parameterName(part.text, new Set(names.values()));
      names.set(part.text, name);
      parameters.push({ name, description: `{${part.text}} of the domain event` });
    }
    return `{${name}}`;
  });
  return { text: parts.join(''), parameters };
}

/** The last name of the path, made one that documents and types can bear, and unlike the others. */
function parameterName(variable: string, taken: ReadonlySet<string>): string {
  const last = variable.split('.').at(-1) ?? variable;
  const plain = last.replace(/[^A-Za-z0-9_]/g, '_');
  const base = /^[A-Za-z_]/.test(plain) ? plain : `${variable.split('.')[0]}${plain}`;
  for (let count = 1; ; count += 1) {
    const name = count === 1 ? base : `${base}${count}`;
    if (!taken.has(name)) return name;
  }
}

/** Gives each text a name of `[A-Za-z0-9_-]`, readable, and another one to each other text. */
export class Slugs {
  readonly #taken = new Map<string, string>();

  of(text: string): string {
    const words = text
      .replaceAll('*', 'any')
      .replace(/(?<![A-Za-z])#(?![A-Za-z])/g, 'all')
      .match(/[A-Za-z0-9_]+/g);
    const base = words === null ? 'unnamed' : words.join('-').slice(0, 80);
    for (let count = 1; ; count += 1) {
      const slug = count === 1 ? base : `${base}-${count}`;
      const owner = this.#taken.get(slug);
      if (owner === undefined) this.#taken.set(slug, text);
      if (owner === undefined || owner === text) return slug;
    }
  }
}
