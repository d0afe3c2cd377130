/** `warren check --against`: what a newer warren.yaml breaks, for whom, in words. */
import { dirname, resolve } from 'node:path';
import type { Change } from '../config/contract-changes/change.ts';
import { compareContracts } from '../config/contract-changes/compare.ts';
import type { LoadResult } from '../config/load.ts';
import { formatProblems, printable } from '../config/problems.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';

interface Output {
  stdout(text: string): void;
  stderr(text: string): void;
}

export interface AgainstArguments {
  /** Name of the newer file. */
  readonly file: string;
  readonly config: WarrenConfig;
  /** Path of the older file. */
  readonly against: string;
  readonly older: LoadResult;
  readonly json: boolean;
}

/**
 * Exit codes: 0 nobody loses anything, 5 something breaks, 6 nothing is sure to break and something must be checked by hand, 1 the
 * older file is not good.
 */
export function checkAgainst(args: AgainstArguments, io: Output): number {
  const { file, config, against, older, json } = args;
  if (!older.ok) {
    if (json) io.stdout(jsonText({ file, against, ok: false, problems: older.problems }));
    else io.stderr(`${formatProblems(older.problems)}\n\n${against}: the older file is not good\n`);
    return 1;
  }
  const changes = compareContracts(older.config, config);
  const breaking = changes.filter(({ verdict }) => verdict === 'breaking').length;
  const unsure = changes.filter(({ verdict }) => verdict === 'check').length;
  const notes = sharedSchemas(args, older.config);
  if (json) {
    const compatible = breaking > 0 ? 'no' : unsure > 0 ? 'unsure' : 'yes';
    io.stdout(jsonText({ file, against, ok: true, compatible, changes, notes }));
  } else io.stdout(changesText(`${file} against ${against}`, changes, notes));
  return breaking > 0 ? 5 : unsure > 0 ? 6 : 0;
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** One schema file that both name shows no difference, whatever it held before. */
function sharedSchemas({ file, config, against }: AgainstArguments, older: WarrenConfig): string[] {
  const paths = (from: string, { events }: WarrenConfig) =>
    new Map(events.map(({ schema }) => [resolve(dirname(from), schema?.path ?? ''), schema?.path]));
  const olds = paths(against, older);
  return [...paths(file, config)].flatMap(([place, path]) =>
    path === undefined || !olds.has(place)
      ? []
      : [
          `both files use the same ${path}, so changes in it are not seen: put the older version beside the older file (git worktree does it)`,
        ],
  );
}

const headings: readonly (readonly [Change['verdict'], Change['party'], string])[] = [
  ['breaking', 'listeners', 'BREAKS those who listen'],
  ['breaking', 'publishers', 'BREAKS those who publish'],
  ['check', 'listeners', 'CHECK BY HAND, for those who listen'],
  ['check', 'publishers', 'CHECK BY HAND, for those who publish'],
  ['fine', 'listeners', 'fine for those who listen'],
  ['fine', 'publishers', 'fine for those who publish'],
];

const maxValue = 200;

function changesText(title: string, changes: readonly Change[], notes: readonly string[]): string {
  const lines = [`${title}: ${verdictText(changes)}`];
  for (const [verdict, party, heading] of headings) {
    const listed = changes.filter((one) => one.verdict === verdict && one.party === party);
    if (listed.length === 0) continue;
    lines.push('', heading);
    for (const [subject, ofSubject] of bySubject(listed)) {
      lines.push(`  ${subject}`);
      for (const { text, was, is } of ofSubject) {
        lines.push(`    - ${text}`);
        if (was !== undefined) lines.push(`        was  ${shortened(was)}`);
        if (is !== undefined) lines.push(`        now  ${shortened(is)}`);
      }
    }
  }
  if (notes.length > 0) lines.push('', ...notes.map((note) => `note: ${note}`));
  return `${lines.map(printable).join('\n')}\n`;
}

function bySubject(changes: readonly Change[]): Map<string, Change[]> {
  const groups = new Map<string, Change[]>();
  for (const change of changes) {
    const group = groups.get(change.subject) ?? [];
    group.push(change);
    groups.set(change.subject, group);
  }
  return groups;
}

function verdictText(changes: readonly Change[]): string {
  const count = (verdict: Change['verdict']) =>
    changes.filter((one) => one.verdict === verdict).length;
  const [breaking, unsure] = [count('breaking'), count('check')];
  const unsureText = `${unsure} to check by hand`;
  if (breaking > 0) {
    const told = `${breaking} breaking ${breaking === 1 ? 'change' : 'changes'}`;
    return unsure === 0 ? told : `${told}, ${unsureText}`;
  }
  if (unsure > 0) return `no breaking change for sure, ${unsureText}`;
  return changes.length === 0 ? 'compatible, nothing has changed' : 'compatible';
}

function shortened(text: string): string {
  return text.length <= maxValue ? text : `${text.slice(0, maxValue)}…`;
}
