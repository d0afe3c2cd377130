/** `warren dead list|show|replay|drop`: what was refused, in the operator's hands. */
import { BrokerError } from '../broker/errors.ts';
import type { DeadLetters } from '../broker/port.ts';
import type { Environment } from '../runtime/env.ts';
import { readSettings } from '../runtime/settings.ts';
import { type DeadFilter, deadFilter } from './dead-filter.ts';
import { list, show } from './dead-look.ts';
import { type DeadArguments, type DeadIo, type DeadRun, deadExit } from './dead-run.ts';
import { settleLetters } from './dead-settle.ts';

/**
 * Exit codes: 0 done; 1 the broker or warren.yaml did not let it; 2 wrong use; 3 there is no such letter; 130 interrupted, and every
 * letter is then in the dead-letter queue or where it was sent.
 */
export async function dead(args: DeadArguments, io: DeadIo): Promise<number> {
  const filter = deadFilter(args.filter, io.now());
  const misuse = filter.ok ? misuseOf(args, filter.value) : filter.error;
  if (!filter.ok || misuse !== undefined) {
    io.stderr(`${misuse}\n`);
    return deadExit.wrongUse;
  }
  return await withDeadLetters(args.environment, io, (letters) => {
    const run: DeadRun = { args, io, letters, filter: filter.value };
    switch (args.command) {
      case 'list':
        return list(run);
      case 'show':
        return show(run);
      case 'replay':
      case 'drop':
        return settleLetters(run);
    }
  });
}

function misuseOf(args: DeadArguments, filter: DeadFilter): string | undefined {
  const { command, queue, all } = args;
  if (command === 'replay' && queue === 'webhooks') {
    return 'reports to webhooks cannot be replayed: their five minutes are over. Look at them, and drop them.';
  }
  const moves = command === 'replay' || command === 'drop';
  if (moves && !filter.narrows && !all) {
    return `say which letters: --id, --reason, --key, --since or --older-than, or --all for every one`;
  }
  if (filter.narrows && all) return '--all stands beside a filter: leave one of the two out';
  return undefined;
}

/** Connects as the settings say, and tells failures with their cure. */
export async function withDeadLetters(
  environment: Environment,
  io: DeadIo,
  use: (letters: DeadLetters) => Promise<number>,
): Promise<number> {
  const read = readSettings(environment, (path) => io.readFile(path));
  if (!read.ok) {
    const lines = read.problems.map(({ name, message }) => `${name} ${message}`);
    io.stderr(`settings:\n${lines.join('\n')}\n`);
    return deadExit.failed;
  }
  if (read.settings.brokerUrls[0] === 'memory:') {
    io.stderr(
      'the embedded broker lives in the process of "warren serve all": name a RabbitMQ in WARREN_BROKER_URL\n',
    );
    return deadExit.failed;
  }
  let letters: DeadLetters | undefined;
  try {
    letters = await io.connect(read.settings);
    return await use(letters);
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error;
    io.progress('');
    io.stderr(`${error.message}\n  ${cureOf(error)}\n`);
    return deadExit.failed;
  } finally {
    await letters?.close();
  }
}

function cureOf(error: BrokerError): string {
  switch (error.code) {
    case 'broker_forbidden':
      return 'the user in WARREN_BROKER_URL must exist, and may need to read the dead-letter queue and, for replay, to write to the default exchange (amq.default)';
    case 'broker_topology':
      return 'the router declares its queues when it first starts: run "warren serve router" once, or set WARREN_TOPOLOGY_PREFIX to the one of your installation';
    case 'broker_timeout':
    case 'broker_busy':
    case 'broker_refused':
      return 'the broker is in trouble; every letter is still there or was replayed: try again later';
    case 'broker_unavailable':
    case 'closed':
      return 'is RabbitMQ running, and does WARREN_BROKER_URL name it? "make broker-status" tells; every letter is still there or was replayed';
  }
}
