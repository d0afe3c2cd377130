/** `warren dead replay` and `warren dead drop`: they move letters, or say what would be moved. */
import { formatProblems, printable } from '../config/problems.ts';
import type { DeadLetter } from '../contracts/dead-letter.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';
import { explainEvent } from '../router/explain.ts';
import { loadForCommand } from './check.ts';
import { behindText, type DeadRun, deadExit, noSuchLetter, walkLetters } from './dead-run.ts';
import { countsText, lettersText } from './dead-text.ts';

export async function settleLetters(run: DeadRun): Promise<number> {
  const { command, dryRun } = run.args;
  if (command === 'replay' && dryRun) return await rehearse(run);
  if (command === 'drop') {
    const refusal = await mayDrop(run);
    if (refusal !== undefined) return refusal;
  }
  return await settle(run);
}

async function settle(run: DeadRun): Promise<number> {
  const { args, io, filter } = run;
  const fate = args.command === 'replay' ? 'replay' : 'drop';
  const found = new Set<string>();
  const tally = await walkLetters(run, (letter) => {
    if (!filter.matches(letter)) return 'keep';
    found.add(letter.id);
    return fate;
  });
  const moved = fate === 'replay' ? tally.replayed : tally.dropped;
  if (moved === 0) return noSuchLetter(run);
  const left = tally.total - moved;
  const verb = fate === 'replay' ? 'replayed' : 'dropped';
  if (args.json) io.stdout(`${JSON.stringify({ [verb]: moved, left })}\n`);
  else io.stdout(`${verb} ${lettersText(moved)}, ${left} left\n`);
  if (io.interrupted.aborted) return deadExit.interrupted;
  io.stderr(behindText(tally, run));
  const missing = (args.filter.id ?? []).filter((id) => !found.has(id.toLowerCase()));
  if (missing.length === 0) return deadExit.done;
  io.stderr(`there is no letter ${missing.join(', ')}\n`);
  return deadExit.noSuchLetter;
}

/** The exit code where they may not be dropped. */
async function mayDrop(run: DeadRun): Promise<number | undefined> {
  const { args, io, filter } = run;
  if (args.yes) return undefined;
  const counts = new Map<string, number>();
  await walkLetters(run, (letter) => {
    if (filter.matches(letter)) counts.set(letter.code, (counts.get(letter.code) ?? 0) + 1);
    return 'keep';
  });
  if (counts.size === 0) return noSuchLetter(run);
  const answer = await io.ask(`${countsText(counts).trimEnd()}. Drop for good? [y/N] `);
  if (answer === true) return undefined;
  if (io.interrupted.aborted) return deadExit.interrupted;
  io.stderr(
    answer === false
      ? 'nothing was dropped\n'
      : 'nothing was dropped: add --yes where nobody can be asked\n',
  );
  return answer === false ? deadExit.done : deadExit.wrongUse;
}

interface Rehearsal {
  readonly id: string;
  readonly key: string;
  readonly outcome: 'routed' | 'unmatched' | 'refused';
  readonly channels: readonly string[];
  readonly reason?: string;
}

async function rehearse(run: DeadRun): Promise<number> {
  const { args, io, filter } = run;
  const { result } = loadForCommand(args.config, args.environment, io);
  if (!result.ok) {
    io.stderr(`${formatProblems(result.problems)}\n`);
    return deadExit.failed;
  }
  const { config } = result;
  const rehearsals: Rehearsal[] = [];
  const tally = await walkLetters(run, (letter) => {
    if (filter.matches(letter)) rehearsals.push(rehearsalOf(letter, config));
    return 'keep';
  });
  if (rehearsals.length === 0) return noSuchLetter(run);
  if (args.json) io.stdout(`${JSON.stringify(rehearsals, null, 2)}\n`);
  else {
    for (const one of rehearsals) io.stdout(`${printable(rehearsalText(one))}\n`);
    const count = (outcome: Rehearsal['outcome']) =>
      rehearsals.filter((one) => one.outcome === outcome).length;
    io.stdout(
      `\n${lettersText(rehearsals.length)}, nothing was moved: ${count('routed')} would be routed, ` +
        `${count('unmatched')} no rule takes, ${count('refused')} would be refused again\n`,
    );
    io.stderr(behindText(tally, run));
  }
  return io.interrupted.aborted ? deadExit.interrupted : deadExit.done;
}

function rehearsalOf({ id, event }: DeadLetter, config: WarrenConfig): Rehearsal {
  const { outcome, publications, refusal } = explainEvent(event, config);
  return {
    id,
    key: event.routingKey,
    outcome,
    channels: publications.map(({ channel }) => channel),
    ...(refusal === undefined ? {} : { reason: `${refusal.code}: ${refusal.text}` }),
  };
}

function rehearsalText({ id, key, outcome, channels, reason }: Rehearsal): string {
  switch (outcome) {
    case 'routed':
      return `${id}  ${key} → ${channels.join(', ')}`;
    case 'unmatched':
      return `${id}  ${key}: no rule takes it`;
    case 'refused':
      return `${id}  ${key}: refused again, ${reason ?? ''}`;
  }
}
