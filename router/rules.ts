/** The rules of warren.yaml at work: one domain event to what it brings about, or to the reason why it is refused. */

import { eventVariables } from '../config/event-rules.ts';
import { compileExpression, type Expression } from '../config/expression.ts';
import { type Fields, fieldsOf, readField, renderText } from '../config/field.ts';
import { type PayloadCheck, payloadCheckOf } from '../config/payload-schema/compile.ts';
import { compileProjection, type Projection, project } from '../config/projection.ts';
import { ruleName, withoutOverridden } from '../config/rule-name.ts';
import { compileTarget, renderTarget, type TargetTemplate } from '../config/target-template.ts';
import { compileTemplate, type Template } from '../config/template.ts';
import type { Channel } from '../contracts/channel.ts';
import type { DomainEvent } from '../contracts/domain-event.ts';
import type { DeadLetterCode, Refusal } from '../contracts/errors.ts';
import { appHeader } from '../contracts/http-event.ts';
import { parseSocketId, type SocketId } from '../contracts/ids.ts';
import type { PublicationInput } from '../contracts/publication.ts';
import { isReservedEvent } from '../contracts/pusher/http.ts';
import type { AppLimits } from '../contracts/pusher/limits.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import type { SocketTarget } from '../contracts/socket-target.ts';
import { TopicTrie } from '../contracts/topic-pattern.ts';
import type { EventRule, WarrenConfig } from '../contracts/warren-config.ts';
import {
  type CompiledRevocations,
  compileRevocations,
  type Disconnected,
  type Revoked,
  revocationsOf,
} from './revocations.ts';

export interface Routes {
  /** What the router must be bound to, each pattern once. */
  readonly patterns: readonly string[];
  /**
   * Applies every rule that matches, in file order, or none: the first refusal refuses the event. No rule at all is an empty list.
   * Never throws on account of the event.
   *
   * @param observe told of each rule whose pattern matches, in file order; what follows a refusal is not looked at
   */
  route(event: DomainEvent, observe?: (step: RuleStep) => void): Result<readonly Action[], Refusal>;
}

/** What an event brings about, in the order in which it is to happen. */
export type Action = Routed | Revoked | Disconnected;

/** One publication and what brought it about. */
export interface Routed {
  readonly kind: 'publish';
  readonly rule: EventRule;
  readonly channel: Channel | SocketTarget;
  readonly publication: PublicationInput;
}

/** What became of a rule whose pattern matches the routing key. */
export type RuleStep =
  | { readonly rule: EventRule; readonly outcome: 'matched' }
  | { readonly rule: EventRule; readonly outcome: 'condition-false' }
  /** Built in, and the file has rules of its own for this event. */
  | { readonly rule: EventRule; readonly outcome: 'overridden' }
  /** The condition failed, which counts as no. `error` may repeat a word of the data, `code` may not. */
  | {
      readonly rule: EventRule;
      readonly outcome: 'condition-error';
      readonly code: string;
      readonly error: string;
    }
  | { readonly rule: EventRule; readonly outcome: 'refused'; readonly refusal: Refusal };

interface CompiledRule {
  readonly rule: EventRule;
  readonly limits: AppLimits;
  readonly when: Expression | undefined;
  readonly violation: PayloadCheck | undefined;
  readonly to: readonly TargetTemplate[];
  readonly as: Template | undefined;
  readonly data: Projection;
  readonly except: Template | undefined;
  readonly revocations: CompiledRevocations;
}

/** Compiles the rules of a checked configuration. @throws Error on one that is not: `loadConfig` lets none through */
export function compileRoutes(config: Pick<WarrenConfig, 'apps' | 'events'>): Routes {
  const trie = new TopicTrie<CompiledRule>();
  for (const rule of config.events) trie.add(rule.on, compileRule(rule, config));
  return {
    patterns: [...new Set(config.events.map((rule) => rule.on))],
    route(event, observe) {
      const matching = trie.match(event.key);
      if (matching.size === 0) return ok([]);
      const rules = ownRules(matching, event).sort((a, b) => a.rule.index - b.rule.index);
      if (rules.at(-1)?.rule.builtIn !== undefined) {
        const kept = withoutOverridden(rules, ({ rule }) => rule);
        for (const one of rules) {
          if (!kept.includes(one)) observe?.({ rule: one.rule, outcome: 'overridden' });
        }
        return applyRules(kept, event, observe);
      }
      return applyRules(rules, event, observe);
    },
  };
}

