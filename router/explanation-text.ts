/** An explanation as people read it in a terminal. */
import { printable } from '../config/problems.ts';
import { ruleName } from '../config/rule-name.ts';
import type { Explanation, PublicationExplanation, RuleExplanation } from './explain.ts';

/** Rules whose pattern does not match are many and say little: so many are listed where nothing matched at all. */
const maxIdleRules = 10;
const maxDataLength = 400;

export function explanationText(explanation: Explanation): string {
  const { key, id, type, outcome, refusal, rules, publications, hints } = explanation;
  const about = [type === undefined ? '' : `type ${type}`, id === undefined ? '' : `id ${id}`];
  const details = about.filter((one) => one !== '').join(', ');
  const lines = [`event  ${key}${details === '' ? '' : `  (${details})`}`, ''];
  if (rules.length > 0) lines.push(...rulesText(rules, outcome), '');
  for (const publication of publications) lines.push(...publicationText(publication), '');
  if (outcome === 'unmatched') {
    lines.push('Nothing is published: no rule takes this event. It is acknowledged and counted.');
    lines.push(...hints.map((hint) => `  ${hint}`));
  }
  if (refusal !== undefined) {
    lines.push('Nothing is published: the event goes to the dead-letter queue.');
    lines.push(`  reason  ${refusal.code}: ${refusal.text}`);
  }
  while (lines.at(-1) === '') lines.pop();
  return `${lines.map(printable).join('\n')}\n`;
}

function rulesText(rules: readonly RuleExplanation[], outcome: Explanation['outcome']): string[] {
  const idle = rules.filter((rule) => rule.outcome === 'pattern');
  const told = rules.filter((rule) => rule.outcome !== 'pattern');
  // Where something matched, the others are of no interest.
  const listed = outcome === 'unmatched' ? idle.slice(0, maxIdleRules) : [];
  const shown = [...told, ...listed].sort((a, b) => a.rule - b.rule);
  const width = Math.max(0, ...shown.map((rule) => rule.on.length));
  const names = Math.max(0, ...shown.map((rule) => nameOf(rule).length));
  const lines = shown.map(
    (rule) => `  ${nameOf(rule).padEnd(names)}  on ${rule.on.padEnd(width)}  ${verdictText(rule)}`,
  );
  const more = idle.length - listed.length;
  if (more > 0) lines.push(`  ${more} ${more === 1 ? 'rule' : 'rules'} for other routing keys`);
  return ['rules', ...lines];
}

function nameOf({ rule, builtIn }: Pick<RuleExplanation, 'rule' | 'builtIn'>): string {
  return ruleName({ index: rule, ...(builtIn === undefined ? {} : { builtIn }) });
}

function verdictText(rule: RuleExplanation): string {
  switch (rule.outcome) {
    case 'matched':
      return rule.schema === undefined
        ? 'yes'
        : `yes, and the payload is what ${rule.schema} asks for`;
    case 'pattern':
      return 'no: the pattern does not match the routing key';
    case 'overridden':
      return 'no: the file has a rule of its own for this';
    case 'not-reached':
      return 'not looked at';
    case 'condition-false':
      return `no: when ${rule.reason ?? ''}`;
    case 'condition-error':
      return `no: when ${rule.reason ?? ''}`;
    case 'refused':
      return 'refuses the event';
  }
}

function publicationText(publication: PublicationExplanation): string[] {
  const { app, channel, event, data, id, except, routingKey } = publication;
  return [
    `→ ${channel}  (app ${app}, by ${nameOf(publication)})`,
    `  event        ${event}`,
    `  data         ${shortened(data)}`,
    `  id           ${id ?? '(random: the event has none)'}`,
    ...(except === undefined ? [] : [`  except       socket ${except}`]),
    `  routing key  ${routingKey}  on warren.channels`,
    `  subscribers  ${guardText(publication)}`,
  ];
}

function guardText({ kind, guard, channel }: PublicationExplanation): string {
  if (kind === 'public') return 'anyone: the channel is public';
  if (kind === 'socket') return 'that one socket, while it is connected';
  if (kind === 'server-to-user') {
    return `the signed-in user ${channel.slice('#server-to-user-'.length)}`;
  }
  if (guard === undefined) {
    return `whoever your own service signs for: no rule under channels matches this ${kind} channel`;
  }
  return `${kind}, channels[${guard.rule}] ${guard.name}: ${guard.allow}`;
}

function shortened(data: string): string {
  const line = data.replace(/\s*[\r\n]\s*/g, ' ');
  return line.length <= maxDataLength
    ? line
    : `${line.slice(0, maxDataLength)}… (${Buffer.byteLength(data, 'utf8')} bytes)`;
}
