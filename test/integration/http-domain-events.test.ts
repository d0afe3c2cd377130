/** Domain events over HTTP: hand-signed requests, and a real RabbitMQ behind the endpoint. */
import type { ConsumeMessage } from 'amqplib';
import { expect } from 'chai';
import { connectAmqp } from '../../broker/amqp/broker.ts';
import { BrokerError } from '../../broker/errors.ts';
import type { Broker, OutgoingEvent } from '../../broker/port.ts';
import { loadConfig } from '../../config/load.ts';
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import { explainEvent } from '../../router/explain.ts';
import { systemClock } from '../../runtime/clock.ts';
import { createLog } from '../../runtime/log.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';
import { startTestApi, type TestApi } from '../support/http-api.ts';

const path = '/apps/app-id/domain-events';

describe('POST /apps/<id>/domain-events', () => {
  describe('without the broker', () => {
    let api: TestApi;
    let published: OutgoingEvent[];
    let failure: Error | undefined;
    beforeEach(async () => {
      published = [];
      failure = undefined;
      api = await startTestApi({
        apps: [{}, { id: 'other' as never, key: 'other-key', secret: 'other-secret' }],
        domainEvents: {
          async publish(event) {
            if (failure !== undefined) throw failure;
            published.push(event);
          },
        },
      });
    });
    afterEach(() => api.close());

    it('answers 202 with the id', async () => {
      const answer = await api.call({ path, query: { key: 'chat.posted', id: 'e1' }, body: '{}' });
      expect([answer.status, answer.json]).to.deep.equal([202, { id: 'e1' }]);
      expect(published).to.have.length(1);
      expect(published[0]).to.deep.include({ routingKey: 'chat.posted', messageId: 'e1' });
    });

    it('answers 503 to try again, in either case with nothing claimed, where the broker does not confirm', async () => {
      for (const code of ['broker_unavailable', 'broker_timeout', 'broker_busy'] as const) {
        failure = new BrokerError(code, 'x');
        const answer = await api.call({ path, query: { key: 'k' }, body: '{}' });
        expect(answer.status).to.equal(503);
        expect(answer.json).to.include({ code: 'broker_unavailable' });
        expect(answer.header('retry-after')).to.equal('1');
      }
    });

    it('publishes nothing that is not signed by the app, whole and in time', async () => {
      const good = { path, query: { key: 'k' }, body: '{}' };
      const now = Math.floor(api.clock.now() / 1_000);
      for (const call of [
        { ...good, secret: 'wrong' },
        { ...good, key: 'other-key', secret: 'other-secret' },
        { ...good, timestamp: now - 601 },
        { ...good, sentQuery: 'key=another' },
      ]) {
        const answer = await api.call(call);
        expect(answer.status).to.equal(401);
        expect(answer.json).to.include({ code: 'unauthorized' });
      }
      expect((await api.send('POST', `${path}?key=k`, '{}')).status).to.equal(401);
      expect(published).to.deep.equal([]);
    });

    it('says which app the event came with, whatever the headers say', async () => {
      await api.call({
        path,
        query: { key: 'k' },
        body: '{}',
        headers: { 'x-warren-app': 'other' },
      });
      expect(published[0]?.headers).to.deep.equal({ 'x-warren-app': 'app-id' });
    });

    it('answers typed errors to what is malformed, too large or wrong in its method', async () => {
      const bad = await api.call({ path, query: { key: 'k' }, body: 'x' });
      expect([bad.status, bad.json]).to.deep.equal([
        400,
        { error: 'the body is not JSON', code: 'bad_request' },
      ]);
      const body = `"${'x'.repeat(1024 * 1024)}"`;
      const large = await api.call({ path, query: { key: 'k' }, body });
      expect(large.status).to.equal(413);
      expect(large.json).to.include({ code: 'too_large' });
      const get = await api.send('GET', path);
      expect([get.status, get.header('allow')]).to.deep.equal([405, 'POST']);
      const unknown = await api.call({ path: '/apps/nobody/domain-events', body: '{}' });
      expect(unknown.json).to.include({ code: 'unknown_app' });
      expect(published).to.deep.equal([]);
    });

    it('counts against the events that the app may publish', async () => {
      api.apps.update(
        api.apps.all().map(({ config }) => ({
          ...config,
          limits: { ...config.limits, apiEventsPerSecond: 1 },
        })),
      );
      const call = { path, query: { key: 'k' }, body: '{}' };
      expect((await api.call(call)).status).to.equal(202);
      const refused = await api.call(call);
      expect(refused.status).to.equal(429);
      expect(published).to.have.length(1);
    });
  });

  it('is turned off unless warren.yaml turns it on, and says so', async () => {
    const api = await startTestApi();
    try {
      const answer = await api.call({ path, query: { key: 'k' }, body: '{}' });
      expect(answer.status).to.equal(404);
      expect(answer.text).to.include('ingress.http');
    } finally {
      await api.close();
    }
    const ingress = (text: string) => {
      const loaded = loadConfig(text, { path: 'w', production: false });
      return loaded.ok ? loaded.config.ingress : loaded.problems;
    };
    expect(ingress('events: []')).to.equal(undefined);
    expect(ingress('ingress: { http: false }')).to.equal(undefined);
    expect(ingress('ingress: { http: true }')).to.deep.equal({
      exchanges: [],
      queues: [],
      http: true,
    });
  });

  it('reaches rules of its own app only', () => {
    const loaded = loadConfig(
      `
apps: [{ id: a, key: a, secret: s }, { id: b, key: b, secret: s }]
events:
  - { app: a, on: '#', to: mine }
  - { app: b, on: 'k', to: theirs }
`,
      { path: 'w', production: false },
    );
    if (!loaded.ok) throw new Error('no configuration');
    const channels = (headers: Record<string, unknown>) =>
      explainEvent(
        { exchange: '', routingKey: 'k', headers, body: Buffer.from('{}'), redelivered: false },
        loaded.config,
      ).publications.map(({ channel }) => channel);
    expect(channels({})).to.deep.equal(['mine', 'theirs']);
    expect(channels({ 'x-warren-app': 'a' })).to.deep.equal(['mine']);
    expect(channels({ 'x-warren-app': 'b' })).to.deep.equal(['theirs']);
    expect(channels({ 'x-warren-app': 'c' })).to.deep.equal([]);
    expect(channels({ 'x-warren-app': 7 })).to.deep.equal([]);
  });

  describe('with the broker', () => {
    let names: TopologyNames;
    let broker: Broker;
    let api: TestApi;
    before(async () => {
      names = topologyNames(uniquePrefix());
      broker = connectAmqp({
        urls: [brokerUrl],
        names,
        clock: systemClock,
        log: createLog('silent'),
        heartbeatSeconds: 10,
        confirmTimeoutMs: 10_000,
      });
      await eventually(() => expect(broker.status().ready).to.equal(true));
      api = await startTestApi({ domainEvents: broker.domainEvents });
    });
    after(async () => {
      await api?.close();
      await broker?.close();
      const connection = await connectToBroker();
      await deleteTopology(connection, names);
      await connection.close();
    });

    it('is the same to the router as an event by AMQP, in every mode', async () => {
      const seen: IncomingEvent[] = [];
      const consumption = await broker.domainEvents.consume({
        patterns: ['#'],
        prefetch: 10,
        async handle(event) {
          seen.push(event);
          return { kind: 'done' };
        },
      });
      const longId = 'e'.repeat(300);
      const envelope = {
        specversion: '1.0',
        id: longId,
        source: '/s',
        type: 't.x',
        data: { n: 1 },
      };
      const structured = 'application/cloudevents+json';
      await api.call({ path, query: { key: 'k', id: 'e1' }, body: '{ "n": 1.0 }' });
      const answer = await api.call({
        path,
        body: JSON.stringify(envelope),
        headers: { 'content-type': structured },
      });
      expect([answer.status, answer.json]).to.deep.equal([202, { id: longId }]);
      await api.call({
        path,
        query: { key: 'b' },
        body: '{}',
        headers: { 'ce-specversion': '1.0', 'ce-id': '2', 'ce-source': '/s', 'ce-type': 'T%C3%BC' },
      });
      await eventually(() => expect(seen).to.have.length(3));
      expect(seen.map(({ routingKey, body }) => [routingKey, body.toString()])).to.deep.equal([
        ['k', '{ "n": 1.0 }'],
        ['t.x', JSON.stringify(envelope)],
        ['b', '{}'],
      ]);
      expect(seen[0]).to.include({ messageId: 'e1', contentType: 'application/json' });
      expect(seen[1]).to.include({ contentType: structured });
      expect(seen[2]?.headers).to.include({ 'ce-type': 'Tü', 'x-warren-app': 'app-id' });
      await consumption.stop(5_000);
    });

    it('waits in the durable queue, persistent, while no router runs', async () => {
      const answer = await api.call({ path, query: { key: 'later', id: 'e9' }, body: '{}' });
      expect(answer.status).to.equal(202);
      const connection = await connectToBroker();
      const channel = await connection.createChannel();
      try {
        const message = await new Promise<ConsumeMessage | null>((resolve) => {
          void channel.consume(names.routerEvents, resolve, { noAck: true });
        });
        expect(message?.properties).to.include({ messageId: 'e9', deliveryMode: 2 });
      } finally {
        await connection.close();
      }
    });
  });
});
