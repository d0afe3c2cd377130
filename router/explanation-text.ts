/** An explanation as people read it in a terminal. */
import { printable } from '../config/problems.ts';
import { ruleName } from '../config/rule-name.ts';
import type {
  Explanation,
  PublicationExplanation,
  RevocationExplanation,
  RuleExplanation,
} from './explain.ts';

/** Rules whose pattern does not match are many and say little: so many are listed where nothing matched at all. */
const maxIdleRules = 10;
const maxDataLength = 400;

export function explanationText(explanation: Explanation): string {
  const { key, id, type, outcome, refusal, rules, hints } = explanation;
  const about = [type === undefined ? '' : `type ${type}`, id === undefined ? '' : `id ${id}`];
  const details = about.filter((one) => one !== '').join(', ');
  const lines = [`event  ${key}${details === '' ? '' : `  (${details})`}`, ''];
  if (rules.length > 0) lines.push(...rulesText(rules, outcome), '');
  for (const text of actionsInOrder(explanation)) lines.push(...text, '');
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

/** Rule by rule; within one, what it publishes comes first. */
function actionsInOrder({ publications, revocations }: Explanation): readonly string[][] {
  const actions = [
    ...publications.map((one) => ({ rule: one.rule, text: publicationText(one) })),
    ...revocations.map((one) => ({ rule: one.rule, text: revocationText(one) })),
  ];
  return actions.sort((a, b) => a.rule - b.rule).map(({ text }) => text);
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

function revocationText(revocation: RevocationExplanation): string[] {
  const { rule, app, user } = revocation;
  const by = `(app ${app}, by events[${rule}])`;
  if (revocation.kind === 'disconnect') {
    return [
      `✕ disconnect user ${user}  ${by}`,
      '  sockets      all that are signed in as this user or are this member of a presence channel, on all edges',
    ];
  }
  return [
    `✕ user ${user} off ${revocation.channel}  ${by}`,
    `  routing key  ${revocation.routingKey}  on warren.channels`,
    '  sockets      those subscribed to it that are signed in as this user or joined as this member',
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
