/** `bin/warren`: the commands and their options. Exit codes: 0 done, 1 failed, 2 wrong use; commands add their own. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { systemClock } from '../runtime/clock.ts';
import { processEnvironment } from '../runtime/env.ts';
import { runUntilSignal } from '../runtime/lifecycle.ts';
import type { RoleName } from './config-change.ts';
import { addDeadCommands, explainLetter } from './dead-options.ts';
import { addInterfaceCommands } from './interface-options.ts';

const exit = { done: 0, failed: 1, wrongUse: 2 } as const;

const io = {
  stdout: (text: string) => void process.stdout.write(text),
  stderr: (text: string) => void process.stderr.write(text),
  /** `-` reads standard input. */
  readFile: (path: string) => readFileSync(path === '-' ? 0 : path, 'utf8'),
};

async function serve(roles: readonly RoleName[]): Promise<number> {
  // Loaded where it is needed: --help and check need no AMQP.
  const { prepare, startWarren } = await import('./serve.ts');
  const preparation = prepare(processEnvironment());
  if (!preparation.ok) {
    io.stderr(preparation.text);
    return exit.failed;
  }
  const { settings, log } = preparation.prepared;
  if (settings.brokerUrls[0] === 'memory:' && roles.length < 2) {
    io.stderr(
      'the embedded broker lives in one process: use "warren serve all" with memory:, or name a RabbitMQ in WARREN_BROKER_URL\n',
    );
    return exit.failed;
  }
  try {
    const warren = await startWarren(preparation.prepared, roles);
    log.info({ roles, port: warren.port, metricsPort: warren.metricsPort }, 'warren is up');
    return await runUntilSignal([warren], {
      drainMs: settings.drainMs,
      clock: systemClock,
      log,
      signals: process,
      exit: (code) => process.exit(code),
      hangup: () => void warren.reload('signal'),
    });
  } catch (error) {
    io.stderr(`${startFailure(error)}\n`);
    return exit.failed;
  }
}

function startFailure(error: unknown): string {
  const { code, port } = error as NodeJS.ErrnoException & { readonly port?: number };
  if (code === 'EADDRINUSE') {
    return `port ${port} is taken: stop what uses it, or set WARREN_PORT or WARREN_METRICS_PORT to another one`;
  }
  if (code === 'EACCES') return `port ${port} may not be used by this user: take one above 1023`;
  return `cannot start: ${error instanceof Error ? error.message : String(error)}`;
}

function version(): string {
  const manifest = new URL('../package.json', import.meta.url);
  const built = new URL('../../package.json', import.meta.url);
  for (const place of [manifest, built]) {
    try {
      return (JSON.parse(readFileSync(place, 'utf8')) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return 'unknown';
}

const roles: Readonly<Record<string, readonly RoleName[]>> = {
  edge: ['edge'],
  router: ['router'],
  all: ['router', 'edge'],
};

function commands(finish: (code: Promise<number>) => void): Command {
  const program = new Command('warren')
    .description('Routes AMQP domain events to browsers that speak the Pusher protocol.')
    .version(version())
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('(see --help)');
  const serving = program
    .command('serve')
    .description(
      'run the edge, the router, or both in one process, until SIGTERM; SIGHUP reloads warren.yaml',
    )
    .addHelpText(
      'after',
      '\nSettings come from the environment: docs/settings.md lists all of them.',
    );
  for (const [name, started] of Object.entries(roles)) {
    serving
      .command(name)
      .description(name === 'all' ? 'router and edge in one process' : `the ${name} alone`)
      .action(() => finish(serve(started)));
  }
  program
    .command('check')
    .description('validate warren.yaml: prints every problem with its place and cure')
    .argument(
      '[file]',
      'path of warren.yaml',
      processEnvironment()['WARREN_CONFIG'] ?? 'warren.yaml',
    )
    .option('--json', 'print problems as JSON')
    .option(
      '--against <file>',
      'an older warren.yaml: tell what the newer one breaks, and for whom',
    )
    .addHelpText(
      'after',
      '\nExit codes: 0 the file is good, 1 it is not; with --against also 5 it breaks something, 6 it may: check by hand.',
    )
    .action((file: string, options: { json?: boolean; against?: string }) =>
      finish(
        import('./check.ts').then(({ check }) =>
          check(
            { ...options, file, json: options.json === true, environment: processEnvironment() },
            io,
          ),
        ),
      ),
    );
  program
    .command('explain')
    .description('show what becomes of a domain event, without publishing anything')
    .argument('[file]', 'file with the JSON body of the event; - reads standard input')
    .option('--key <routing key>', 'routing key that the event is published with')
    .option('--dead <id>', 'a letter of the dead-letter queue, in place of key and body')
    .option('--data <json>', 'the JSON body itself, in place of a file')
    .option('--type <type>', 'AMQP type of the message')
    .option('--content-type <type>', 'AMQP content type, application/cloudevents+json for one')
    .option('--header <name=value>', 'AMQP header; may be repeated', collect, [])
    .option(
      '--config <file>',
      'path of warren.yaml',
      processEnvironment()['WARREN_CONFIG'] ?? 'warren.yaml',
    )
    .option('--json', 'print the explanation as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 it reaches a channel, 3 no rule takes it, 4 it would be dead-lettered, 1 warren.yaml is not valid.',
    )
    .action((file: string | undefined, options: ExplainFlags, command: Command) => {
      const { key, dead } = options;
      if (dead !== undefined) return finish(explainLetter({ ...options, id: dead }, io));
      if (key === undefined) {
        return command.error("error: required option '--key <routing key>' not specified");
      }
      return finish(
        import('./explain.ts').then(({ explain }) =>
          explain(
            {
              ...options,
              key,
              file,
              headers: options.header,
              json: options.json === true,
              environment: processEnvironment(),
            },
            io,
          ),
        ),
      );
    });
  addDeadCommands(program, io, finish);
  addInterfaceCommands(program, io, finish);
  return program;
}

interface ExplainFlags {
  readonly key?: string;
  /** Id of a letter. */
  readonly dead?: string;
  readonly data?: string;
  readonly type?: string;
  readonly contentType?: string;
  readonly header: readonly string[];
  readonly config: string;
  readonly json?: boolean;
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value];
}

try {
  commands((code) => {
    void code.then((value) => {
      process.exitCode = value;
    });
  }).parse();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? exit.done : exit.wrongUse;
}
