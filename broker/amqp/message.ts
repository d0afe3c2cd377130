/** amqplib messages to what the ports speak of, and back. */
import type { ConsumeMessage, Message, Options } from 'amqplib';
import { originalRoute } from '../../contracts/dead-letter.ts';
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import { type Publication, publicationHeaders } from '../../contracts/publication.ts';
import { cacheRoutingKey } from '../../contracts/topology.ts';
import type { CachedPublication, Delivery } from '../port.ts';

/** Milliseconds since 1970: the `timestamp` property of AMQP counts whole seconds. */
export const publishedAtHeader = 'x-published-at';

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Own keys only: a header named `__proto__` replaces the prototype of amqplib's headers object. */
function ownHeaders(headers: object | undefined): Readonly<Record<string, unknown>> {
  const copy: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  if (headers !== undefined) {
    for (const [name, value] of Object.entries(headers)) {
      if (name !== '__proto__') copy[name] = value;
    }
  }
  return copy;
}

/** What was put back from the dead letters is as it was before. */
export function toIncomingEvent(message: ConsumeMessage): IncomingEvent {
  const event = toMessageEvent(message);
  return event.exchange === '' ? { ...event, ...originalRoute(event) } : event;
}

/** The message as it stands. */
export function toMessageEvent(message: Message): IncomingEvent {
  const { fields, properties, content } = message;
  const optional = {
    contentType: text(properties.contentType),
    contentEncoding: text(properties.contentEncoding),
    messageId: text(properties.messageId),
    type: text(properties.type),
    userId: text(properties.userId),
  };
  return {
    exchange: fields.exchange,
    routingKey: fields.routingKey,
    headers: ownHeaders(properties.headers),
    body: content,
    redelivered: fields.redelivered === true,
    ...(Object.fromEntries(
      Object.entries(optional).filter(([, value]) => value !== undefined),
    ) as Partial<IncomingEvent>),
  };
}

export function toDelivery(message: ConsumeMessage, epoch: number): Delivery {
  const { fields, properties, content } = message;
  const headers = (properties.headers ?? {}) as Readonly<Record<string, unknown>>;
  const header = (name: string) => (Object.hasOwn(headers, name) ? text(headers[name]) : undefined);
  const except = header(publicationHeaders.except);
  const traceparent = header(publicationHeaders.traceparent);
  // No event has an empty body, so none that carries a foreign header is taken for a revocation.
  const revokes = content.length === 0 ? header(publicationHeaders.revokes) : undefined;
  return {
    tag: fields.deliveryTag,
    epoch,
    key: fields.routingKey as ChannelKey,
    channel: header(publicationHeaders.channel) ?? '',
    id: text(properties.messageId) ?? '',
    body: content,
    redelivered: fields.redelivered,
    ...(except === undefined ? {} : { except }),
    ...(revokes === undefined ? {} : { revokes }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/** 0 where whoever published it did not say. */
export function publishedAtMs(message: ConsumeMessage): number {
  const headers = (message.properties.headers ?? {}) as Readonly<Record<string, unknown>>;
  const value = Object.hasOwn(headers, publishedAtHeader) ? headers[publishedAtHeader] : undefined;
  return typeof value === 'number' ? value : 0;
}

export function toCachedPublication(message: ConsumeMessage): CachedPublication {
  const { key, channel, id, body, revokes } = toDelivery(message, 0);
  return {
    key,
    channel,
    id,
    body,
    ...(revokes === undefined ? {} : { revokes }),
    publishedAtMs: publishedAtMs(message),
  };
}

/** @param nowMs carried by what is cached, so that readers know its age */
export function publicationProperties(publication: Publication, nowMs: number): Options.Publish {
  const isKept = publication.cached === true || publication.revokes !== undefined;
  return {
    // A blind copy: the stream gets the same message, and no queue learns of it.
    ...(isKept ? { BCC: [cacheRoutingKey] } : {}),
    contentType: 'application/json',
    messageId: publication.id,
    // Session and edge queues hold nothing that must outlive the broker: transient messages cost it half.
    persistent: false,
    headers: {
      [publicationHeaders.channel]: publication.channel,
      ...(publication.except === undefined
        ? {}
        : { [publicationHeaders.except]: publication.except }),
      ...(publication.revokes === undefined
        ? {}
        : { [publicationHeaders.revokes]: publication.revokes }),
      ...(publication.traceparent === undefined
        ? {}
        : { [publicationHeaders.traceparent]: publication.traceparent }),
      ...(publication.tracestate === undefined
        ? {}
        : { [publicationHeaders.tracestate]: publication.tracestate }),
      ...(isKept ? { [publishedAtHeader]: nowMs } : {}),
    },
  };
}
