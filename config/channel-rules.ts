/** The rules under `channels`, checked for meaning: names, conditions, and rules that can never be reached. */
import type { AuthorizerConfig, ChannelRule, DeliveryRule } from '../contracts/warren-config.ts';
import { type Apps, appOfRule } from './apps.ts';
import { type RawAuthorizer, readAuthorizer } from './authorizer.ts';
import { allowVariables, type ChannelRuleName, compileChannelRuleName } from './channel-rule.ts';
import { compileExpression } from './expression.ts';
import { compileMember } from './member.ts';
import type { Path, Problem } from './problems.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

interface RawChannelRule {
  readonly app?: string;
  readonly name: string;
  readonly allow?: string;
  readonly authorizer?: RawAuthorizer;
  readonly member?: Readonly<Record<string, string>>;
  readonly presenceGraceMs?: number;
  readonly delivery?: DeliveryRule;
}

export interface ChannelRules {
  readonly rules: readonly ChannelRule[];
  readonly problems: readonly Problem[];
}

export function readChannelRules(source: Source, shape: ShapeCheck, apps: Apps): ChannelRules {
  const rules: ChannelRule[] = [];
  const problems: Problem[] = [];
  const earlier: {
    readonly index: number;
    readonly app: string;
    readonly name: ChannelRuleName;
  }[] = [];
  const raw = source.value['channels'];
  for (const [index, rule] of (Array.isArray(raw)
    ? (raw as Partial<RawChannelRule>[])
    : []
  ).entries()) {
    const path = ['channels', index];
    if (!shape.typed(path)) continue;
    const { app, problem } = appOfRule(source, path, rule.app, apps);
    if (problem !== undefined) problems.push(problem);
    if (rule.name === undefined) continue;
    const name = compileChannelRuleName(
      rule.name,
      app?.limits.channelNameLength ?? 200,
      rule.delivery !== undefined && rule.allow === undefined && rule.authorizer === undefined,
    );
    if (!name.ok) {
      problems.push(source.problem([...path, 'name'], name.error.message, name.error));
      continue;
    }
    const allow =
      rule.allow === undefined
        ? undefined
        : compileExpression(rule.allow, allowVariables(name.value));
    if (allow?.ok === false) {
      problems.push(source.problem([...path, 'allow'], allow.error.message, allow.error));
    }
    let authorizer: AuthorizerConfig | undefined;
    if (rule.authorizer !== undefined && shape.sound([...path, 'authorizer'])) {
      const read = readAuthorizer(source, [...path, 'authorizer'], rule.authorizer);
      if ('problem' in read) problems.push(read.problem);
      else authorizer = read.authorizer;
    }
    if (rule.member !== undefined && shape.sound([...path, 'member'])) {
      problems.push(...memberProblems(source, path, rule, name.value));
    }
    if (rule.presenceGraceMs !== undefined && !name.value.presence) {
      problems.push(
        source.problem(
          [...path, 'presenceGraceMs'],
          `is for presence channels, and this name is of ${name.value.public ? 'public' : 'private'} ones`,
          {
            at: 'key',
            cure: 'begin the name with presence-, or remove the key',
          },
        ),
      );
    }
    if (app === undefined) continue;
    const hides = earlier.find((other) => other.app === app.id && other.name.covers(name.value));
    if (hides !== undefined) {
      problems.push(
        source.problem(
          [...path, 'name'],
          `is never asked: channels[${hides.index}] ("${hides.name.source}") comes first and matches all of it`,
          {
            cure: 'the first rule that matches decides: put the narrower one first, or remove one',
          },
        ),
      );
    }
    earlier.push({ index, app: app.id, name: name.value });
    if (!shape.sound(path)) continue;
    rules.push({
      index,
      app: app.id,
      name: rule.name,
      ...(rule.allow === undefined ? {} : { allow: rule.allow }),
      ...(authorizer === undefined ? {} : { authorizer }),
      ...(rule.member === undefined ? {} : { member: rule.member }),
      ...(rule.presenceGraceMs === undefined ? {} : { presenceGraceMs: rule.presenceGraceMs }),
      ...(rule.delivery === undefined ? {} : { delivery: rule.delivery }),
    });
  }
  return { rules, problems };
}

function memberProblems(
  source: Source,
  path: Path,
  rule: Partial<RawChannelRule>,
  name: ChannelRuleName,
): Problem[] {
  const at = [...path, 'member'];
  if (!name.presence) {
    return [
      source.problem(at, 'is for presence channels, and this name is of others', {
        at: 'key',
        cure: 'begin the name with presence-, or remove the key',
      }),
    ];
  }
  if (rule.allow === undefined && rule.authorizer === undefined) {
    return [
      source.problem(at, 'is for whom this rule lets in, and it lets nobody in', {
        at: 'key',
        cure: "say who may subscribe, for example  allow: 'room in claims.rooms'",
      }),
    ];
  }
  const compiled = compileMember(rule.member ?? {});
  if (compiled.ok) return [];
  return compiled.error.map(({ key, message, cure, offset }) =>
    source.problem([...at, key], message, { cure, offset }),
  );
}
