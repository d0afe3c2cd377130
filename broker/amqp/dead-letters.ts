/** Dead letters over AMQP, on a connection of their own that is given up on the first failure: an operator waits for an answer. */
import { type ChannelModel, connect } from 'amqplib';
import type { TopologyNames } from '../../contracts/topology.ts';
import type { Clock } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import type { DeadLetters } from '../port.ts';
import { AmqpDeadLetterWalk } from './dead-letter-walk.ts';
import { messageOf, toBrokerError, withoutCredentials } from './link.ts';

export interface DeadLettersOptions {
  /** Tried in turn, once. */
  readonly urls: readonly string[];
  readonly names: TopologyNames;
  readonly clock: Clock;
  readonly heartbeatSeconds: number;
  /** For every answer of the broker. */
  readonly confirmTimeoutMs: number;
}

const connectTimeoutMs = 5_000;

/** Rejects with `BrokerError` where none of the URLs can be used. */
export async function connectDeadLetters(options: DeadLettersOptions): Promise<DeadLetters> {
  const { names, clock, confirmTimeoutMs } = options;
  const model = await openFirst(options);
  let closing: Promise<void> | undefined;
  return {
    async walk(walk) {
      try {
        return await new AmqpDeadLetterWalk({ model, names, clock, confirmTimeoutMs }, walk).run();
      } catch (error) {
        throw error instanceof RangeError ? error : toBrokerError(error, 'reading dead letters');
      }
    },
    close() {
      closing ??= model.close().catch(() => undefined);
      return closing;
    },
  };
}

async function openFirst({ urls, heartbeatSeconds }: DeadLettersOptions): Promise<ChannelModel> {
  const failures: string[] = [];
  let cause: unknown;
  for (const url of urls) {
    try {
      const target = new URL(url);
      target.searchParams.set('heartbeat', String(heartbeatSeconds));
      const model = await connect(target.href, {
        noDelay: true,
        timeout: connectTimeoutMs,
        clientProperties: { product: 'warren', connection_name: 'warren dead letters' },
      });
      // Without a listener it would end the process; whoever waits for an answer hears of it.
      model.on('error', () => undefined);
      return model;
    } catch (error) {
      cause = error;
      failures.push(`${withoutCredentials(url)}: ${messageOf(error)}`);
    }
  }
  const text = `cannot use the broker at ${failures.join('; ')}`;
  const refused = /ACCESS[-_]REFUSED/.test(messageOf(cause));
  throw new BrokerError(refused ? 'broker_forbidden' : 'broker_unavailable', text, cause);
}
