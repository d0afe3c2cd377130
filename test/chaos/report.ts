/** A verdict for people: the counts, and of each kind of fault found the shortest stretch of history that shows it. */
import type { Finding, History, Verdict } from '../support/history-entries.ts';

const examplesPerKind = 2;
/** Lines of one example. */
const maxLines = 24;

const kinds = ['lost', 'duplicated', 'reordered', 'foreign', 'misreported', 'gaps'] as const;

export function summary({ invalid, counts, ...found }: Verdict): string {
  const findings = kinds.map((kind) => `${found[kind].length} ${kind}`).join(', ');
  const faults = Object.entries(counts.faults).map(([kind, count]) => `${count} ${kind}`);
  return [
    `  ${findings}`,
    `  ${counts.deliveries} deliveries of ${counts.confirmed} confirmed and ${counts.unknown} unknown publications`,
    `  ${counts.repeats} repeats after a resume, ${counts.routerRepeats} after a router fault; ${counts.connections} connections, ${counts.resumes} resumed`,
    `  faults: ${faults.join(', ')}`,
    ...invalid.map((reason) => `  INVALID: ${reason}`),
  ].join('\n');
}

/** @param startedAt what times are counted from, as the history's clock shows it */
export function examples(history: History, verdict: Verdict, startedAt: number): string {
  const lines: string[] = [];
  for (const kind of kinds) {
    const all = verdict[kind];
    if (all.length === 0) continue;
    const sessions = new Set(all.map(({ session }) => session));
    lines.push(`${kind}: ${all.length} in ${sessions.size} sessions`);
    for (const finding of all.slice(0, examplesPerKind)) {
      lines.push(...example(history, finding, startedAt));
    }
  }
  return lines.join('\n');
}

/** What was broken, in order. */
export function faultLog(history: History, startedAt: number): string {
  const lines = history.faults.map(
    ({ at, kind, detail }) => `${clock(at, startedAt)} ${kind} ${detail}`,
  );
  return lines.join('\n');
}

/** Connections, reports and neighbours of the finding, with the faults in between. */
function example(history: History, finding: Finding, startedAt: number): string[] {
  const { session: name, at, channel, id, text } = finding;
  const published = history.publications.find((one) => one.id === id);
  const isNear = (n: number) => published !== undefined && Math.abs(n - published.n) <= 2;
  const entries = history.sessions.find((session) => session.name === name)?.entries ?? [];
  const near: { readonly at: number; readonly text: string }[] = [];
  for (const entry of entries) {
    switch (entry.kind) {
      case 'event':
        if (
          entry.channel === channel &&
          entry.publisher === published?.publisher &&
          isNear(entry.n)
        )
          near.push({ at: entry.at, text: `saw ${entry.id}` });
        break;
      case 'connected':
        near.push({ at: entry.at, text: 'connected' });
        break;
      case 'session':
        near.push({ at: entry.at, text: `warren:session resumed ${entry.resumed}` });
        break;
      default: {
        if (entry.channel !== channel) break;
        const reason = entry.kind === 'lost' ? ` ${entry.reason}` : '';
        near.push({ at: entry.at, text: `${entry.kind} ${entry.channel}${reason}` });
      }
    }
  }
  for (const fault of history.faults) {
    near.push({ at: fault.at, text: `** ${fault.kind} ${fault.detail}` });
  }
  if (published !== undefined) {
    near.push({ at: published.sentAt, text: `-> ${id} published, ${published.outcome}` });
  }
  near.sort((a, b) => a.at - b.at);
  const middle = near.findIndex((line) => line.at >= (published?.sentAt ?? at));
  const from = Math.max(0, middle - maxLines / 2);
  return [
    `  ${name} at ${clock(at, startedAt)} ${channel}: ${text}`,
    ...near
      .slice(from, from + maxLines)
      .map((line) => `    ${clock(line.at, startedAt)} ${line.text}`),
  ];
}

function clock(at: number, startedAt: number): string {
  return `${((at - startedAt) / 1_000).toFixed(3).padStart(8)} s`;
}
