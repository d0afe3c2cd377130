/** A refused message as it is kept: the original body, properties and headers, with the reason and the way back beside them. */
import type { ConsumeMessage, MessageProperties, Options } from 'amqplib';
import { deadLetterHeaders, originalRoute } from '../../contracts/dead-letter.ts';
import { isoTime } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import { toMessageEvent } from './message.ts';

export interface DeadLettering {
  /** For people. */
  readonly reason: string;
  /** A stable code, where there is a catalogue of them. */
  readonly code?: string;
  readonly nowMs: number;
  /**
   * Rejects where the dead-letter queue is gone. The answer comes by way of the correlation id, so the message loses its own.
   */
  readonly mandatory: boolean;
}

/** Resolves when the broker has confirmed the copy; rejects with `BrokerError`. */
export async function publishDeadLetter(
  publisher: ConfirmPublisher,
  queue: string,
  message: ConsumeMessage,
  lettering: DeadLettering,
): Promise<void> {
  const { routed } = await publisher.publish('', queue, message.content, {
    ...deadLetterProperties(message, lettering),
    mandatory: lettering.mandatory,
  });
  if (!routed) throw new BrokerError('broker_unavailable', `there is no queue ${queue}`);
}

function deadLetterProperties(
  message: ConsumeMessage,
  { reason, code, nowMs }: DeadLettering,
): Options.Publish {
  const { properties } = message;
  // Refused once more after it was put back, it still tells the way that it first came.
  const { exchange, routingKey, headers } = originalRoute(toMessageEvent(message));
  return {
    ...keptProperties(properties),
    persistent: true,
    headers: {
      ...headers,
      [deadLetterHeaders.reason]: reason,
      ...(code === undefined ? {} : { [deadLetterHeaders.code]: code }),
      [deadLetterHeaders.exchange]: exchange,
      [deadLetterHeaders.routingKey]: routingKey,
      [deadLetterHeaders.at]: isoTime(nowMs),
    },
  };
}

/** What a service set and may set: not its verified user, and no priority or expiry, which were for the queue that it was in. */
export function keptProperties(properties: MessageProperties): Options.Publish {
  const kept = Object.entries({
    contentType: properties.contentType as unknown,
    contentEncoding: properties.contentEncoding as unknown,
    correlationId: properties.correlationId as unknown,
    messageId: properties.messageId as unknown,
    timestamp: properties.timestamp as unknown,
    type: properties.type as unknown,
    appId: properties.appId as unknown,
  }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as Options.Publish;
}
