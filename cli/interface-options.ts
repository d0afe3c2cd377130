/** The command line of `warren asyncapi` and `warren types`. */
import type { Command } from 'commander';
import { processEnvironment } from '../runtime/env.ts';
import type { CommandIo } from './check.ts';

export function addInterfaceCommands(
  program: Command,
  io: CommandIo,
  finish: (code: Promise<number>) => void,
): void {
  const environment = processEnvironment();
  const defaultFile = environment['WARREN_CONFIG'] ?? 'warren.yaml';
  const exits = '\nExit codes: 0 done, 1 warren.yaml or an option is not valid.';
  program
    .command('asyncapi')
    .description('print what services publish and clients receive as an AsyncAPI 3 document')
    .argument('[file]', 'path of warren.yaml', defaultFile)
    .option('--yaml', 'print YAML in place of JSON')
    .option('--title <text>', 'title of the interface', 'Warren')
    .option('--api-version <version>', 'version of the interface', '1.0.0')
    .option('--url <url>', 'where clients connect to, as wss://events.example.com')
    .addHelpText('after', exits)
    .action((file: string, options: AsyncApiFlags) =>
      finish(
        import('./asyncapi.ts').then(({ asyncapi }) => {
          const { title, url, apiVersion: version } = options;
          return asyncapi(
            { file, yaml: options.yaml === true, title, version, url, environment },
            io,
          );
        }),
      ),
    );
  program
    .command('types')
    .description('print TypeScript declarations of what clients receive')
    .argument('[file]', 'path of warren.yaml', defaultFile)
    .option('--app <id>', 'app whose channels are told; needed where there are several')
    .addHelpText('after', exits)
    .action((file: string, { app }: { readonly app?: string }) =>
      finish(import('./types.ts').then(({ types }) => types({ file, app, environment }, io))),
    );
}

interface AsyncApiFlags {
  readonly yaml?: boolean;
  readonly title: string;
  readonly apiVersion: string;
  readonly url?: string;
}