/** An event that came with the secret of an app has nothing to say to the others. */
function ownRules(matching: ReadonlySet<CompiledRule>, { headers }: DomainEvent): CompiledRule[] {
  const rules = [...matching];
  if (!Object.hasOwn(headers, appHeader)) return rules;
  return rules.filter(({ rule }) => rule.app === headers[appHeader]);
}

function compileRule(rule: EventRule, config: Pick<WarrenConfig, 'apps'>): CompiledRule {
  const app = config.apps.find((candidate) => candidate.id === rule.app);
  if (app === undefined) throw new Error(`${ruleName(rule)} names no app`);
  const compiled = <T>(result: Result<T, unknown>): T => {
    if (result.ok) return result.value;
    throw new Error(`${ruleName(rule)} was not checked: ${JSON.stringify(result.error)}`);
  };
  const template = (source: string | undefined) =>
    source === undefined ? undefined : compiled(compileTemplate(source));
  return {
    rule,
    limits: app.limits,
    when:
      rule.when === undefined ? undefined : compiled(compileExpression(rule.when, eventVariables)),
    violation: rule.schema === undefined ? undefined : payloadCheckOf(rule.schema),
    to: rule.to.map((source) => compiled(compileTarget(source, app.limits.channelNameLength))),
    as: template(rule.as),
    data: compiled(compileProjection(rule.data)),
    except: template(rule.except),
    revocations: compileRevocations(rule, app.limits.channelNameLength),
  };
}

function applyRules(
  rules: readonly CompiledRule[],
  event: DomainEvent,
  observe: ((step: RuleStep) => void) | undefined,
): Result<readonly Action[], Refusal> {
  const fields = fieldsOf(event);
  const actions: Action[] = [];
  const ids = new PublicationIds(event.id);
  let values: Readonly<Record<string, unknown>> | undefined;
  for (const compiled of rules) {
    const { rule, when } = compiled;
    if (when !== undefined) {
      values ??= conditionValues(event);
      const verdict = when.test(values);
      if (!verdict.ok) {
        if (verdict.error === undefined) observe?.({ rule, outcome: 'condition-false' });
        else {
          const { error, code = 'evaluation_error' } = verdict;
          observe?.({ rule, outcome: 'condition-error', code, error });
        }
        continue;
      }
    }
    const refusal = applyRule(compiled, fields, ids, actions);
    if (refusal !== undefined) {
      observe?.({ rule, outcome: 'refused', refusal });
      return fail(refusal);
    }
    observe?.({ rule, outcome: 'matched' });
  }
  return ok(actions);
}

/** Adds what the rule does to `actions`: what it publishes comes first, so that it still reaches whom it takes off the channel. */
function applyRule(
  compiled: CompiledRule,
  fields: Fields,
  ids: PublicationIds,
  actions: Action[],
): Refusal | undefined {
  const { rule, to, revocations } = compiled;
  const refusal = to.length === 0 ? undefined : publish(compiled, fields, ids, actions);
  if (refusal !== undefined) return refusal;
  const revoked = revocationsOf(rule, revocations, fields);
  if (!revoked.ok) return refusalOf(rule, revoked.error.key, revoked.error.refusal);
  actions.push(...revoked.value);
  return undefined;
}

/** A target that a rule yields twice is published to once. */
function publish(
  { rule, limits, violation, to, as, data, except }: CompiledRule,
  fields: Fields,
  ids: PublicationIds,
  actions: Action[],
): Refusal | undefined {
  const violated = violation?.(fields.event.data);
  if (violated !== undefined) {
    const reason = `${violated} (${rule.schema?.path ?? ''})`;
    return refusalOf(rule, 'schema', { code: 'schema_violation', text: reason });
  }
  const named = eventName(fields, as, limits);
  if (!named.ok) return refusalOf(rule, 'as', named.error);
  const text = project(fields, data);
  if (!text.ok) return refusalOf(rule, 'data', text.error);
  const bytes = Buffer.byteLength(text.value, 'utf8');
  if (bytes > limits.eventPayloadBytes) {
    const reason = `the data has ${bytes} bytes, at most ${limits.eventPayloadBytes} are allowed`;
    return refusalOf(rule, 'data', { code: 'payload_too_large', text: reason });
  }
  const excluded = excludedSocket(fields, except);
  if (!excluded.ok) return refusalOf(rule, 'except', excluded.error);
  const done = new Set<string>();
  for (const target of to) {
    const channel = renderTarget(fields, target, limits.channelNameLength);
    if (!channel.ok) return refusalOf(rule, 'to', channel.error);
    const { name } = channel.value;
    if (done.has(name)) continue;
    done.add(name);
    const { traceparent, tracestate } = fields.event;
    const id = ids.next(`${rule.app} ${name}`);
    actions.push({
      kind: 'publish',
      rule,
      channel: channel.value,
      publication: {
        appId: rule.app,
        channel: name,
        ...(channel.value.cache ? { cached: true } : {}),
        ...(channel.value.kind === 'socket' ? { toSocket: true } : {}),
        event: named.value,
        data: text.value,
        ...(id === undefined ? {} : { id }),
        ...(excluded.value === undefined ? {} : { except: excluded.value }),
        ...(traceparent === undefined ? {} : { traceparent }),
        ...(tracestate === undefined ? {} : { tracestate }),
      },
    });
  }
  return undefined;
}

