/** `warren asyncapi`: both sides of Warren as an AsyncAPI 3 document. */
import { stringify } from 'yaml';
import { formatProblems } from '../config/problems.ts';
import { topologyNames } from '../contracts/topology.ts';
import type { Environment } from '../runtime/env.ts';
import { readSettings } from '../runtime/settings.ts';
import { type CommandIo, loadForCommand } from './check.ts';
import { asyncApiDocument, type DocumentOptions } from './interface/asyncapi-document.ts';

export interface AsyncApiArguments {
  /** Path of warren.yaml. */
  readonly file: string;
  readonly yaml: boolean;
  readonly title: string;
  /** Of the described interface. */
  readonly version: string;
  /** `ws://` or `wss://` that clients reach; by default the port of the settings on localhost. */
  readonly url?: string | undefined;
  readonly environment: Environment;
}

/** Exit codes: 0 done, 1 warren.yaml, the settings or the URL are not valid. Connects to nothing; no secret is in the document. */
export async function asyncapi(args: AsyncApiArguments, io: CommandIo): Promise<number> {
  const { result } = loadForCommand(args.file, args.environment, io);
  if (!result.ok) {
    io.stderr(`${formatProblems(result.problems)}\n`);
    return 1;
  }
  const options = documentOptions(args, io);
  if (typeof options === 'string') {
    io.stderr(`${options}\n`);
    return 1;
  }
  const document = asyncApiDocument(result.config, options);
  // Through JSON, so that equal parts are written out and not as anchors.
  io.stdout(
    args.yaml
      ? stringify(JSON.parse(JSON.stringify(document)), { lineWidth: 0 })
      : `${JSON.stringify(document, null, 2)}\n`,
  );
  return 0;
}

/** Or what is wrong with the arguments. */
function documentOptions(args: AsyncApiArguments, io: CommandIo): DocumentOptions | string {
  const read = readSettings(args.environment, (path) => io.readFile(path));
  if (!read.ok) {
    const lines = read.problems.map(({ name, message }) => `${name} ${message}`);
    return `settings:\n${lines.join('\n')}`;
  }
  const { brokerUrls, topologyPrefix, domainExchange, port } = read.settings;
  const client = parsed(args.url ?? `ws://localhost:${port}`);
  if (client === undefined || !/^wss?:$/.test(client.protocol)) {
    return `--url ${args.url ?? ''}: write it as wss://events.example.com`;
  }
  const broker = parsed(brokerUrls[0] ?? '');
  const named = broker !== undefined && broker.protocol !== 'memory:';
  return {
    title: args.title,
    version: args.version,
    brokerHost: named ? broker.host : 'localhost:5672',
    brokerProtocol: broker?.protocol === 'amqps:' ? 'amqps' : 'amqp',
    clientHost: client.host,
    clientProtocol: client.protocol === 'wss:' ? 'wss' : 'ws',
    exchange: topologyNames(topologyPrefix, domainExchange).domainEvents,
  };
}

function parsed(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
