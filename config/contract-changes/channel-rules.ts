/** Channel rules of two files compared: who may listen. */
import { maxChannelNameLength } from '../../contracts/channel.ts';
import type { ChannelRule } from '../../contracts/warren-config.ts';
import { type ChannelRuleName, compileChannelRuleName } from '../channel-rule.ts';
import { conditionVerdict, type Report } from './change.ts';

interface Named {
  readonly rule: ChannelRule;
  readonly name: ChannelRuleName;
  /** The name without what its parameters are called. */
  readonly form: string;
}

export function compareChannelRules(
  before: readonly ChannelRule[],
  after: readonly ChannelRule[],
  report: Report,
): void {
  const [olds, nexts] = [before.flatMap(named), after.flatMap(named)];
  for (const old of olds) {
    const next = nexts.find((one) => one.rule.app === old.rule.app && one.form === old.form);
    if (next === undefined) reportRemoved(old, nexts, report);
    else {
      compareRule(old.rule, next.rule, report);
      reportEarlier(old, next, olds, nexts, report);
    }
  }
  for (const next of nexts) {
    if (olds.some((old) => old.rule.app === next.rule.app && old.form === next.form)) continue;
    report({
      verdict: 'fine',
      party: 'listeners',
      subject: subjectOf(next.rule),
      text: 'is a new rule',
    });
  }
}

function named(rule: ChannelRule): Named[] {
  const name = compileChannelRuleName(rule.name, maxChannelNameLength, rule.allow === undefined);
  return name.ok ? [{ rule, name: name.value, form: rule.name.replace(/\{[^{}]*\}/g, '{}') }] : [];
}

function subjectOf(rule: ChannelRule): string {
  return `channels[${rule.index}] ${rule.name}`;
}

function reportRemoved(old: Named, nexts: readonly Named[], report: Report): void {
  const subject = `${subjectOf(old.rule)} in the old file`;
  const wider = nexts.find((one) => one.rule.app === old.rule.app && one.name.covers(old.name));
  if (wider !== undefined) {
    const text = `the rule is gone, and ${subjectOf(wider.rule)} decides now`;
    const values = { was: allowText(old.rule), is: allowText(wider.rule) };
    report({ verdict: 'check', party: 'listeners', subject, text, ...values });
    return;
  }
  const granted = old.rule.allow !== undefined;
  report({
    verdict: granted ? 'breaking' : 'check',
    party: 'listeners',
    subject,
    text: granted
      ? 'the rule is gone: Warren no longer lets anybody subscribe to these channels'
      : 'the rule is gone: these channels are delivered as all others',
    was: allowText(old.rule),
  });
}

function allowText(rule: ChannelRule): string {
  return `allow: ${rule.allow ?? '(nobody)'}`;
}

function compareRule(old: ChannelRule, next: ChannelRule, report: Report): void {
  const subject = subjectOf(next);
  if (old.allow !== next.allow) {
    const values = { was: old.allow ?? '(nobody)', is: next.allow ?? '(nobody)' };
    const verdict =
      old.allow === undefined || next.allow === 'true'
        ? 'fine'
        : next.allow === undefined
          ? 'breaking'
          : conditionVerdict(old.allow, next.allow);
    const texts = {
      breaking: 'fewer may subscribe',
      check: 'others may subscribe',
      fine: 'more may subscribe',
    };
    report({ verdict, party: 'listeners', subject, text: texts[verdict], ...values });
  }
  const [was, is] = [old.delivery ?? 'auto', next.delivery ?? 'auto'];
  if (was !== is) {
    // The shared queue of an edge gives sessions no continuity.
    const verdict = is === 'edge' ? 'breaking' : 'fine';
    const text =
      is === 'edge'
        ? 'sessions lose their continuity on these channels'
        : 'takes another road to the edges';
    report({ verdict, party: 'listeners', subject, text, was, is });
  }
  const [grace, graceNow] = [old.presenceGraceMs ?? 0, next.presenceGraceMs ?? 0];
  if (grace !== graceNow) {
    const text = `members who are away count as gone ${graceNow < grace ? 'sooner' : 'later'}`;
    const values = { was: `${grace} ms`, is: `${graceNow} ms` };
    report({ verdict: 'fine', party: 'listeners', subject, text, ...values });
  }
}

/** The first rule that matches decides, so a new narrower one in front takes channels away from this one. */
function reportEarlier(
  old: Named,
  next: Named,
  olds: readonly Named[],
  nexts: readonly Named[],
  report: Report,
): void {
  const known = new Set(
    olds.slice(0, olds.indexOf(old)).map((one) => `${one.rule.app} ${one.form}`),
  );
  for (const earlier of nexts.slice(0, nexts.indexOf(next))) {
    const new_ = !known.has(`${earlier.rule.app} ${earlier.form}`);
    if (!new_ || earlier.rule.app !== next.rule.app || !next.name.covers(earlier.name)) continue;
    const text = `now comes before ${subjectOf(next.rule)} and decides for part of its channels`;
    const values = { was: allowText(next.rule), is: allowText(earlier.rule) };
    report({
      verdict: 'check',
      party: 'listeners',
      subject: subjectOf(earlier.rule),
      text,
      ...values,
    });
  }
}
