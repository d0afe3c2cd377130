/** A refused event as it is kept: the original body, properties and headers, with the reason and the way back beside them. */
import type { ConsumeMessage, Options } from 'amqplib';
import { deadLetterHeaders } from '../../contracts/dead-letter.ts';
import type { Refusal } from '../../contracts/errors.ts';
import { isoTime } from '../../runtime/clock.ts';

export function deadLetterProperties(
  message: ConsumeMessage,
  refusal: Refusal,
  nowMs: number,
): Options.Publish {
  const { properties, fields } = message;
  const kept = Object.entries({
    contentType: properties.contentType as unknown,
    contentEncoding: properties.contentEncoding as unknown,
    correlationId: properties.correlationId as unknown,
    messageId: properties.messageId as unknown,
    timestamp: properties.timestamp as unknown,
    type: properties.type as unknown,
    appId: properties.appId as unknown,
  }).filter(([, value]) => value !== undefined);
  return {
    ...(Object.fromEntries(kept) as Options.Publish),
    persistent: true,
    headers: {
      ...(properties.headers as object | undefined),
      [deadLetterHeaders.reason]: `${refusal.code}: ${refusal.text}`,
      [deadLetterHeaders.code]: refusal.code,
      [deadLetterHeaders.exchange]: fields.exchange,
      [deadLetterHeaders.routingKey]: fields.routingKey,
      [deadLetterHeaders.at]: isoTime(nowMs),
    },
  };
}
