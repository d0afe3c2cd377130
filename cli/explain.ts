/** `warren explain`: what would become of a domain event, as a dry run. */
import { formatProblems } from '../config/problems.ts';
import type { IncomingEvent } from '../contracts/domain-event.ts';
import { plainMessageHeaders } from '../contracts/redis-event.ts';
import { type Explanation, explainEvent } from '../router/explain.ts';
import { explanationText } from '../router/explanation-text.ts';
import type { Environment } from '../runtime/env.ts';
import { type CommandIo, loadForCommand } from './check.ts';

export interface ExplainArguments {
  /** Routing key. */
  readonly key: string;
  /** File with the body, `-` for standard input; without it and without `data` the body is `{}`. */
  readonly file?: string | undefined;
  /** The body itself; wins over `file`. */
  readonly data?: string | undefined;
  /** AMQP type. */
  readonly type?: string | undefined;
  readonly contentType?: string | undefined;
  /** `name=value` each. */
  readonly headers: readonly string[];
  /** Path of warren.yaml. */
  readonly config: string;
  readonly json: boolean;
  readonly environment: Environment;
}

export const outcomeExits: Readonly<Record<Explanation['outcome'], number>> = {
  routed: 0,
  unmatched: 3,
  refused: 4,
};

/**
 * Exit codes: 0 it reaches a channel, 3 no rule takes it, 4 it would be dead-lettered, 1 warren.yaml or the arguments are not
 * valid. Connects to nothing.
 */
export async function explain(args: ExplainArguments, io: CommandIo): Promise<number> {
  const { result } = loadForCommand(args.config, args.environment, io);
  if (!result.ok) {
    io.stderr(`${formatProblems(result.problems)}\n`);
    return 1;
  }
  const event = incomingEvent(args, io, result.config.ingress?.redis !== undefined);
  if (typeof event === 'string') {
    io.stderr(`${event}\n`);
    return 1;
  }
  const explanation = explainEvent(event, result.config);
  io.stdout(args.json ? `${JSON.stringify(explanation, null, 2)}\n` : explanationText(explanation));
  return outcomeExits[explanation.outcome];
}

/** The message as the broker would hand it over, or what is wrong with the arguments. */
function incomingEvent(
  args: ExplainArguments,
  io: CommandIo,
  fromRedis: boolean,
): IncomingEvent | string {
  const headers = Object.create(null) as Record<string, unknown>;
  // As the router writes them on a plain message.
  if (fromRedis) Object.assign(headers, plainMessageHeaders(args.key));
  for (const header of args.headers) {
    const at = header.indexOf('=');
    if (at <= 0) return `--header ${header}: write it as name=value`;
    headers[header.slice(0, at)] = header.slice(at + 1);
  }
  const bytes = Buffer.byteLength(args.key, 'utf8');
  if (bytes > 255) return `--key has ${bytes} bytes, AMQP allows 255`;
  let body = args.data ?? '{}';
  if (args.data === undefined && args.file !== undefined) {
    try {
      body = io.readFile(args.file);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException | undefined)?.code ?? 'it failed';
      return `${args.file} cannot be read (${code})`;
    }
  }
  return {
    exchange: 'domain.events',
    routingKey: args.key,
    headers,
    body: Buffer.from(body, 'utf8'),
    redelivered: false,
    ...(args.type === undefined ? {} : { type: args.type }),
    ...(args.contentType === undefined ? {} : { contentType: args.contentType }),
  };
}
