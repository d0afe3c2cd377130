/** warren.yaml as an AsyncAPI 3 document, from Warren's point of view: it receives domain events and sends to clients. */
import { parseChannel } from '../../contracts/channel.ts';
import type { EventRule, WarrenConfig } from '../../contracts/warren-config.ts';
import {
  clientShape,
  isShape,
  namedFieldsShape,
  type PayloadSchema,
  payloadSchemaOf,
  type Shape,
} from './shape.ts';
import {
  interfaceView,
  type NameParameter,
  type PublishedEvent,
  type ReceivingChannel,
  Slugs,
} from './view.ts';

export interface DocumentOptions {
  readonly title: string;
  readonly version: string;
  /** `host:port` without credentials. */
  readonly brokerHost: string;
  readonly brokerProtocol: 'amqp' | 'amqps';
  /** `host:port` that clients reach. */
  readonly clientHost: string;
  readonly clientProtocol: 'ws' | 'wss';
  /** Exchange that services publish to. */
  readonly exchange: string;
}

type Json = { readonly [key: string]: unknown };
const amqpBinding = { bindingVersion: '0.3.0' };

/** The same file and options give the same document, key by key. */
export function asyncApiDocument(config: WarrenConfig, options: DocumentOptions): Json {
  const { published, received } = interfaceView(config);
  const apps = config.apps.filter((app) => received.some((one) => one.app === app.id));
  const schemas = new Schemas(config.events);
  const slugs = new Slugs();
  const services = published.map((event) => publishedEvent(event, slugs, schemas, options));
  const serverNames = new Slugs();
  const servers = new Map(apps.map((app) => [`${app.id}`, `clients-${serverNames.of(app.id)}`]));
  const clients = received.map((one) => receivingChannel(one, slugs, schemas, servers));
  const parts = [...services, ...clients];
  return {
    asyncapi: '3.0.0',
    info: {
      title: options.title,
      version: options.version,
      description:
        'Services publish domain events to RabbitMQ; Warren maps them to channels, and clients receive them over the Pusher protocol. ' +
        'The payload of a message on a channel of clients is the `data` that a listener of pusher-js or Laravel Echo is called with.',
    },
    defaultContentType: 'application/json',
    servers: {
      broker: {
        host: options.brokerHost,
        protocol: options.brokerProtocol,
        protocolVersion: '0-9-1',
        description: 'RabbitMQ, for services.',
      },
      ...Object.fromEntries(
        apps.map((app) => [
          servers.get(app.id),
          {
            host: options.clientHost,
            pathname: `/app/${encodeURIComponent(app.key)}`,
            protocol: options.clientProtocol,
            description: `WebSocket of the Pusher protocol, for clients of the app ${app.id}.`,
          },
        ]),
      ),
    },
    channels: Object.fromEntries(parts.map(({ id, channel }) => [id, channel])),
    operations: Object.fromEntries(
      parts.map(({ operationId, operation }) => [operationId, operation]),
    ),
    ...(schemas.components === undefined ? {} : { components: { schemas: schemas.components } }),
  };
}

interface Part {
  readonly id: string;
  readonly channel: Json;
  readonly operationId: string;
  readonly operation: Json;
}

function publishedEvent(
  { on, routingKey, rules }: PublishedEvent,
  slugs: Slugs,
  schemas: Schemas,
  { exchange }: DocumentOptions,
): Part {
  const id = slugs.of(`events ${on}`);
  return {
    id,
    channel: {
      address: routingKey.text,
      title: on,
      description: `Domain events whose routing key matches ${on}.`,
      servers: [{ $ref: '#/servers/broker' }],
      ...parametersOf(routingKey.parameters),
      messages: {
        event: {
          name: on,
          contentType: 'application/json',
          description:
            'Plain JSON, or a CloudEvent in binary or structured mode with this as its data.',
          payload: schemas.published(rules),
          bindings: { amqp: amqpBinding },
        },
      },
      bindings: {
        amqp: {
          is: 'routingKey',
          exchange: { name: exchange, type: 'topic', durable: true, autoDelete: false },
          ...amqpBinding,
        },
      },
      'x-warren-pattern': on,
    },
    operationId: `receive-${id}`,
    operation: {
      action: 'receive',
      channel: { $ref: `#/channels/${id}` },
      messages: [{ $ref: `#/channels/${id}/messages/event` }],
      bindings: { amqp: { ack: true, deliveryMode: 2, ...amqpBinding } },
      'x-warren-rules': rules.map(ruleMapping),
    },
  };
}

