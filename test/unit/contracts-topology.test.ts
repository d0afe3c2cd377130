import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import {
  edgeQueueNames,
  isWebhookTarget,
  sessionQueueName,
  topology,
  topologyNames,
  webhookQueue,
} from '../../contracts/topology.ts';

interface Declaration {
  readonly name: string;
  readonly durable: boolean;
  readonly type?: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

interface ShippedBinding {
  readonly source: string;
  readonly vhost: string;
  readonly destination: string;
  readonly destination_type: 'queue';
  readonly routing_key: string;
  readonly arguments: object;
}

describe('topologyNames', () => {
  it('are the names of the contract', () => {
    expect(topologyNames()).to.deep.equal({
      prefix: '',
      domainEvents: 'domain.events',
      channels: 'warren.channels',
      clients: 'warren.clients',
      edges: 'warren.edges',
      routerEvents: 'router.events',
      routerDeadLetters: 'router.events.dlq',
      routerBindings: 'router.bindings',
      publicationCache: 'warren.cache',
      webhookDeadLetters: 'webhooks.dlq',
    });
  });

  it('all start with the prefix, so that installations on one vhost do not meet', () => {
    for (const name of Object.values(topologyNames('staging-1.'))) {
      expect(name).to.match(/^staging-1\./);
    }
  });

  it('leave the exchange of the services as it is where it is named', () => {
    expect(topologyNames('p.', 'their exchange').domainEvents).to.equal('their exchange');
  });

  it('refuse a prefix that would need escaping', () => {
    for (const prefix of ['a b', '*', '#', 'é', 'a/', 'x'.repeat(65), 'a\n']) {
      expect(() => topologyNames(prefix), prefix).to.throw(RangeError);
    }
  });
});

describe('edgeQueueNames', () => {
  const names = edgeQueueNames(topologyNames('p.'), 'edge-1');

  it('are all different and under one prefix, so that a permission pattern can name them', () => {
    const all = [names.connection(1), names.connection(2), names.shared, names.bus];
    expect(new Set(all).size).to.equal(4);
    for (const name of all) expect(name).to.match(/^p\.edge\./);
  });
});

describe('sessionQueueName', () => {
  it('depends on the session alone: any edge finds it again', () => {
    expect(sessionQueueName(topologyNames(), 'abc')).to.equal('edge.session.abc');
  });

  it('fits into 255 bytes with the longest prefix and key', () => {
    const name = sessionQueueName(topologyNames('p'.repeat(64)), 'k'.repeat(64));
    expect(Buffer.byteLength(name)).to.be.at.most(255);
  });
});

describe('webhookQueue', () => {
  const bounds = { lifetimeMs: 300_000, maxReports: 10_000 };

  it('is named by its target alone, and never as the dead letters', () => {
    expect(webhookQueue(topologyNames('p.'), 'orders', bounds).name).to.equal(
      'p.webhooks.target.orders',
    );
    const names = topologyNames('p.');
    expect(webhookQueue(names, 'dlq', bounds).name).to.not.equal(names.webhookDeadLetters);
  });

  it('fits into 255 bytes with the longest prefix and target', () => {
    const { name } = webhookQueue(topologyNames('p'.repeat(64)), 't'.repeat(64), bounds);
    expect(Buffer.byteLength(name)).to.be.at.most(255);
  });

  it('bounds what waits in number, size and time, and dead-letters what exceeds it', () => {
    expect(webhookQueue(topologyNames('p.'), 'orders', bounds).arguments).to.include({
      'x-queue-type': 'quorum',
      'x-single-active-consumer': true,
      'x-message-ttl': 300_000,
      'x-max-length': 10_000,
      'x-max-length-bytes': 64_000_000,
      'x-overflow': 'drop-head',
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'p.webhooks.dlq',
    });
  });

  it('goes with a target that left the configuration, when nobody has used it for a day', () => {
    expect(webhookQueue(topologyNames(), 'orders', bounds).arguments['x-expires']).to.equal(
      86_400_000,
    );
  });

  it('takes targets of 1 to 64 characters of [A-Za-z0-9_-] only', () => {
    for (const target of ['a', 'A-z_9', 'x'.repeat(64)]) {
      expect(isWebhookTarget(target), target).to.equal(true);
    }
    for (const target of ['', 'x'.repeat(65), 'a.b', '*', '#', 'é', 'a b', 'a\n']) {
      expect(isWebhookTarget(target), target).to.equal(false);
      expect(() => webhookQueue(topologyNames(), target, bounds), target).to.throw(RangeError);
    }
  });
});

describe('topology', () => {
  const { exchanges, queues, bindings } = topology(topologyNames());

  it('is durable, every part of it', () => {
    for (const part of [...exchanges, ...queues]) expect(part.durable).to.equal(true);
  });

  it('keeps events in order with any number of routers, and loses none to a delivery limit', () => {
    const router = queues.find(({ name }) => name === 'router.events');
    expect(router?.arguments).to.include({
      'x-queue-type': 'quorum',
      'x-single-active-consumer': true,
      'x-dead-letter-exchange': '',
      'x-dead-letter-routing-key': 'router.events.dlq',
    });
  });

  it('keeps cached publications in a stream, bounded by age and size, in segments that retention can drop', () => {
    const cache = queues.find(({ name }) => name === 'warren.cache');
    expect(cache?.arguments).to.deep.equal({
      'x-queue-type': 'stream',
      'x-max-age': '1D',
      'x-max-length-bytes': 64_000_000,
      'x-stream-max-segment-size-bytes': 4_000_000,
    });
  });

  it('bounds the dead letters of webhooks', () => {
    const letters = queues.find(({ name }) => name === 'webhooks.dlq');
    expect(letters?.arguments).to.include({
      'x-queue-type': 'quorum',
      'x-max-length': 10_000,
      'x-max-length-bytes': 64_000_000,
      'x-overflow': 'drop-head',
    });
  });

  it('is what infra/rabbitmq/definitions.json ships: a broker that was set up from it is taken as it is', () => {
    const file = new URL('../../infra/rabbitmq/definitions.json', import.meta.url);
    const shipped = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Declaration[]> & {
      readonly bindings: readonly ShippedBinding[];
    };
    const essence = (part: Declaration) => [part.name, part.type, part.durable, part.arguments];
    const own = [
      ...exchanges.map((exchange): Declaration => ({ ...exchange, arguments: {} })),
      ...queues,
    ];
    expect(
      [...(shipped['exchanges'] ?? []), ...(shipped['queues'] ?? [])].map(essence),
    ).to.deep.equal(own.map(essence));
    expect(shipped.bindings).to.deep.equal(
      bindings.map(
        ({ queue, exchange, routingKey }): ShippedBinding => ({
          source: exchange,
          vhost: '/',
          destination: queue,
          destination_type: 'queue',
          routing_key: routingKey,
          arguments: {},
        }),
      ),
    );
  });
});
