/**
 * Makes sure that durable topology exists. What is there is kept as it is, whatever its arguments: a declaration that differs
 * would close the channel (406), and an operator may have good reasons.
 */
import type { Channel, ChannelModel } from 'amqplib';
import type {
  BindingDeclaration,
  ExchangeDeclaration,
  QueueDeclaration,
} from '../../contracts/topology.ts';
import { BrokerError } from '../errors.ts';
import { replyCode, replyCodeOf, toBrokerError } from './link.ts';

export function ensureExchange(model: ChannelModel, exchange: ExchangeDeclaration): Promise<void> {
  return ensure(
    model,
    `exchange ${exchange.name}`,
    (channel) => channel.checkExchange(exchange.name),
    (channel) =>
      channel.assertExchange(exchange.name, exchange.type, { durable: exchange.durable }),
  );
}

export function ensureQueue(model: ChannelModel, queue: QueueDeclaration): Promise<void> {
  return ensure(
    model,
    `queue ${queue.name}`,
    (channel) => channel.checkQueue(queue.name),
    (channel) =>
      channel.assertQueue(queue.name, { durable: queue.durable, arguments: queue.arguments }),
  );
}

/** Rejects with `BrokerError` where a queue of somebody else does not exist: it is theirs to declare. */
export async function requireQueue(model: ChannelModel, name: string): Promise<void> {
  const missing = await onThrowAwayChannel(model, (channel) => channel.checkQueue(name));
  if (missing !== undefined) throw toBrokerError(missing, `using queue ${name}`);
}

/**
 * Bindings cannot be looked at, so this one is made each time. A user who may not bind runs on what an administrator has bound:
 * resolves then too.
 */
export async function ensureBinding(
  model: ChannelModel,
  { queue, exchange, routingKey }: BindingDeclaration,
): Promise<void> {
  const refused = await onThrowAwayChannel(model, (channel) =>
    channel.bindQueue(queue, exchange, routingKey),
  );
  if (refused === undefined || replyCodeOf(refused) === replyCode.accessRefused) return;
  throw toBrokerError(refused, `binding queue ${queue} to ${exchange}`);
}

/** A passive check needs no permission to configure, so a process that may not declare runs on what is there. */
async function ensure(
  model: ChannelModel,
  what: string,
  check: (channel: Channel) => Promise<unknown>,
  declare: (channel: Channel) => Promise<unknown>,
): Promise<void> {
  const missing = await onThrowAwayChannel(model, check);
  if (missing === undefined) return;
  if (replyCodeOf(missing) !== replyCode.notFound) throw toBrokerError(missing, `using ${what}`);
  const refused = await onThrowAwayChannel(model, declare);
  if (refused === undefined) return;
  if (replyCodeOf(refused) === replyCode.accessRefused) {
    throw new BrokerError(
      'broker_forbidden',
      `${what} does not exist and this user may not declare it: let an administrator import infra/rabbitmq/definitions.json`,
      refused,
    );
  }
  throw toBrokerError(refused, `declaring ${what}`);
}

/** Returns the error, if any: a refused operation closes its channel, and takes nothing else along. */
export async function onThrowAwayChannel(
  model: ChannelModel,
  operation: (channel: Channel) => Promise<unknown>,
): Promise<unknown> {
  const channel = await model.createChannel();
  channel.on('error', () => undefined);
  try {
    await operation(channel);
  } catch (error) {
    return error ?? new Error('refused');
  }
  await channel.close().catch(() => undefined);
  return undefined;
}
