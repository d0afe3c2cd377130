/** The channel rules of warren.yaml, compiled once: who may subscribe to what, and how. The first rule whose name matches decides. */
import { allowVariables, compileChannelRuleName } from '../../config/channel-rule.ts';
import { compileExpression, type Verdict } from '../../config/expression.ts';
import { compileMember, type MemberTemplates } from '../../config/member.ts';
import { maxChannelNameLength } from '../../contracts/channel.ts';
import type { AppId } from '../../contracts/ids.ts';
import type { AuthorizerConfig, ChannelRule, DeliveryRule } from '../../contracts/warren-config.ts';

/** Who asks, as the verified token says. */
export interface Requester {
  readonly claims: Readonly<Record<string, unknown>>;
  /** Absent where the token names no user: a rule that asks for it then says no. */
  readonly userId?: string;
}

export type RuleVerdict =
  | {
      readonly allowed: true;
      /** Makes the user_info of a member. */
      readonly member?: MemberTemplates;
    }
  | {
      readonly allowed: false;
      /** A fixed word for the log, never for the client. */
      readonly why: string;
      /** The rule leaves it to this one: who cannot ask, refuses. */
      readonly ask?: AuthorizerConfig;
      /** As above, for when that one says yes. */
      readonly member?: MemberTemplates;
    };

interface CompiledRule {
  readonly app: AppId;
  readonly presenceGraceMs: number;
  readonly delivery: DeliveryRule;
  readonly authorizer?: AuthorizerConfig;
  readonly member?: MemberTemplates;
  match(channel: string): Readonly<Record<string, string>> | undefined;
  test(values: Readonly<Record<string, unknown>>): Verdict;
}

export class ChannelRules {
  #rules: readonly CompiledRule[];

  /** @throws Error on a rule that does not compile: configuration is checked before it comes here */
  constructor(rules: readonly ChannelRule[]) {
    this.#rules = rules.map(compile);
  }

  /** Applies to what is asked from now on. @throws Error as the constructor does, and then nothing has changed */
  replace(rules: readonly ChannelRule[]): void {
    this.#rules = rules.map(compile);
  }

  /** How long a member of this presence channel may be away before it counts as gone. */
  presenceGraceMs(app: AppId, channel: string): number {
    return this.#find(app, channel)?.presenceGraceMs ?? 0;
  }

  /** On which road the channel reaches whoever subscribes from now on. */
  delivery(app: AppId, channel: string): DeliveryRule {
    return this.#find(app, channel)?.delivery ?? 'auto';
  }

  /** A channel without a rule is refused, and so is one whose rule fails to evaluate. */
  verdict(app: AppId, channel: string, requester: Requester): RuleVerdict {
    for (const rule of this.#rules) {
      if (rule.app !== app) continue;
      const parameters = rule.match(channel);
      if (parameters === undefined) continue;
      const { claims, userId } = requester;
      const result = rule.test({
        ...parameters,
        claims,
        user: userId === undefined ? {} : { id: userId },
      });
      if (!result.ok) return { allowed: false, why: result.code ?? 'rule_says_no' };
      const { authorizer, member } = rule;
      const more = member === undefined ? {} : { member };
      return authorizer === undefined
        ? { allowed: true, ...more }
        : { allowed: false, why: 'authorizer_not_asked', ask: authorizer, ...more };
    }
    return { allowed: false, why: 'no_rule' };
  }

  #find(app: AppId, channel: string): CompiledRule | undefined {
    return this.#rules.find((rule) => rule.app === app && rule.match(channel) !== undefined);
  }
}

function compile(rule: ChannelRule): CompiledRule {
  const name = compileChannelRuleName(rule.name, maxChannelNameLength, true);
  if (!name.ok) throw new Error(`channels[${rule.index}].name: ${name.error.message}`);
  // A rule may be there for the sake of its other settings: it allows nobody.
  const byDefault = rule.authorizer === undefined ? 'false' : 'true';
  const allow = compileExpression(rule.allow ?? byDefault, allowVariables(name.value));
  if (!allow.ok) throw new Error(`channels[${rule.index}].allow: ${allow.error.message}`);
  const member = rule.member === undefined ? undefined : compileMember(rule.member);
  if (member?.ok === false) throw new Error(`channels[${rule.index}].member does not compile`);
  return {
    app: rule.app,
    ...(rule.authorizer === undefined ? {} : { authorizer: rule.authorizer }),
    ...(member === undefined ? {} : { member: member.value }),
    presenceGraceMs: rule.presenceGraceMs ?? 0,
    delivery: rule.delivery ?? 'auto',
    match: (channel) => name.value.match(channel),
    test: (values) => allow.value.test(values),
  };
}
