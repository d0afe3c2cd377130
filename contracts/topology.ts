/** What Warren declares at the broker, as data: adapters apply it, infra/rabbitmq/definitions.json ships it. */
export interface ExchangeDeclaration {
  readonly name: string;
  readonly type: 'topic';
  readonly durable: true;
}

export interface QueueDeclaration {
  readonly name: string;
  readonly durable: true;
  readonly arguments: Readonly<Record<string, string | number | boolean>>;
}

export interface BindingDeclaration {
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
}

export interface Topology {
  readonly exchanges: readonly ExchangeDeclaration[];
  readonly queues: readonly QueueDeclaration[];
  /** Bindings that never change. The router's follow the contracts, an edge's its subscribers. */
  readonly bindings: readonly BindingDeclaration[];
}

/** Every name that Warren uses at the broker; `prefix` keeps several installations on one vhost apart. */
export interface TopologyNames {
  readonly prefix: string;
  /** Services publish here. */
  readonly domainEvents: string;
  /** Publications travel here, from router and HTTP API to the edges. */
  readonly channels: string;
  /** What clients send to services. */
  readonly clients: string;
  /** Edges talk to each other here: presence, control, queries. */
  readonly edges: string;
  /** The router's queue: everything that the contracts ask for, in one order. */
  readonly routerEvents: string;
  /** Events that were refused, with their reason. */
  readonly routerDeadLetters: string;
  /** What the router's queue is bound to, as the router that leads has written it down. */
  readonly routerBindings: string;
  /** The stream of cached publications. */
  readonly publicationCache: string;
  /** Webhook reports that were given up, with their reason. */
  readonly webhookDeadLetters: string;
}

/**
 * What a cached publication is routed by besides its channel key (sender-selected distribution), and markers by alone.
 * `!` is outside the alphabet of channel keys, so no channel can be taken for it.
 */
export const cacheRoutingKey = '!cache';

const prefixPattern = /^[A-Za-z0-9_.-]{0,64}$/;

/**
 * @param prefix put before every name, `''` by default; `[A-Za-z0-9_.-]`, at most 64 characters
 * @param domainEvents the exchange that services publish to; taken as it stands when given
 * @throws RangeError on another prefix: settings are checked before they come here
 */
export function topologyNames(prefix = '', domainEvents?: string): TopologyNames {
  if (!prefixPattern.test(prefix)) throw new RangeError(`illegal topology prefix: ${prefix}`);
  return {
    prefix,
    domainEvents: domainEvents ?? `${prefix}domain.events`,
    channels: `${prefix}warren.channels`,
    clients: `${prefix}warren.clients`,
    edges: `${prefix}warren.edges`,
    routerEvents: `${prefix}router.events`,
    routerDeadLetters: `${prefix}router.events.dlq`,
    routerBindings: `${prefix}router.bindings`,
    publicationCache: `${prefix}warren.cache`,
    webhookDeadLetters: `${prefix}webhooks.dlq`,
  };
}

/**
 * Queue names of one edge all start with `<prefix>edge.`, so that a permission pattern can name them.
 *
 * @param node names the process and its broker connection: a name must not return while a dead connection may still own it
 */
export function edgeQueueNames(names: TopologyNames, node: string) {
  const own = `${names.prefix}edge.${node}`;
  return {
    /** The n-th queue for a plain connection. */
    connection: (n: number) => `${own}.c.${n}`,
    /** The node's queue for hot channels. */
    shared: `${own}.shared`,
    /** What other edges say to this one. */
    bus: `${own}.bus`,
  };
}

/** A continuity session's queue; it outlives its edge, so it is named from the hashed session id alone. */
export function sessionQueueName(names: TopologyNames, sessionKey: string): string {
  return `${names.prefix}edge.session.${sessionKey}`;
}

const topic = (name: string): ExchangeDeclaration => ({ name, type: 'topic', durable: true });

/**
 * Looking at a dead letter delivers it, and RabbitMQ 4 drops what it has delivered 20 times. -1 lifts the limit there, and has RabbitMQ
 * 3.10 drop a message on its first return, so the limit is one that nobody reaches.
 */
const looksAtDeadLetters = 1_000_000;

