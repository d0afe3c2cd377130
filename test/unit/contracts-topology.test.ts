import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import {
  edgeQueueNames,
  sessionQueueName,
  topology,
  topologyNames,
} from '../../contracts/topology.ts';

interface Declaration {
  readonly name: string;
  readonly durable: boolean;
  readonly type?: string;
  readonly arguments: Readonly<Record<string, unknown>>;
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

describe('topology', () => {
  const { exchanges, queues } = topology(topologyNames());

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

  it('is what infra/rabbitmq/definitions.json ships: a broker that was set up from it is taken as it is', () => {
    const file = new URL('../../infra/rabbitmq/definitions.json', import.meta.url);
    const shipped = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Declaration[]>;
    const essence = (part: Declaration) => [part.name, part.type, part.durable, part.arguments];
    const own = [
      ...exchanges.map((exchange): Declaration => ({ ...exchange, arguments: {} })),
      ...queues,
    ];
    expect(
      [...(shipped['exchanges'] ?? []), ...(shipped['queues'] ?? [])].map(essence),
    ).to.deep.equal(own.map(essence));
  });
});
