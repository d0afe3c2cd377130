/** Binds and unbinds the router's queue. What one exchange refuses closes a channel, and keeps nothing from the others. */
import type { Channel, ChannelModel } from 'amqplib';
import { BrokerError } from '../errors.ts';
import { type BindingList, bindingList, byExchange } from './binding-list.ts';
import { onThrowAwayChannel } from './declare.ts';
import { messageOf, replyCode, replyCodeOf } from './link.ts';

export interface BindingsOutcome {
  /** Those that could not be made, or undone. */
  readonly failed: BindingList;
  /** A sentence for each exchange that refused. */
  readonly problems: readonly string[];
}

/** Rejects with `BrokerError` where the connection is gone. */
export function bindAll(
  model: ChannelModel,
  queue: string,
  list: BindingList,
): Promise<BindingsOutcome> {
  return each(model, list, (channel, exchange, pattern) =>
    channel.bindQueue(queue, exchange, pattern),
  );
}

/** As `bindAll`. What is bound no more, or to an exchange that is gone, is no error. */
export function unbindAll(
  model: ChannelModel,
  queue: string,
  list: BindingList,
): Promise<BindingsOutcome> {
  return each(model, list, (channel, exchange, pattern) =>
    channel.unbindQueue(queue, exchange, pattern),
  );
}

async function each(
  model: ChannelModel,
  list: BindingList,
  operation: (channel: Channel, exchange: string, pattern: string) => Promise<unknown>,
): Promise<BindingsOutcome> {
  const failed = new Set<string>();
  const problems: string[] = [];
  for (const [exchange, patterns] of byExchange(list)) {
    const refused = await onThrowAwayChannel(model, (channel) =>
      Promise.all(patterns.map(async (pattern) => operation(channel, exchange, pattern))),
    );
    if (refused === undefined) continue;
    problems.push(sentence(exchange, refused));
    for (const binding of bindingList([exchange], patterns)) failed.add(binding);
  }
  return { failed, problems };
}

function sentence(exchange: string, error: unknown): string {
  switch (replyCodeOf(error)) {
    case replyCode.notFound:
      return `the exchange ${exchange} does not exist: let its owner declare it, or remove it under ingress.exchanges`;
    case replyCode.accessRefused:
      return `the broker forbids to bind the router's queue to the exchange ${exchange}: this user needs write on the queue and read on the exchange`;
    case undefined:
      throw new BrokerError(
        'broker_unavailable',
        `binding to ${exchange}: ${messageOf(error)}`,
        error,
      );
    default:
      return `the exchange ${exchange} cannot be bound: ${messageOf(error)}`;
  }
}
