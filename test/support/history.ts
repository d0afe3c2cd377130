/** Judges a chaos run, in the words of Jepsen: lost, duplicated, reordered, foreign; and whether the run proves anything. Pure. */
import type { History, Published, Rules, Verdict } from './history-entries.ts';
import { type Findings, SessionReader } from './history-reader.ts';

export function judge(history: History, rules: Rules): Verdict {
  const byId = new Map(history.publications.map((publication) => [publication.id, publication]));
  const byChannel = new Map<string, Published[]>();
  for (const publication of history.publications) {
    const others = byChannel.get(publication.channel);
    if (others === undefined) byChannel.set(publication.channel, [publication]);
    else others.push(publication);
  }
  const routerFaults = history.faults
    .filter(({ kind }) => rules.routerFaults.includes(kind))
    .map(({ at }) => ({ at, repeated: new Set<string>() }));
  const findings: Findings = {
    lost: [],
    duplicated: [],
    reordered: [],
    foreign: [],
    misreported: [],
    gaps: [],
  };
  const totals = { deliveries: 0, repeats: 0, routerRepeats: 0, connections: 0, resumes: 0 };
  const invalid: string[] = [];
  for (const session of history.sessions) {
    const reader = new SessionReader(session, { byId, byChannel, rules, routerFaults, findings });
    reader.read();
    for (const name of Object.keys(totals) as (keyof typeof totals)[]) {
      totals[name] += reader.totals[name];
    }
    if (!reader.provedSomething) invalid.push(`${session.name} saw nothing that it had to see`);
  }
  const faults: Record<string, number> = {};
  for (const { kind } of history.faults) faults[kind] = (faults[kind] ?? 0) + 1;
  if (history.sessions.length === 0) invalid.push('no sessions');
  if (totals.deliveries < rules.demands.deliveries) {
    invalid.push(`${totals.deliveries} deliveries, ${rules.demands.deliveries} demanded`);
  }
  for (const [kind, least] of Object.entries(rules.demands.faults)) {
    const count = faults[kind] ?? 0;
    if (count < least) invalid.push(`${count} faults of kind ${kind}, ${least} demanded`);
  }
  const confirmed = history.publications.filter(({ outcome }) => outcome === 'confirmed').length;
  const unknown = history.publications.length - confirmed;
  return { invalid, ...findings, counts: { ...totals, confirmed, unknown, faults } };
}
