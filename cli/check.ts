/** `warren check`: is warren.yaml good, and if not, all that is wrong with it. */
import type { FallbackApp } from '../config/apps.ts';
import { type LoadResult, loadConfig } from '../config/load.ts';
import { formatProblem, formatProblems, type Problem } from '../config/problems.ts';
import type { WarrenConfig } from '../contracts/warren-config.ts';
import type { Environment } from '../runtime/env.ts';
import { readSettings } from '../runtime/settings.ts';
import { checkAgainst } from './check-against.ts';

/** What commands may do with the outside world. */
export interface CommandIo {
  stdout(text: string): void;
  stderr(text: string): void;
  /** `-` reads standard input. Throws where it cannot. */
  readFile(path: string): string;
}

export interface CheckArguments {
  /** Path of warren.yaml, or `-`. */
  readonly file: string;
  readonly json: boolean;
  /** Path of an older warren.yaml, to be told what the newer one breaks. */
  readonly against?: string | undefined;
  /** Names the app that stands in for a file without apps. */
  readonly environment: Environment;
}

/** Exit codes: 0 the file is good, 1 it is not; with `against` also those of `checkAgainst`. Problems go to standard error; with `json` everything goes to standard output. */
export async function check(args: CheckArguments, io: CommandIo): Promise<number> {
  if (args.file === '-' && args.against === '-') {
    io.stderr('only one of the two files can be standard input\n');
    return 1;
  }
  const { result, settings } = loadForCommand(args.file, args.environment, io);
  const name = shownName(args.file);
  const warnings = [...settings, ...result.warnings];
  const problems = result.ok ? [] : result.problems;
  if (args.against !== undefined && result.ok) {
    const { against, json, environment } = args;
    for (const warning of json ? [] : warnings) io.stderr(`warning: ${formatProblem(warning)}\n`);
    const older = loadOlder(against, environment, io);
    const names = { file: name, against: shownName(against) };
    return checkAgainst({ ...names, config: result.config, older, json }, io);
  }
  if (args.json) {
    const notes = result.ok ? notesOn(result.config) : [];
    const all = { file: name, ok: result.ok, problems, warnings, notes };
    io.stdout(`${JSON.stringify(all, null, 2)}\n`);
    return result.ok ? 0 : 1;
  }
  for (const warning of warnings) io.stderr(`warning: ${formatProblem(warning)}\n`);
  if (result.ok) {
    io.stdout(`${name}: ok — ${summary(result.config)}\n`);
    for (const note of notesOn(result.config)) io.stdout(`note: ${note}\n`);
    return 0;
  }
  const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
  io.stderr(`${formatProblems(problems)}\n\n${name}: ${count}\n`);
  return 1;
}

/** Loads the file as `warren serve` would, with the stand-in app of the environment. Settings that are wrong are warnings here. */
export function loadForCommand(
  file: string,
  environment: Environment,
  io: CommandIo,
  readSecret?: (path: string) => string,
): { readonly result: LoadResult; readonly settings: readonly Problem[] } {
  const read = readSettings(environment, (path) => io.readFile(path));
  const fallbackApp: FallbackApp | undefined = read.ok ? read.settings.app : undefined;
  const settings = read.ok
    ? []
    : read.problems.map(({ name, message }) => place(name, `${message}; warren serve refuses it`));
  const path = shownName(file);
  let text: string;
  try {
    text = io.readFile(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException | undefined)?.code ?? 'it failed';
    const problem = {
      ...place(path, `cannot be read (${code})`),
      cure: 'name the file on the command line, or in WARREN_CONFIG',
    };
    return { settings, result: { ok: false, problems: [problem], warnings: [] } };
  }
  const production = environment['NODE_ENV'] === 'production';
  const readFile = (secret: string) => io.readFile(secret);
  const redis = read.ok ? read.settings.redis : {};
  const options = { path, fallbackApp, redis, production, readFile };
  const secrets = readSecret === undefined ? {} : { readSecret };
  return { settings, result: loadConfig(text, { ...options, ...secrets }) };
}

/** Its secrets are not read: they are not compared, and whoever compares may not have them. */
function loadOlder(file: string, environment: Environment, io: CommandIo): LoadResult {
  const readSecret = () => 'not read'.repeat(8);
  return loadForCommand(file, { ...environment, NODE_ENV: undefined }, io, readSecret).result;
}

function shownName(file: string): string {
  return file === '-' ? 'standard input' : file;
}

function place(file: string, message: string): Problem {
  return { file, line: 0, column: 0, path: '', message };
}

function summary(config: WarrenConfig): string {
  return [
    apps(config),
    counted(config.events.filter((rule) => rule.builtIn === undefined).length, 'event rule'),
    counted(config.channels.length, 'channel rule'),
    config.auth === undefined ? 'no JWT' : 'JWT',
    ...webhooks(config),
    ...(config.ingress?.redis === undefined ? [] : ['Redis']),
  ].join(', ');
}

/** What is right as it stands, and yet may surprise. */
function notesOn({ ingress }: WarrenConfig): readonly string[] {
  if (ingress?.redis === undefined) return [];
  return [
    'ingress.redis takes messages at most once: what Redis publishes while no router listens, or while RabbitMQ does not confirm, is lost (docs/redis.md)',
  ];
}

function apps({ apps }: WarrenConfig): string {
  const off = apps.filter((app) => !app.enabled).length;
  const all = counted(apps.length, 'app');
  return off === 0 ? all : `${all} (${off} disabled)`;
}

function webhooks({ apps }: WarrenConfig): string[] {
  const count = apps.reduce((sum, app) => sum + app.webhooks.length, 0);
  return count === 0 ? [] : [counted(count, 'webhook')];
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
