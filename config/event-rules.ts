/** The rules under `events`, checked for meaning: patterns, templates, conditions. */
import { isReservedEvent } from '../contracts/pusher/http.ts';
import { parseTopicPattern } from '../contracts/topic-pattern.ts';
import type { AppConfig, EventRule, EventSchema } from '../contracts/warren-config.ts';
import { type Apps, appOfRule } from './apps.ts';
import { compileExpression, type Variables } from './expression.ts';
import type { SchemaFiles } from './payload-schema/files.ts';
import type { Path, Problem } from './problems.ts';
import { compileProjection } from './projection.ts';
import { revocationProblems, revocationWarnings } from './revocation-rules.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';
import { compileTarget } from './target-template.ts';
import { compileTemplate } from './template.ts';

interface RawEventRule {
  readonly app?: string;
  readonly on: string;
  readonly schema?: string;
  readonly when?: string;
  readonly to?: string | readonly string[];
  readonly as?: string;
  readonly data?: string | Readonly<Record<string, string>>;
  readonly except?: string;
  readonly unsubscribe?: { readonly user: string; readonly channel: string };
  readonly disconnect?: string;
}

/** What `when` may read. */
export const eventVariables: Variables = { data: 'any', event: 'map', headers: 'map', key: 'text' };

export interface EventRules {
  readonly rules: readonly EventRule[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export function readEventRules(
  source: Source,
  shape: ShapeCheck,
  apps: Apps,
  schemas: SchemaFiles,
): EventRules {
  const rules: EventRule[] = [];
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const raw = source.value['events'];
  const seen = new Map<string, number>();
  for (const [index, rule] of (Array.isArray(raw) ? (raw as RawEventRule[]) : []).entries()) {
    const path = ['events', index];
    if (!shape.typed(path)) continue;
    const { app, problem } = appOfRule(source, path, rule.app, apps);
    if (problem !== undefined) problems.push(problem);
    problems.push(...meaningProblems(source, path, rule, app));
    const schema = rule.schema === undefined ? undefined : schemas.read(path, rule.schema);
    if (app === undefined || !shape.sound(path)) continue;
    warnings.push(...revocationWarnings(source, path, rule));
    const checked = eventRule(index, app, rule, schema);
    const sameAs = JSON.stringify({ ...checked, index: 0, schema: rule.schema });
    const first = seen.get(sameAs);
    if (first === undefined) seen.set(sameAs, index);
    else {
      const effect =
        checked.to.length > 0 ? 'clients would get each event twice' : 'it does nothing more';
      const message = `is the same as events[${first}]: ${effect}`;
      warnings.push(source.problem(path, message));
    }
    rules.push(checked);
  }
  return { rules, problems, warnings };
}

function eventRule(
  index: number,
  app: AppConfig,
  rule: RawEventRule,
  schema: EventSchema | undefined,
): EventRule {
  return {
    index,
    app: app.id,
    on: rule.on,
    to: typeof rule.to === 'string' ? [rule.to] : (rule.to ?? []),
    ...(schema === undefined ? {} : { schema }),
    ...(rule.when === undefined ? {} : { when: rule.when }),
    ...(rule.as === undefined ? {} : { as: rule.as }),
    ...(rule.data === undefined ? {} : { data: rule.data }),
    ...(rule.except === undefined ? {} : { except: rule.except }),
    ...(rule.unsubscribe === undefined ? {} : { unsubscribe: rule.unsubscribe }),
    ...(rule.disconnect === undefined ? {} : { disconnect: rule.disconnect }),
  };
}

function meaningProblems(
  source: Source,
  path: Path,
  rule: Partial<RawEventRule>,
  app: AppConfig | undefined,
): Problem[] {
  const problems: Problem[] = [];
  const pattern = parseTopicPattern(rule.on ?? '#');
  if (!pattern.ok) {
    problems.push(source.problem([...path, 'on'], `is not a topic pattern: ${pattern.error.text}`));
  }
  if (rule.when !== undefined) {
    const when = compileExpression(rule.when, eventVariables);
    if (!when.ok) problems.push(source.problem([...path, 'when'], when.error.message, when.error));
  }
  const targets: readonly (readonly [Path, string])[] =
    typeof rule.to === 'string'
      ? [[[...path, 'to'], rule.to]]
      : (rule.to ?? []).map((target, index) => [[...path, 'to', index], target] as const);
  for (const [at, target] of targets) {
    const compiled = compileTarget(target, app?.limits.channelNameLength ?? 200);
    if (!compiled.ok) problems.push(source.problem(at, compiled.error.message, compiled.error));
  }
  if (rule.as !== undefined) problems.push(...eventNameProblems(source, path, rule.as, app));
  if (rule.except !== undefined) {
    const except = compileTemplate(rule.except);
    if (!except.ok) {
      problems.push(source.problem([...path, 'except'], except.error.message, except.error));
    } else if (except.value.parts.every((part) => typeof part === 'string')) {
      problems.push(
        source.problem([...path, 'except'], 'names no field', {
          cure: "for example  '{data.socketId}'",
        }),
      );
    }
  }
  problems.push(...revocationProblems(source, path, rule, app));
  const projection = compileProjection(rule.data);
  for (const error of projection.ok ? [] : projection.error) {
    const at = error.key === undefined ? ['data'] : ['data', error.key];
    problems.push(source.problem([...path, ...at], error.message, error));
  }
  return problems;
}

function eventNameProblems(
  source: Source,
  path: Path,
  as: string,
  app: AppConfig | undefined,
): Problem[] {
  const at = [...path, 'as'];
  const compiled = compileTemplate(as);
  if (!compiled.ok) return [source.problem(at, compiled.error.message, compiled.error)];
  const first = compiled.value.parts[0];
  if (typeof first === 'string' && isReservedEvent(first)) {
    return [
      source.problem(at, 'begins with a name that belongs to the protocol', {
        cure: 'choose a name that does not begin with pusher:, pusher_internal: or warren:',
      }),
    ];
  }
  const literal = compiled.value.parts.filter((part) => typeof part === 'string').join('');
  const most = app?.limits.eventNameLength ?? 200;
  if (literal.length > most) {
    return [source.problem(at, `is longer than the ${most} characters that the app allows`)];
  }
  return [];
}
