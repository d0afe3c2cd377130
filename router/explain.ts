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
import type { ChannelRule, EventRule, WarrenConfig } from '../contracts/warren-config.ts';
import { nearPatterns } from './near-patterns.ts';
import { compileRoutes, type Routed, type RuleStep } from './rules.ts';

export interface Explanation {
  readonly key: string;
  readonly id?: string;
  /** CloudEvents type, else AMQP type. */
  readonly type?: string;
  /** `routed`: published and done. `unmatched`: done without a publication. `refused`: dead-lettered with `refusal`. */
  readonly outcome: 'routed' | 'unmatched' | 'refused';
  readonly refusal?: Refusal;
  /** Every rule of the file, in its order; empty where the event itself is malformed. */
  readonly rules: readonly RuleExplanation[];
  readonly publications: readonly PublicationExplanation[];
  /** Where nothing matched: rules that nearly did, and what differs. */
  readonly hints: readonly string[];
}

export interface RuleExplanation {
  readonly rule: number;
  readonly on: string;
  readonly outcome: RuleStep['outcome'] | 'pattern' | 'not-reached';
  /** For people; absent where the outcome says it all. */
  readonly reason?: string;
}

export interface PublicationExplanation {
  readonly rule: number;
  readonly app: AppId;
  readonly channel: string;
  readonly kind: Channel['kind'];
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
      hints: [],
    };
  }
  const event = decoded.value;
  const steps = new Map<number, RuleStep>();
  const routed = compileRoutes(config).route(event, (step) => steps.set(step.rule.index, step));
  const rules = config.events.map((rule) => explainRule(rule, steps, routed.ok));
  const base = { ...envelope(event), rules };
  if (!routed.ok) {
    return { ...base, outcome: 'refused', refusal: routed.error, publications: [], hints: [] };
  }
  const guards = compileGuards(config.channels);
  const publications = routed.value.map((one) => explainPublication(one, guards));
  return publications.length > 0
    ? { ...base, outcome: 'routed', publications, hints: [] }
    : { ...base, outcome: 'unmatched', publications, hints: hintsFor(event, config, steps) };
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
  const base = { rule: rule.index, on: rule.on };
  const step = steps.get(rule.index);
  if (step === undefined) {
    const refusedAt = Math.max(-1, ...steps.keys());
    const behind = !reachedAll && rule.index > refusedAt;
    return { ...base, outcome: behind ? 'not-reached' : 'pattern' };
  }
  switch (step.outcome) {
    case 'matched':
      return { ...base, outcome: 'matched' };
    case 'condition-false':
      return { ...base, outcome: step.outcome, reason: `${rule.when ?? ''} is false` };
    case 'condition-error':
      return { ...base, outcome: step.outcome, reason: `${rule.when ?? ''} fails: ${step.error}` };
    case 'refused':
      return { ...base, outcome: step.outcome, reason: step.refusal.text };
  }
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
  const guard = guards.find(
    (one) => one.rule.app === publication.appId && one.name.match(channel.name) !== undefined,
  );
  return {
    rule: rule.index,
    app: publication.appId,
    channel: channel.name,
    kind: channel.kind,
    event: publication.event,
    data: publication.data,
    ...(publication.id === undefined ? {} : { id: publication.id }),
    ...(publication.except === undefined ? {} : { except: publication.except }),
    routingKey: channelKey(publication.appId, channel.name),
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
