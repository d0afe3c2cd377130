/** The command line of `warren dead`, and what it does with the terminal. */
import { createInterface } from 'node:readline/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { maxDeadLetterWalk } from '../broker/port.ts';
import { topologyNames } from '../contracts/topology.ts';
import { systemClock } from '../runtime/clock.ts';
import { processEnvironment } from '../runtime/env.ts';
import type { CommandIo } from './check.ts';
import type { DeadArguments, DeadIo } from './dead-run.ts';

interface DeadFlags {
  readonly queue: DeadArguments['queue'];
  readonly id?: readonly string[];
  readonly reason?: readonly string[];
  readonly key?: string;
  readonly since?: string;
  readonly olderThan?: string;
  readonly limit: number;
  readonly all?: boolean;
  readonly yes?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly config?: string;
}

const exits =
  '\nExit codes: 0 done, 1 the broker or warren.yaml did not let it, 2 wrong use, 3 no such letter, 130 interrupted.';

export function addDeadCommands(
  program: Command,
  io: CommandIo,
  finish: (code: Promise<number>) => void,
): void {
  const dead = program
    .command('dead')
    .description('look at what was refused, put it back, or drop it (docs/dead-letters.md)');
  const run = (command: DeadArguments['command'], flags: DeadFlags, ids: readonly string[]) =>
    finish(
      import('./dead.ts').then((module) =>
        module.dead(deadArguments(command, flags, ids), deadIo(io)),
      ),
    );
  const filtered = (command: Command, verb: string) =>
    common(command)
      .option('--id <id...>', `${verb} the letters of this id; may be repeated`)
      .option('--reason <code...>', `${verb} those refused for this reason; may be repeated`)
      .option('--key <pattern>', `${verb} those whose routing key matches, as 'chat.#'`)
      .option('--since <duration>', `${verb} those refused in the last 90s, 15m, 2h or 3d`)
      .option('--older-than <duration>', `${verb} those refused longer ago than that`);
  const config = (command: Command) =>
    command.option('--config <file>', 'path of warren.yaml', defaultConfig());

  filtered(dead.command('list'), 'list')
    .description('list letters, newest last, and count them by reason')
    .option('--json', 'print JSON')
    .addOption(queueOption())
    .addHelpText('after', exits)
    .action((flags: DeadFlags) => run('list', flags, []));
  config(common(dead.command('show')))
    .description('show one letter, and what would become of it now')
    .argument('<id>', 'as "dead list" prints it')
    .option('--json', 'print JSON')
    .addOption(queueOption())
    .addHelpText('after', exits)
    .action((id: string, flags: DeadFlags) => run('show', flags, [id]));
  config(filtered(dead.command('replay'), 'replay'))
    .description('put letters back into the queue of the router, at its end, as they first came')
    .argument('[id...]', 'as "dead list" prints it')
    .option('--all', 'every letter')
    .option('--dry-run', 'say what would be routed, and move nothing')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `\nA letter is taken out once the broker has confirmed its copy: it is never lost, and may come twice where this is killed.${exits}`,
    )
    .action((ids: readonly string[], flags: DeadFlags) =>
      run('replay', { ...flags, queue: 'events' }, ids),
    );
  filtered(dead.command('drop'), 'drop')
    .description('delete letters for good')
    .argument('[id...]', 'as "dead list" prints it')
    .option('--all', 'every letter')
    .option('--yes', 'do not ask')
    .option('--json', 'print JSON')
    .addOption(queueOption())
    .addHelpText('after', exits)
    .action((ids: readonly string[], flags: DeadFlags) => run('drop', flags, ids));
}

export async function explainLetter(
  flags: { readonly id: string; readonly config: string; readonly json?: boolean },
  io: CommandIo,
): Promise<number> {
  const { explainDead } = await import('./explain-dead.ts');
  const { id, ...others } = flags;
  const limit = maxDeadLetterWalk;
  return await explainDead(
    deadArguments('show', { ...others, queue: 'events', limit }, [id]),
    deadIo(io),
  );
}

function common(command: Command): Command {
  return command.addOption(
    new Option(
      '--limit <count>',
      `look at so many letters at most, the oldest; up to ${maxDeadLetterWalk}`,
    )
      .default(1_000)
      .argParser(parseLimit),
  );
}

function queueOption(): Option {
  const option = new Option('--queue <queue>', 'refused events, or reports to webhooks');
  return option.choices(['events', 'webhooks']).default('events');
}

function parseLimit(text: string): number {
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= maxDeadLetterWalk) return limit;
  throw new InvalidArgumentError(`give a number from 1 to ${maxDeadLetterWalk}.`);
}

function defaultConfig(): string {
  return processEnvironment()['WARREN_CONFIG'] ?? 'warren.yaml';
}

function deadArguments(
  command: DeadArguments['command'],
  flags: DeadFlags,
  ids: readonly string[],
): DeadArguments {
  return {
    command,
    queue: flags.queue,
    filter: {
      id: [...ids, ...(flags.id ?? [])],
      reason: flags.reason ?? [],
      key: flags.key,
      since: flags.since,
      olderThan: flags.olderThan,
    },
    limit: flags.limit,
    all: flags.all === true,
    yes: flags.yes === true,
    dryRun: flags.dryRun === true,
    json: flags.json === true,
    config: flags.config ?? defaultConfig(),
    environment: processEnvironment(),
  };
}

/** On the first Ctrl-C a walk ends in order; on a second one the process does, and the broker takes the letters back. */
function deadIo(io: CommandIo): DeadIo {
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  const clearLine = '\r\u001b[K';
  let shown = false;
  return {
    ...io,
    now: () => systemClock.now(),
    interrupted: interruption.signal,
    async connect(settings) {
      const { connectDeadLetters } = await import('../broker/amqp/dead-letters.ts');
      return await connectDeadLetters({
        urls: settings.brokerUrls,
        names: topologyNames(settings.topologyPrefix, settings.domainExchange),
        clock: systemClock,
        heartbeatSeconds: settings.heartbeatSeconds,
        confirmTimeoutMs: settings.confirmTimeoutMs,
      });
    },
    progress(text) {
      if (!process.stderr.isTTY || (text === '' && !shown)) return;
      shown = text !== '';
      io.stderr(`${clearLine}${text}`);
    },
    async ask(question) {
      if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
      const prompt = createInterface({ input: process.stdin, output: process.stderr });
      prompt.on('SIGINT', interrupt);
      try {
        const answer = await prompt.question(question, { signal: interruption.signal });
        return /^y(es)?$/i.test(answer.trim());
      } catch {
        return undefined;
      } finally {
        prompt.close();
      }
    },
  };
}