/** Contract §3: `as`, else the CloudEvents type, else the routing key. */
function eventName(
  fields: Fields,
  as: Template | undefined,
  limits: AppLimits,
): Result<string, Refusal> {
  let name: string;
  if (as === undefined) {
    const { attributes, key } = fields.event;
    name = typeof attributes['type'] === 'string' ? attributes['type'] : key;
  } else {
    const rendered = renderText(fields, as);
    if (!rendered.ok) return rendered;
    name = rendered.value;
  }
  const problem = eventNameProblem(name, limits);
  return problem === undefined ? ok(name) : fail({ code: 'invalid_event_name', text: problem });
}

function eventNameProblem(name: string, limits: AppLimits): string | undefined {
  if (name === '') return 'the event name is empty';
  if (!name.isWellFormed()) return 'the event name holds a lone surrogate';
  if (name.length > limits.eventNameLength) {
    return `the event name has ${name.length} characters, at most ${limits.eventNameLength} are allowed`;
  }
  if (isReservedEvent(name)) return 'the event name belongs to the protocol';
  return undefined;
}

/**
 * The socket that is left out. An event that no socket caused lacks the field, or has null or empty text there, as serialisers
 * write it: then nobody is left out. Anything else must be a socket id.
 */
function excludedSocket(
  fields: Fields,
  except: Template | undefined,
): Result<SocketId | undefined, Refusal> {
  if (except === undefined) return ok(undefined);
  for (const part of except.parts) {
    if (typeof part === 'string') continue;
    const value = readField(fields, part);
    if (value === undefined || value === null || value === '') return ok(undefined);
  }
  const text = renderText(fields, except);
  if (!text.ok) return fail({ code: 'invalid_socket_id', text: text.error.text });
  const socketId = parseSocketId(text.value);
  if (socketId !== undefined) return ok(socketId);
  const reason = 'the value is not a socket id of the form 123.456';
  return fail({ code: 'invalid_socket_id', text: reason });
}

/** What conditions read: the payload, the envelope's attributes, own properties only. */
function conditionValues(event: DomainEvent): Readonly<Record<string, unknown>> {
  const attributes = Object.assign(
    Object.create(null) as Record<string, unknown>,
    event.attributes,
  );
  attributes['key'] = event.key;
  if (event.id !== undefined) attributes['id'] = event.id;
  if (event.source !== undefined) attributes['source'] = event.source;
  if (event.type !== undefined) attributes['type'] = event.type;
  return { data: event.data, event: attributes, headers: event.headers, key: event.key };
}

/**
 * Publication ids of one event. Edges drop a second sighting of an id on a channel, so only the first publication of the event on a
 * channel carries the event's id; further ones carry `<id>~2`, `<id>~3`, the same again on every redelivery.
 */
class PublicationIds {
  readonly #id: string | undefined;
  readonly #count = new Map<string, number>();

  constructor(id: string | undefined) {
    this.#id = id;
  }

  next(channel: string): string | undefined {
    if (this.#id === undefined) return undefined;
    const count = (this.#count.get(channel) ?? 0) + 1;
    this.#count.set(channel, count);
    return count === 1 ? this.#id : `${this.#id}~${count}`;
  }
}

function refusalOf(
  rule: EventRule,
  key: string,
  { code, text }: { readonly code: DeadLetterCode; readonly text: string },
): Refusal {
  return { code, text: `${ruleName(rule)}.${key}: ${text}` };
}
