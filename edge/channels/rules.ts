/** The channel rules of warren.yaml, compiled once: who may subscribe to what. The first rule whose name matches decides. */
import { allowVariables, compileChannelRuleName } from '../../config/channel-rule.ts';
import { compileExpression, type Verdict } from '../../config/expression.ts';
import { maxChannelNameLength } from '../../contracts/channel.ts';
import type { AppId } from '../../contracts/ids.ts';
import type { ChannelRule } from '../../contracts/warren-config.ts';

/** Who asks, as the verified token says. */
export interface Requester {
  readonly claims: Readonly<Record<string, unknown>>;
  /** Absent where the token names no user: a rule that asks for it then says no. */
  readonly userId?: string;
}

export type RuleVerdict =
  | { readonly allowed: true }
  | {
      readonly allowed: false;
      /** A fixed word for the log, never for the client. */
      readonly why: string;
    };

interface CompiledRule {
  readonly app: AppId;
  readonly presenceGraceMs: number;
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
    for (const rule of this.#rules) {
      if (rule.app === app && rule.match(channel) !== undefined) return rule.presenceGraceMs;
    }
    return 0;
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
      if (result.ok) return { allowed: true };
      return { allowed: false, why: result.code ?? 'rule_says_no' };
    }
    return { allowed: false, why: 'no_rule' };
  }
}

function compile(rule: ChannelRule): CompiledRule {
  const name = compileChannelRuleName(rule.name, maxChannelNameLength);
  if (!name.ok) throw new Error(`channels[${rule.index}].name: ${name.error.message}`);
  // A rule may be there for the sake of its other settings: it allows nobody.
  const allow = compileExpression(rule.allow ?? 'false', allowVariables(name.value));
  if (!allow.ok) throw new Error(`channels[${rule.index}].allow: ${allow.error.message}`);
  return {
    app: rule.app,
    presenceGraceMs: rule.presenceGraceMs ?? 0,
    match: (channel) => name.value.match(channel),
    test: (values) => allow.value.test(values),
  };
}
