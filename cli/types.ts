/** `warren types`: TypeScript declarations for listeners of pusher-js and Laravel Echo. */
import { basename } from 'node:path';
import { formatProblems } from '../config/problems.ts';
import type { Environment } from '../runtime/env.ts';
import { type CommandIo, loadForCommand } from './check.ts';
import { typeDeclarations } from './interface/typescript.ts';

export interface TypesArguments {
  /** Path of warren.yaml. */
  readonly file: string;
  /** Id; may be left out where there is one. */
  readonly app?: string | undefined;
  readonly environment: Environment;
}

/** Exit codes: 0 done, 1 warren.yaml is not valid or the app is not in it. */
export async function types(args: TypesArguments, io: CommandIo): Promise<number> {
  const { result } = loadForCommand(args.file, args.environment, io);
  if (!result.ok) {
    io.stderr(`${formatProblems(result.problems)}\n`);
    return 1;
  }
  const ids = result.config.apps.map(({ id }) => id as string);
  const app = args.app ?? (ids.length === 1 ? ids[0] : undefined);
  if (app === undefined || !ids.includes(app)) {
    io.stderr(`--app ${app ?? '<id>'}: give one of ${ids.join(', ')}\n`);
    return 1;
  }
  io.stdout(typeDeclarations(result.config, { app, source: basename(args.file) }));
  return 0;
}