/** The router's queue, its dead letters and the list of its bindings. */
export function routerQueues(names: TopologyNames): readonly QueueDeclaration[] {
  return [
    {
      name: names.routerEvents,
      durable: true,
      arguments: {
        'x-queue-type': 'quorum',
        // Several routers stand by; one at a time consumes, which is what keeps the order.
        'x-single-active-consumer': true,
        // RabbitMQ 4 gives quorum queues a delivery limit of 20: what exceeds it must not vanish.
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': names.routerDeadLetters,
      },
    },
    {
      name: names.routerDeadLetters,
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': looksAtDeadLetters },
    },
    {
      name: names.routerBindings,
      durable: true,
      arguments: {
        'x-queue-type': 'quorum',
        // Whoever is handed the list leads; it holds the list until it ends, and then the next one is handed it.
        'x-single-active-consumer': true,
        'x-max-length': 1_000,
        // The list is the oldest message: rather none that is new.
        'x-overflow': 'reject-publish',
      },
    },
  ];
}

/** A stream: every edge reads all of it, and reading takes nothing out (docs/adr/0007-one-stream-for-cache-channels.md). */
export function cacheStream(names: TopologyNames): {
  readonly queue: QueueDeclaration;
  readonly binding: BindingDeclaration;
} {
  return {
    queue: {
      name: names.publicationCache,
      durable: true,
      arguments: {
        'x-queue-type': 'stream',
        'x-max-age': '1D',
        'x-max-length-bytes': 64_000_000,
        // Retention drops whole segments, so they have to be small beside the bound.
        'x-stream-max-segment-size-bytes': 4_000_000,
      },
    },
    binding: {
      queue: names.publicationCache,
      exchange: names.channels,
      routingKey: cacheRoutingKey,
    },
  };
}

const webhookTargetPattern = /^[A-Za-z0-9_-]{1,64}$/;

export function isWebhookTarget(text: string): boolean {
  return webhookTargetPattern.test(text);
}

export interface WebhookBounds {
  /** Reports that wait longer are dead-lettered. */
  readonly lifetimeMs: number;
  /** Reports that wait; beyond it the oldest are dead-lettered. */
  readonly maxReports: number;
}

/** A target that left the configuration leaves its queue behind; it goes when nobody has used it for a day. */
const webhookQueueExpiresMs = 24 * 60 * 60_000;
const webhookMaxBytes = 64_000_000;

/**
 * The queue of one webhook target.
 *
 * @throws RangeError where `isWebhookTarget` is false
 */
export function webhookQueue(
  names: TopologyNames,
  target: string,
  bounds: WebhookBounds,
): QueueDeclaration {
  if (!isWebhookTarget(target)) throw new RangeError(`illegal webhook target: ${target}`);
  return {
    name: webhookQueueName(names, target),
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-single-active-consumer': true,
      'x-message-ttl': bounds.lifetimeMs,
      'x-max-length': bounds.maxReports,
      'x-max-length-bytes': webhookMaxBytes,
      'x-overflow': 'drop-head',
      'x-expires': webhookQueueExpiresMs,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': names.webhookDeadLetters,
    },
  };
}

export function webhookQueueName(names: TopologyNames, target: string): string {
  return `${names.prefix}webhooks.target.${target}`;
}

/** Dead letters are for people: the newest are worth keeping, and a target that is down for days must not fill the disk. */
export function webhookDeadLetterQueue(names: TopologyNames): QueueDeclaration {
  return {
    name: names.webhookDeadLetters,
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-delivery-limit': looksAtDeadLetters,
      'x-max-length': 10_000,
      'x-max-length-bytes': webhookMaxBytes,
      'x-overflow': 'drop-head',
    },
  };
}

/** True for what Warren keeps for itself under these names, whether it exists or not. */
export function isOwnQueue(names: TopologyNames, queue: string): boolean {
  const declared = topology(names).queues.some(({ name }) => name === queue);
  return (
    declared ||
    queue.startsWith(`${names.prefix}edge.`) ||
    queue.startsWith(webhookQueueName(names, ''))
  );
}

/** As `isOwnQueue`; the exchange that services publish to is not among them. */
export function isOwnExchange(names: TopologyNames, exchange: string): boolean {
  return [names.channels, names.clients, names.edges].includes(exchange);
}

/** Durable topology. Connection, session and webhook target queues are not part of it: they come and go with their owners. */
export function topology(names: TopologyNames): Topology {
  const cache = cacheStream(names);
  return {
    exchanges: [
      topic(names.domainEvents),
      topic(names.channels),
      topic(names.clients),
      topic(names.edges),
    ],
    queues: [...routerQueues(names), cache.queue, webhookDeadLetterQueue(names)],
    bindings: [cache.binding],
  };
}
