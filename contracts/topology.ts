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

export interface Topology {
  readonly exchanges: readonly ExchangeDeclaration[];
  readonly queues: readonly QueueDeclaration[];
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
}

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

/** Durable topology. Connection and session queues are not part of it: they come and go with their owners. */
export function topology(names: TopologyNames): Topology {
  return {
    exchanges: [
      topic(names.domainEvents),
      topic(names.channels),
      topic(names.clients),
      topic(names.edges),
    ],
    queues: [
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
        arguments: { 'x-queue-type': 'quorum' },
      },
    ],
  };
}
