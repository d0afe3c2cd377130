/** What the commands on dead letters share: what they are given, how they walk, what they answer. */
import type { DeadLetters, DeadLetterTally, DeadLetterWalk } from '../broker/port.ts';
import type { DeadLetter } from '../contracts/dead-letter.ts';
import type { Environment } from '../runtime/env.ts';
import type { Settings } from '../runtime/settings.ts';
import type { CommandIo } from './check.ts';
import type { DeadFilter, DeadFilterFlags } from './dead-filter.ts';
import { lettersText } from './dead-text.ts';

export interface DeadIo extends CommandIo {
  /** Rejects with `BrokerError`. */
  connect(settings: Settings): Promise<DeadLetters>;
  /** Milliseconds since 1970. */
  now(): number;
  /** Replaces the last such text; empty text takes it away. */
  progress(text: string): void;
  /** `undefined` where nobody can be asked. */
  ask(question: string): Promise<boolean | undefined>;
  /** Aborts when the operator has had enough. */
  readonly interrupted: AbortSignal;
}

export interface DeadArguments {
  readonly command: 'list' | 'show' | 'replay' | 'drop';
  readonly queue: DeadLetterWalk['queue'];
  readonly filter: DeadFilterFlags;
  /** Letters that are looked at, the oldest first. */
  readonly limit: number;
  /** Every letter, where no filter is given: `replay` and `drop` want one of the two. */
  readonly all: boolean;
  /** `drop` without asking. */
  readonly yes: boolean;
  /** `replay`: say what would be routed, and move nothing. */
  readonly dryRun: boolean;
  readonly json: boolean;
  /** Path of warren.yaml. */
  readonly config: string;
  readonly environment: Environment;
}

export const deadExit = {
  done: 0,
  failed: 1,
  wrongUse: 2,
  noSuchLetter: 3,
  interrupted: 130,
} as const;

/** What the commands are given when there is a connection. */
export interface DeadRun {
  readonly args: DeadArguments;
  readonly io: DeadIo;
  readonly letters: DeadLetters;
  readonly filter: DeadFilter;
}

/** Walks, and keeps the operator informed. */
export async function walkLetters(
  { args, io, letters }: Pick<DeadRun, 'args' | 'io' | 'letters'>,
  visit: DeadLetterWalk['visit'],
): Promise<DeadLetterTally> {
  const tally = await letters.walk({
    queue: args.queue,
    limit: args.limit,
    signal: io.interrupted,
    visit,
    progress: ({ visited, total }) =>
      io.progress(`${visited} of ${Math.min(total, args.limit)} letters`),
  });
  io.progress('');
  return tally;
}

/** Says which letters were not looked at, and why. */
export function behindText(
  { total, visited }: DeadLetterTally,
  { args, io }: Pick<DeadRun, 'args' | 'io'>,
): string {
  const behind = total - visited;
  if (behind <= 0 || io.interrupted.aborted) return '';
  const which = `${lettersText(behind)} behind the first ${visited} ${behind === 1 ? 'was' : 'were'} not looked at`;
  return visited >= args.limit
    ? `${which}: see --limit\n`
    : `${which}: another command has them in hand, or took them\n`;
}

export async function findLetter(run: DeadRun): Promise<DeadLetter | undefined> {
  let found: DeadLetter | undefined;
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, run.io.interrupted]);
  await run.letters.walk({
    queue: run.args.queue,
    limit: run.args.limit,
    signal,
    visit: (letter) => {
      if (!run.filter.matches(letter)) return 'keep';
      found = letter;
      over.abort();
      return 'keep';
    },
  });
  return found;
}

export function noSuchLetter({ args, io }: Pick<DeadRun, 'args' | 'io'>): number {
  if (io.interrupted.aborted) return deadExit.interrupted;
  const ids = args.filter.id ?? [];
  const which = ids.length > 0 ? ` ${ids.join(', ')}` : ' that matches';
  const command = args.queue === 'webhooks' ? 'dead list --queue webhooks' : 'dead list';
  io.stderr(
    `there is no letter${which} among the first ${args.limit}: "warren ${command}" shows what there is, --limit looks further\n`,
  );
  return deadExit.noSuchLetter;
}