function receivingChannel(
  { app, channel, events }: ReceivingChannel,
  slugs: Slugs,
  schemas: Schemas,
  servers: ReadonlyMap<string, string>,
): Part {
  const id = slugs.of(`channel ${servers.size > 1 ? `${app} ` : ''}${channel.text}`);
  const names = new Slugs();
  const messages = events.map(({ name, rules }) => [
    names.of(name.text),
    {
      name: name.text,
      contentType: 'application/json',
      payload: schemas.received(rules),
      'x-warren-rules': rules.map(({ index }) => index),
    },
  ]);
  return {
    id,
    channel: {
      address: channel.text,
      servers: [{ $ref: `#/servers/${servers.get(app) ?? ''}` }],
      ...parametersOf(channel.parameters),
      messages: Object.fromEntries(messages),
      bindings: { ws: { method: 'GET', bindingVersion: '0.1.0' } },
      'x-warren-app': app,
      'x-warren-channel-kind': kindOf(channel.text),
    },
    operationId: `send-${id}`,
    operation: {
      action: 'send',
      channel: { $ref: `#/channels/${id}` },
      messages: messages.map(([name]) => ({ $ref: `#/channels/${id}/messages/${String(name)}` })),
    },
  };
}

/** Where a value decides, as in `{data.channel}`, it is not known. */
function kindOf(pattern: string): string {
  if (pattern.startsWith('#server-to-user-')) return 'server-to-user';
  if (pattern.startsWith('{')) return 'any';
  const channel = parseChannel(pattern.replace(/\{[^{}]*\}/g, 'x'));
  return channel.ok ? channel.value.kind : 'any';
}

function parametersOf(parameters: readonly NameParameter[]): Json {
  if (parameters.length === 0) return {};
  return {
    parameters: Object.fromEntries(
      parameters.map(({ name, description }) => [name, { description }]),
    ),
  };
}

function ruleMapping(rule: EventRule): Json {
  const { index, app, when, to, as, data, except } = rule;
  return {
    rule: index,
    app,
    ...(when === undefined ? {} : { when }),
    to,
    ...(as === undefined ? {} : { as }),
    ...(data === undefined ? {} : { data }),
    ...(except === undefined ? {} : { except }),
    ...(payloadSchemaOf(rule) === undefined ? {} : { schema: payloadSchemaOf(rule)?.path }),
  };
}

/** The schemas of warren.yaml, once each under `components`, and what refers to them. */
class Schemas {
  readonly #names = new Slugs();
  readonly #byPath = new Map<string, PayloadSchema>();

  constructor(rules: readonly EventRule[]) {
    for (const rule of rules) {
      const schema = payloadSchemaOf(rule);
      if (schema !== undefined) this.#byPath.set(schema.path, schema);
    }
  }

  get components(): Json | undefined {
    if (this.#byPath.size === 0) return undefined;
    return Object.fromEntries(
      [...this.#byPath.values()].map((schema) => {
        const {
          $schema: _,
          $id: __,
          ...rest
        } = typeof schema.document === 'boolean' ? { not: {} } : schema.document;
        const document = schema.document === true ? {} : rest;
        return [this.#nameOf(schema), this.#relocated(document, schema)];
      }),
    );
  }

  /** What an event of these rules is: each rule with a schema says so. */
  published(rules: readonly EventRule[]): unknown {
    const named = new Set(rules.flatMap((rule) => payloadSchemaOf(rule)?.path ?? []));
    const references = [...named].flatMap((path) => {
      const schema = this.#byPath.get(path);
      return schema === undefined ? [] : [{ $ref: this.#reference(schema) }];
    });
    if (references.length === 0) return namedFieldsShape(rules);
    // Which of several holds depends on conditions.
    return references.length === 1 ? references[0] : { anyOf: references };
  }

  received(rules: readonly EventRule[]): unknown {
    const shapes = rules.map((rule) => {
      const schema = payloadSchemaOf(rule);
      if (schema === undefined) return clientShape(rule);
      if (rule.data === undefined) return { $ref: this.#reference(schema) };
      return this.#relocated(clientShape(rule), schema);
    });
    const different = [...new Map(shapes.map((shape) => [JSON.stringify(shape), shape])).values()];
    return different.length === 1 ? different[0] : { anyOf: different };
  }

  #nameOf({ path }: PayloadSchema): string {
    return this.#names.of(path.replace(/\.(json|ya?ml)$/, ''));
  }

  #reference(schema: PayloadSchema): string {
    return `#/components/schemas/${this.#nameOf(schema)}`;
  }

  /** The same schema with its references led to where its document stands now. */
  #relocated(shape: Shape, schema: PayloadSchema): unknown {
    const moved = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(moved);
      if (typeof value === 'boolean' || !isShape(value)) return value;
      return Object.fromEntries(
        Object.entries(value).map(([key, part]) =>
          key === '$ref' && typeof part === 'string' && part.startsWith('#')
            ? [key, `${this.#reference(schema)}${part.slice(1)}`]
            : [key, moved(part)],
        ),
      );
    };
    return moved(shape);
  }
}
