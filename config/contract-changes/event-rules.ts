/** Event rules of two files compared: what reaches the browser, and what a service may publish. */
import type { EventRule } from '../../contracts/warren-config.ts';
import { compileTemplate } from '../template.ts';
import { type Change, conditionVerdict, type Report } from './change.ts';
import { pairRules } from './rule-pairs.ts';
import { compareSchemas, requires } from './rule-schemas.ts';
import { patternCovers, patternsOverlap } from './topic-patterns.ts';

type Data = EventRule['data'];

export function compareEventRules(
  before: readonly EventRule[],
  after: readonly EventRule[],
  report: Report,
): void {
  const { pairs, removed, added } = pairRules(before, after);
  for (const rule of removed) {
    const sends = rule.to.length > 0;
    report({
      verdict: sends ? 'breaking' : 'check',
      party: 'listeners',
      subject: `${subjectOf(rule)} in the old file`,
      text: sends
        ? 'the rule is gone: its channels no longer get these events'
        : 'the rule is gone: these events no longer take anybody off',
      was: effectOf(rule),
    });
  }
  for (const { old, next } of pairs) {
    const tell: Tell = (verdict, party, text, values = {}) =>
      report({ verdict, party, subject: subjectOf(next), text, ...values });
    comparePattern(old, next, tell);
    compareCondition(old, next, tell);
    compareTargets(old, next, tell);
    compareRevocations(old, next, tell);
    compareNames(old, next, tell);
    compareData(old.data, next.data, tell);
    if (old.except !== next.except) {
      const text = 'another socket is left out';
      tell('check', 'listeners', text, valuesOf(old.except, next.except, 'nobody is left out'));
    }
    compareFields(old, next, tell);
  }
  compareSchemas(pairs, report);
  for (const rule of added) reportAdded(rule, before, report);
}

type Tell = (
  verdict: Change['verdict'],
  party: Change['party'],
  text: string,
  values?: { readonly was?: string; readonly is?: string },
) => void;

function subjectOf(rule: EventRule): string {
  return `events[${rule.index}] on ${rule.on}`;
}

function valuesOf(was: string | undefined, is: string | undefined, absent: string) {
  return { was: was ?? `(${absent})`, is: is ?? `(${absent})` };
}

function comparePattern(old: EventRule, next: EventRule, tell: Tell): void {
  if (old.on === next.on) return;
  const values = { was: old.on, is: next.on };
  const covers = patternCovers(next.on, old.on);
  if (covers === undefined) tell('check', 'listeners', 'the pattern is another one', values);
  else if (covers) tell('fine', 'listeners', 'the pattern takes more events', values);
  else tell('breaking', 'listeners', 'the pattern no longer takes all events that it took', values);
}

function compareCondition(old: EventRule, next: EventRule, tell: Tell): void {
  if (old.when === next.when) return;
  const values = valuesOf(old.when, next.when, 'no condition');
  if (next.when === undefined)
    tell('fine', 'listeners', 'events need no condition any more', values);
  else if (old.when === undefined) {
    tell('breaking', 'listeners', 'events now need a condition to be sent', values);
  } else {
    tell(
      conditionVerdict(old.when, next.when),
      'listeners',
      'the condition is another one',
      values,
    );
  }
}

function compareTargets(old: EventRule, next: EventRule, tell: Tell): void {
  const values = valuesOf(
    old.to.join(', ') || undefined,
    next.to.join(', ') || undefined,
    'no channel',
  );
  const gone = old.to.filter((target) => !next.to.includes(target));
  const added = next.to.filter((target) => !old.to.includes(target));
  if (gone.length > 0)
    tell('breaking', 'listeners', `no longer sent to ${gone.join(', ')}`, values);
  else if (added.length > 0) tell('fine', 'listeners', `also sent to ${added.join(', ')}`, values);
}

/** Who may no longer listen is for people to judge, whichever way it changes. */
function compareRevocations(old: EventRule, next: EventRule, tell: Tell): void {
  const [was, is] = [revocationsOf(old).join('; '), revocationsOf(next).join('; ')];
  if (was === is) return;
  const text =
    is === ''
      ? 'these events no longer take anybody off'
      : was === ''
        ? 'these events now take users off'
        : 'these events take other users off, or off other channels';
  tell('check', 'listeners', text, valuesOf(was || undefined, is || undefined, 'nobody'));
}

function revocationsOf({ unsubscribe, disconnect }: EventRule): string[] {
  return [
    ...(unsubscribe === undefined
      ? []
      : [`unsubscribe: ${unsubscribe.user} from ${unsubscribe.channel}`]),
    ...(disconnect === undefined ? [] : [`disconnect: ${disconnect}`]),
  ];
}

