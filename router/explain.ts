/** What becomes of a domain event, and why: the routing of `rules.ts`, told step by step. Publishes nothing. */
import { type ChannelRuleName, compileChannelRuleName } from '../config/channel-rule.ts';
import { type Channel, maxChannelNameLength } from '../contracts/channel.ts';
import {
  type DomainEvent,
  decodeDomainEvent,
  type IncomingEvent,
} from '../contracts/domain-event.ts';
import type { Refusal } from '../contracts/errors.ts';
import type { AppId } from '../contracts/ids.ts';
import { channelKey } from '../contracts/routing-key.ts';
import { socketKey } from '../contracts/socket-target.ts';
import type { ChannelRule, EventRule, WarrenConfig } from '../contracts/warren-config.ts';
import { nearPatterns } from './near-patterns.ts';
import type { Disconnected, Revoked } from './revocations.ts';
import { compileRoutes, type Routed, type RuleStep } from './rules.ts';

export interface Explanation {
  readonly key: string;
  readonly id?: string;
  /** CloudEvents type, else AMQP type. */
  readonly type?: string;
  /** `routed`: all of it done. `unmatched`: there is nothing to do. `refused`: dead-lettered with `refusal`, and nothing done. */
  readonly outcome: 'routed' | 'unmatched' | 'refused';
  readonly refusal?: Refusal;
  /** Every rule of the file, in its order, then those that are built in; empty where the event itself is malformed. */
  readonly rules: readonly RuleExplanation[];
  readonly publications: readonly PublicationExplanation[];
  readonly revocations: readonly RevocationExplanation[];
  /** Where nothing matched: rules that nearly did, and what differs. */
  readonly hints: readonly string[];
}

export interface RuleExplanation {
  readonly rule: number;
  /** As in `EventRule`. */
  readonly builtIn?: NonNullable<EventRule['builtIn']>;
  readonly on: string;
  readonly outcome: RuleStep['outcome'] | 'pattern' | 'not-reached';
  /** File of the schema that the payload was checked against. */
  readonly schema?: string;
  /** For people; absent where the outcome says it all. */
  readonly reason?: string;
}

export interface PublicationExplanation {
  readonly rule: number;
  readonly builtIn?: NonNullable<EventRule['builtIn']>;
  readonly app: AppId;
  /** `socket:<id>` where it is for one socket. */
  readonly channel: string;
  readonly kind: Channel['kind'] | 'socket';
  readonly event: string;
  /** As the client gets it: JSON text. */
  readonly data: string;
  /** Absent where the event has no id: then it is random. */
  readonly id?: string;
  readonly except?: string;
  /** On the exchange `warren.channels`. */
  readonly routingKey: string;
  /** The channel rule that decides who may subscribe; absent where none does. */
  readonly guard?: { readonly rule: number; readonly name: string; readonly allow: string };
}

export type RevocationExplanation =
  | {
      readonly rule: number;
      readonly kind: 'unsubscribe';
      readonly app: AppId;
      readonly user: string;
      readonly channel: string;
      /** On the exchange `warren.channels`. */
      readonly routingKey: string;
    }
  | {
      readonly rule: number;
      readonly kind: 'disconnect';
      readonly app: AppId;
      readonly user: string;
    };

/** @param config checked by `loadConfig` */
export function explainEvent(raw: IncomingEvent, config: WarrenConfig): Explanation {
  const decoded = decodeDomainEvent(raw);
  if (!decoded.ok) {
    return {
      key: raw.routingKey,
      outcome: 'refused',
      refusal: decoded.error,
      rules: [],
      publications: [],
      revocations: [],
      hints: [],
    };
  }
  const event = decoded.value;
  const steps = new Map<number, RuleStep>();
  const routed = compileRoutes(config).route(event, (step) => steps.set(step.rule.index, step));
  const rules = config.events.map((rule) => explainRule(rule, steps, routed.ok));
  const base = { ...envelope(event), rules };
  if (!routed.ok) {
    const nothing = { publications: [], revocations: [], hints: [] };
    return { ...base, outcome: 'refused', refusal: routed.error, ...nothing };
  }
  const guards = compileGuards(config.channels);
  const publications: PublicationExplanation[] = [];
  const revocations: RevocationExplanation[] = [];
  for (const action of routed.value) {
    if (action.kind === 'publish') publications.push(explainPublication(action, guards));
    else revocations.push(explainRevocation(action));
  }
  const done = { ...base, publications, revocations };
  return routed.value.length > 0
    ? { ...done, outcome: 'routed', hints: [] }
    : { ...done, outcome: 'unmatched', hints: hintsFor(event, config, steps) };
}

