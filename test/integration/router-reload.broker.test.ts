/** A router over a real RabbitMQ whose warren.yaml changes while it runs, with events from further exchanges and queues. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { expect } from 'chai';
import { prepare, startWarren, type Warren } from '../../cli/serve.ts';
import { topologyNames } from '../../contracts/topology.ts';
import { routedKeys } from '../support/bound.ts';
import { brokerUrl, connectToBroker, deleteTopology, uniquePrefix } from '../support/broker.ts';
import { eventually } from '../support/eventually.ts';

interface Seen {
  readonly channel: string;
  readonly id: string;
  readonly data: unknown;
}

describe('a router whose warren.yaml changes', function () {
  this.timeout(40_000);
  let directory: string;
  let file: string;
  let admin: ChannelModel;
  let publisher: ConfirmChannel;
  let names: ReturnType<typeof topologyNames>;
  let started: Warren[];
  let seen: Seen[];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'warren-router-'));
    file = join(directory, 'warren.yaml');
    names = topologyNames(uniquePrefix());
    admin = await connectToBroker();
    publisher = await admin.createConfirmChannel();
    started = [];
    seen = [];
    // What edges would get.
    await publisher.assertExchange(names.channels, 'topic', { durable: true });
    const { queue } = await publisher.assertQueue('', { exclusive: true });
    await publisher.bindQueue(queue, names.channels, '#');
    await publisher.consume(
      queue,
      (message) => {
        if (message === null) return;
        const frame = JSON.parse(message.content.toString()) as {
          readonly channel: string;
          readonly data: string;
          readonly id: string;
        };
        seen.push({ channel: frame.channel, id: frame.id, data: JSON.parse(frame.data) });
      },
      { noAck: true },
    );
  });

  afterEach(async () => {
    for (const warren of started) await warren.stop(1_000);
    await deleteTopology(admin, names);
    await admin.close();
    rmSync(directory, { recursive: true });
  });

  async function start(text: string): Promise<Warren> {
    writeFileSync(file, text);
    const preparation = prepare({
      WARREN_BROKER_URL: brokerUrl,
      WARREN_TOPOLOGY_PREFIX: names.prefix,
      WARREN_CONFIG: file,
      WARREN_METRICS_PORT: '0',
      WARREN_LOG_LEVEL: 'silent',
      WARREN_RELOAD_MS: '0',
    });
    if (!preparation.ok) throw new Error(preparation.text);
    const warren = await startWarren(preparation.prepared, ['router']);
    started.push(warren);
    await eventually(() => expect(warren.readiness()).to.deep.equal({ ready: true }));
    return warren;
  }

  async function reload(warren: Warren, text: string): Promise<void> {
    writeFileSync(file, text);
    await warren.reload('signal');
  }

  async function publish(
    key: string,
    data: object,
    options: Options.Publish = {},
    exchange = names.domainEvents,
  ): Promise<void> {
    publisher.publish(exchange, key, Buffer.from(JSON.stringify(data)), options);
    await publisher.waitForConfirms();
  }

  const countOf = async (warren: Warren, outcome: string) => {
    const response = await fetch(`http://127.0.0.1:${warren.metricsPort}/metrics`);
    const found = new RegExp(`router_events_total\\{outcome="${outcome}"\\} (\\d+)`).exec(
      await response.text(),
    );
    return Number(found?.[1] ?? 0);
  };

  it('routes each event that all its files match once and in order, through 20 reloads in a storm', async () => {
    const kept = "- { on: 'kept.*', to: 'room-{data.room}' }";
    const version = (n: number) =>
      `events:\n  ${kept}\n  - { on: 'only.${n}', to: extra }\n${
        n % 2 === 0 ? `  - { on: 'kept.#', to: both, when: 'false' }\n` : ''
      }`;
    const warren = await start(version(0));
    let reloading = true;
    let published = 0;
    const storm = (async () => {
      while (reloading || published < 500) {
        const n = published;
        published += 1;
        publisher.publish(names.domainEvents, `kept.${n % 3}`, Buffer.from(`{"room":1,"n":${n}}`));
        if (n % 10 === 9) await publisher.waitForConfirms();
      }
      await publisher.waitForConfirms();
    })();
    for (let n = 1; n <= 20; n += 1) {
      await reload(warren, version(n));
      // Every other one is overtaken by the next.
      if (n % 2 === 0) {
        await eventually(async () =>
          expect(
            await routedKeys(admin, names.domainEvents, [`only.${n}`, `only.${n - 2}`]),
          ).to.deep.equal([`only.${n}`]),
        );
      }
    }
    reloading = false;
    await storm;
    const room = () => seen.filter(({ channel }) => channel === 'room-1');
    await eventually(() => expect(room().length).to.be.at.least(published));
    const numbers = room().map(({ data }) => (data as { readonly n: number }).n);
    expect(numbers).to.deep.equal(Array.from({ length: published }, (_, n) => n));
    await publish('only.20', {});
    await eventually(() => expect(seen.at(-1)?.channel).to.equal('extra'));
    expect(warren.readiness()).to.deep.equal({ ready: true });
  });

  it('leaves exactly the bindings of the file that it was started with last', async () => {
    await publisher.assertExchange(`${names.prefix}legacy`, 'topic');
    try {
      const first = await start(
        `events:\n  - { on: old, to: x }\n  - { on: kept, to: x }\ningress: { exchanges: ['${names.prefix}legacy'] }`,
      );
      const keys = ['old', 'kept', 'new'];
      expect(await routedKeys(admin, names.domainEvents, keys)).to.deep.equal(['old', 'kept']);
      expect(await routedKeys(admin, `${names.prefix}legacy`, keys)).to.deep.equal(['old', 'kept']);
      await first.stop(1_000);
      await start('events:\n  - { on: kept, to: x }\n  - { on: new, to: x }');
      expect(await routedKeys(admin, names.domainEvents, keys)).to.deep.equal(['kept', 'new']);
      expect(await routedKeys(admin, `${names.prefix}legacy`, keys)).to.deep.equal([]);
    } finally {
      await publisher.deleteExchange(`${names.prefix}legacy`);
    }
  });

  it('takes events from a further exchange and a further queue, in order, and says what is missing', async () => {
    const legacy = `${names.prefix}legacy`;
    const outbox = `${names.prefix}outbox`;
    const late = `${names.prefix}late`;
    await publisher.assertExchange(legacy, 'topic');
    await publisher.assertQueue(outbox, { durable: true });
    try {
      for (let n = 0; n < 50; n += 1) {
        publisher.sendToQueue(outbox, Buffer.from(n === 7 ? '{' : `{"n":${n}}`));
      }
      await publisher.waitForConfirms();
      const events = `events: [{ on: '${outbox}', to: outbox }, { on: 'user.*', to: legacy, when: "headers['x-tenant'] == 'blue'" }]\n`;
      const warren = await start(
        `${events}ingress: { exchanges: ['${legacy}'], queues: ['${outbox}'] }`,
      );
      await publish('user.created', { n: 1 }, { headers: { 'x-tenant': 'blue' } }, legacy);
      await publish('user.created', { n: 2 }, { headers: { 'x-tenant': 'red' } }, legacy);
      const on = (name: string) =>
        seen.filter(({ channel }) => channel === name).map(({ data }) => data);
      await eventually(() => {
        expect(on('outbox')).to.have.length(49);
        expect(on('legacy')).to.deep.equal([{ n: 1 }]);
      });
      const order = Array.from({ length: 50 }, (_, n) => ({ n })).filter(({ n }) => n !== 7);
      expect(on('outbox')).to.deep.equal(order);
      const letter = await eventually(async () => {
        const message = await publisher.get(names.routerDeadLetters, { noAck: true });
        if (message === false) throw new Error('no dead letter yet');
        return message;
      });
      expect(letter.content.toString()).to.equal('{');
      expect(letter.properties.headers?.['x-warren-routing-key']).to.equal(outbox);
      await eventually(async () =>
        expect((await publisher.checkQueue(outbox)).messageCount).to.equal(0),
      );

      await reload(warren, `${events}ingress: { exchanges: ['${late}'], queues: ['${outbox}'] }`);
      const unready = await eventually(async () => {
        const state = warren.readiness();
        if (state.ready) throw new Error('the missing exchange is not told yet');
        return state.reason;
      });
      expect(unready).to.contain(`the exchange ${late} does not exist`);
      publisher.sendToQueue(outbox, Buffer.from('{"n":50}'));
      await eventually(() => expect(on('outbox')).to.have.length(50));
      expect(await routedKeys(admin, legacy, ['user.created'])).to.deep.equal([]);
      await publisher.assertExchange(late, 'topic');
      await eventually(() => expect(warren.readiness()).to.deep.equal({ ready: true }));
      await publish('user.created', { n: 3 }, { headers: { 'x-tenant': 'blue' } }, late);
      await eventually(() => expect(on('legacy')).to.deep.include({ n: 3 }));
    } finally {
      await publisher.deleteExchange(legacy);
      await publisher.deleteExchange(late);
      for (const warren of started) await warren.stop(1_000);
      await publisher.deleteQueue(outbox);
    }
  });

  it('publishes an event once that comes twice, and one without an id as often as it comes', async () => {
    const warren = await start("events: [{ on: '#', to: '{data.to}' }]");
    const twice = [1, 2].flatMap(() => [
      publish('a', { to: 'x' }, { messageId: 'id-1' }),
      publish('a', { to: 'y' }),
      publish('a', { to: 'no good' }, { messageId: 'id-2' }),
    ]);
    await Promise.all(twice);
    await publish('a', { to: 'z' }, { messageId: 'id-2' });
    await eventually(() => expect(seen.at(-1)?.channel).to.equal('z'));
    expect(seen.map(({ channel }) => channel).sort()).to.deep.equal(['x', 'y', 'y', 'z']);
    expect(seen.find(({ channel }) => channel === 'x')?.id).to.equal('id-1');
    await eventually(async () => {
      expect(await countOf(warren, 'repeated')).to.equal(1);
      expect(await countOf(warren, 'routed')).to.equal(4);
      expect(await countOf(warren, 'refused')).to.equal(2);
    });
  });
});