function effectOf(rule: EventRule): string {
  const sends = rule.to.length === 0 ? [] : [`to: ${rule.to.join(', ')}`];
  return [...sends, ...revocationsOf(rule)].join('; ');
}

function compareNames(old: EventRule, next: EventRule, tell: Tell): void {
  if (old.as === next.as) return;
  const values = valuesOf(old.as, next.as, 'the CloudEvents type, else the routing key');
  tell('breaking', 'listeners', 'the event has another name in the browser', values);
}

function compareData(old: Data, next: Data, tell: Tell): void {
  if (JSON.stringify(old) === JSON.stringify(next)) return;
  const values = valuesOf(dataText(old), dataText(next), 'the whole payload');
  if (typeof old === 'string' || typeof next === 'string') {
    const sameShape = typeof old === typeof next;
    tell(sameShape ? 'check' : 'breaking', 'listeners', 'clients get other data', values);
    return;
  }
  if (old === undefined) {
    const kept = Object.keys(next ?? {}).join(', ');
    const text = `clients got the whole payload and now get only ${kept === '' ? 'an empty object' : kept}`;
    tell('breaking', 'listeners', text, values);
    return;
  }
  for (const [key, template] of Object.entries(old)) {
    const same = `{data.${key}}`;
    const now = next === undefined ? same : Object.hasOwn(next, key) ? next[key] : undefined;
    if (now === template) continue;
    if (now === undefined)
      tell('breaking', 'listeners', `the field "${key}" is no longer sent`, { was: template });
    else if (next === undefined) {
      const text = `the field "${key}" was made from other fields, and now the payload is sent as it is`;
      tell('breaking', 'listeners', text, { was: template });
    } else
      tell('check', 'listeners', `the field "${key}" is made from something else`, {
        was: template,
        is: now,
      });
  }
  const added = Object.keys(next ?? {}).filter((key) => !Object.hasOwn(old, key));
  if (next === undefined) tell('fine', 'listeners', 'clients get the whole payload', values);
  else if (added.length > 0) tell('fine', 'listeners', `clients also get ${added.join(', ')}`);
}

function dataText(data: Data): string | undefined {
  if (data === undefined || typeof data === 'string') return data;
  return `{ ${Object.entries(data)
    .map(([key, template]) => `${key}: ${template}`)
    .join(', ')} }`;
}

/** An event without a field that a template reads is dead-lettered, so a new field is a demand on publishers. */
function compareFields(old: EventRule, next: EventRule, tell: Tell): void {
  const known = fieldsOf(old);
  for (const [text, path] of fieldsOf(next)) {
    if (known.has(text) || requires(old.schema, path) || requires(next.schema, path)) continue;
    const told = `reads {${text}}, which it did not: events without it are now dead-lettered`;
    tell('check', 'publishers', told);
  }
}

/** What the event must have: text of the variable to its path in the payload, undefined where it is not of the payload. */
function fieldsOf(rule: EventRule): Map<string, readonly string[] | undefined> {
  const data = typeof rule.data === 'string' ? [rule.data] : Object.values(rule.data ?? {});
  const fields = new Map<string, readonly string[] | undefined>();
  const { unsubscribe, disconnect, as } = rule;
  const others = [unsubscribe?.user, unsubscribe?.channel, disconnect, as];
  for (const source of [...rule.to, ...data, ...others]) {
    if (source === undefined) continue;
    const template = compileTemplate(source);
    if (!template.ok) continue;
    for (const part of template.value.parts) {
      if (typeof part === 'string' || part.root === 'key' || part.text === 'data') continue;
      fields.set(part.text, part.root === 'data' ? part.path : undefined);
    }
  }
  return fields;
}

function reportAdded(rule: EventRule, before: readonly EventRule[], report: Report): void {
  const subject = subjectOf(rule);
  report({
    verdict: 'fine',
    party: 'listeners',
    subject,
    text: 'is a new rule',
    is: effectOf(rule),
  });
  const demands = [
    ...(rule.schema === undefined ? [] : [`a payload that ${rule.schema.path} accepts`]),
    ...[...fieldsOf(rule).keys()].map((field) => `{${field}}`),
  ];
  const alongside = before.filter((old) => patternsOverlap(old.on, rule.on) !== false);
  if (demands.length === 0 || alongside.length === 0) return;
  // All rules that match apply, or none.
  const text = `is a new rule for events that were taken already, and it needs ${demands.join(', ')}: without, they are now dead-lettered`;
  report({ verdict: 'check', party: 'publishers', subject, text });
}