function explainRevocation(action: Revoked | Disconnected): RevocationExplanation {
  const { kind, rule } = action;
  if (kind === 'disconnect') return { rule: rule.index, kind, app: action.app, user: action.user };
  const { appId, user, channel } = action.revocation;
  const routingKey = channelKey(appId, channel);
  return { rule: rule.index, kind, app: appId, user, channel, routingKey };
}

function envelope(event: DomainEvent) {
  return {
    key: event.key,
    ...(event.id === undefined ? {} : { id: event.id }),
    ...(event.type === undefined ? {} : { type: event.type }),
  };
}

function explainRule(
  rule: EventRule,
  steps: ReadonlyMap<number, RuleStep>,
  reachedAll: boolean,
): RuleExplanation {
  const base = { rule: rule.index, ...builtIn(rule), on: rule.on };
  const step = steps.get(rule.index);
  if (step === undefined) {
    const refusedAt = Math.max(-1, ...steps.keys());
    const behind = !reachedAll && rule.index > refusedAt;
    return { ...base, outcome: behind ? 'not-reached' : 'pattern' };
  }
  switch (step.outcome) {
    case 'overridden':
      return { ...base, outcome: step.outcome };
    case 'matched': {
      const { schema } = rule;
      return {
        ...base,
        outcome: 'matched',
        ...(schema === undefined ? {} : { schema: schema.path }),
      };
    }
    case 'condition-false':
      return { ...base, outcome: step.outcome, reason: `${rule.when ?? ''} is false` };
    case 'condition-error':
      return { ...base, outcome: step.outcome, reason: `${rule.when ?? ''} fails: ${step.error}` };
    case 'refused':
      return { ...base, outcome: step.outcome, reason: step.refusal.text };
  }
}

function builtIn(rule: EventRule): Pick<EventRule, 'builtIn'> {
  return rule.builtIn === undefined ? {} : { builtIn: rule.builtIn };
}

interface Guard {
  readonly rule: ChannelRule;
  readonly name: ChannelRuleName;
}

function compileGuards(rules: readonly ChannelRule[]): readonly Guard[] {
  return rules.flatMap((rule) => {
    const name = compileChannelRuleName(rule.name, maxChannelNameLength);
    return name.ok ? [{ rule, name: name.value }] : [];
  });
}

function explainPublication(
  { rule, channel, publication }: Routed,
  guards: readonly Guard[],
): PublicationExplanation {
  const toSocket = channel.kind === 'socket';
  const guard = guards.find(
    (one) =>
      !toSocket && one.rule.app === publication.appId && one.name.match(channel.name) !== undefined,
  );
  return {
    rule: rule.index,
    ...builtIn(rule),
    app: publication.appId,
    channel: channel.name,
    kind: channel.kind,
    event: publication.event,
    data: publication.data,
    ...(publication.id === undefined ? {} : { id: publication.id }),
    ...(publication.except === undefined ? {} : { except: publication.except }),
    routingKey: toSocket
      ? socketKey(publication.appId)
      : channelKey(publication.appId, channel.name),
    ...(guard === undefined
      ? {}
      : {
          guard: {
            rule: guard.rule.index,
            name: guard.rule.name,
            allow: whoMay(guard.rule),
          },
        }),
  };
}

function whoMay({ allow, authorizer }: ChannelRule): string {
  if (authorizer === undefined) return allow ?? 'nobody';
  // Without the path and query, which may be what protects the service.
  const asked = `whom ${new URL(authorizer.url).origin} lets in`;
  return allow === undefined ? asked : `${allow}, and then ${asked}`;
}

function hintsFor(
  event: DomainEvent,
  config: WarrenConfig,
  steps: ReadonlyMap<number, RuleStep>,
): readonly string[] {
  if (config.events.length === 0) return ['warren.yaml has no rules under events'];
  // A pattern did match, and its condition said no: that is told beside the rule.
  if (steps.size > 0) return [];
  return nearPatterns(event.key, config.events);
}
