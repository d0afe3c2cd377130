/** What the AMQP adapter makes of the list of the router's bindings when crashes and operators have had their way with it. */
import type { ChannelModel } from 'amqplib';
import { assert } from 'chai';
import type { AmqpOptions } from '../../broker/amqp/broker.ts';
import type { ConsumeOptions, Outcome } from '../../broker/port.ts';
import { routerQueues, type TopologyNames } from '../../contracts/topology.ts';
import { createLog } from '../../runtime/log.ts';
import { routedKeys } from '../support/bound.ts';
import { eventually } from '../support/eventually.ts';
import { range } from './adapter.ts';
import { type AmqpUnderTest, createUnderTest } from './amqp-under-test.ts';

const done: Outcome = { kind: 'done' };

const consuming = (
  patterns: readonly string[],
  more: Partial<ConsumeOptions> = {},
): ConsumeOptions => ({ patterns, prefetch: 10, handle: async () => done, ...more });

describe('the router’s bindings over AMQP', function () {
  this.timeout(20_000);
  let current: AmqpUnderTest | undefined;

  async function create(
    options: Partial<AmqpOptions> = {},
    before?: (admin: ChannelModel, names: TopologyNames) => Promise<void>,
  ): Promise<AmqpUnderTest> {
    current = await createUnderTest(options, before);
    return current;
  }

  afterEach(async () => {
    const channel = await current?.admin.createChannel();
    for (const name of ['orders', 'taken']) {
      await channel?.deleteQueue(`${current?.names.prefix}${name}`);
    }
    await current?.dispose();
    current = undefined;
  });

  it('are put right where a crash has left several lists, and some say too much', async () => {
    const { broker, admin, names } = await create(
      {},
      async (connection, { domainEvents, ...own }) => {
        const channel = await connection.createConfirmChannel();
        await channel.assertExchange(domainEvents, 'topic', { durable: true });
        for (const queue of routerQueues({ domainEvents, ...own })) {
          await channel.assertQueue(queue.name, { durable: true, arguments: queue.arguments });
        }
        for (const pattern of ['stale.1', 'stale.2', 'kept']) {
          await channel.bindQueue(own.routerEvents, domainEvents, pattern);
        }
        for (const list of [
          JSON.stringify({ bindings: [[domainEvents, ['stale.1', 'kept', 'never.bound']]] }),
          'not a list',
          JSON.stringify({
            bindings: [
              [domainEvents, ['stale.2']],
              [`${own.prefix}gone`, ['#']],
            ],
          }),
        ]) {
          channel.sendToQueue(own.routerBindings, Buffer.from(list), { persistent: true });
        }
        await channel.waitForConfirms();
        await channel.close();
      },
    );
    const consumption = await broker.domainEvents.consume(consuming(['kept', 'new']));
    const keys = ['stale.1', 'stale.2', 'never.bound', 'kept', 'new'];
    assert.deepEqual(await routedKeys(admin, names.domainEvents, keys), ['kept', 'new']);
    await consumption.stop(1_000);
    assert.deepEqual(await listsIn(admin, names), [
      { bindings: [[names.domainEvents, ['kept', 'new']]] },
    ]);
  });

  it('are exactly those asked for last, wherever in a change the connection broke', async () => {
    const { broker, admin, names, proxy } = await create();
    const consumption = await broker.domainEvents.consume(consuming(['p.0']));
    const keys = range(12).map((n) => `p.${n}`);
    const changes: Promise<void>[] = [];
    for (const n of range(11, 1)) {
      changes.push(consumption.rebind({ patterns: [`p.${n}`, 'always'] }));
      // Cut ever later: at once, and after some of the steps.
      for (let turn = 0; turn < n * 3; turn += 1) await new Promise(setImmediate);
      if (n % 2 === 1) proxy.cut();
    }
    await Promise.all(changes);
    const routed = await routedKeys(admin, names.domainEvents, [...keys, 'always']);
    assert.deepEqual(routed, ['p.11', 'always']);
    await consumption.stop(1_000);
    assert.deepEqual(await listsIn(admin, names), [
      { bindings: [[names.domainEvents, ['p.11', 'always']]] },
    ]);
  });

  it('are written down before they are made: a router that dies in between leaves none unknown', async () => {
    const { broker, peer, admin, names, cutOff } = await create();
    const consumption = await broker.domainEvents.consume(consuming(['a']));
    let died: Promise<void> | undefined;
    void consumption
      .rebind({ patterns: ['b'] }, () => {
        died = cutOff();
      })
      .catch(() => undefined);
    await eventually(() => assert.isDefined(died));
    await died;
    assert.deepEqual(await routedKeys(admin, names.domainEvents, ['a', 'b']), ['a', 'b']);
    const next = await (await peer()).domainEvents.consume(consuming(['c']));
    await eventually(async () =>
      assert.deepEqual(await routedKeys(admin, names.domainEvents, ['a', 'b', 'c']), ['c']),
    );
    await next.stop(1_000);
  });

  it('and queues of others stay with the router that leads when a former one comes back', async () => {
    const lines: string[] = [];
    const log = createLog('info', {}, { write: (line) => lines.push(line) });
    const { broker, peer, admin, names, cutOff, reconnect } = await create({ log });
    const queue = `${names.prefix}orders`;
    const channel = await admin.createConfirmChannel();
    // One whose type does not know of exclusive consumers.
    await channel.assertQueue(queue, { arguments: { 'x-queue-type': 'quorum' } });
    const taken: string[] = [];
    const sources = (name: string) =>
      consuming([name], {
        queues: [queue],
        async handle({ body }) {
          taken.push(`${name} ${body.toString()}`);
          return done;
        },
      });
    await broker.domainEvents.consume(sources('former'));
    const other = await peer();
    const next = await other.domainEvents.consume(sources('next'));
    const send = async (n: number) => {
      channel.sendToQueue(queue, Buffer.from(String(n)));
      await channel.waitForConfirms();
      await eventually(() => assert.match(taken.at(-1) ?? '', new RegExp(` ${n}$`)));
    };
    await send(0);
    await cutOff();
    await send(1);
    await reconnect();
    await eventually(() => assert.isTrue(broker.status().ready));
    await eventually(() =>
      assert.lengthOf(
        lines.filter((line) => line.includes('standing by')),
        2,
      ),
    );
    for (const n of range(20, 2)) await send(n);
    assert.deepEqual(taken, ['former 0', ...range(21, 1).map((n) => `next ${n}`)]);
    await next.stop(1_000);
    await channel.close();
  });

  it('survive the deletion of their list, which is written anew', async () => {
    const { broker, admin, names } = await create();
    const keys: string[] = [];
    const consumption = await broker.domainEvents.consume(
      consuming(['a', 'b'], {
        async handle({ routingKey }) {
          keys.push(routingKey);
          return done;
        },
      }),
    );
    const channel = await admin.createChannel();
    await channel.deleteQueue(names.routerBindings);
    await eventually(async () => {
      keys.length = 0;
      await broker.domainEvents.publish({ routingKey: 'a', body: Buffer.from('{}') });
      await eventually(() => assert.deepEqual(keys, ['a']), 300);
    });
    await channel.close();
    await eventually(() => consumption.rebind({ patterns: ['b'] }));
    await consumption.stop(1_000);
    assert.deepEqual(await listsIn(admin, names), [{ bindings: [[names.domainEvents, ['b']]] }]);
  });

  it('are made anew where somebody deletes the router’s queue', async () => {
    const { broker, admin, names } = await create();
    const consumption = await broker.domainEvents.consume(consuming(['a']));
    // From here on nothing is looked at again for minutes.
    await consumption.rebind({ patterns: ['a', 'b'] });
    const channel = await admin.createChannel();
    await channel.deleteQueue(names.routerEvents);
    await channel.close();
    await eventually(async () =>
      assert.deepEqual(await routedKeys(admin, names.domainEvents, ['a', 'b']), ['a', 'b']),
    );
    await consumption.stop(1_000);
  });

  it('are handed on: of three routers one leads, and their files do not mix', async () => {
    const lines: string[] = [];
    const log = createLog('info', {}, { write: (line) => lines.push(line) });
    const { broker, peer, admin, names } = await create({ log });
    const others = [await peer(), await peer()];
    const consumptions = await Promise.all(
      [broker, ...others].map((each, n) =>
        each.domainEvents.consume(consuming([`file.${n}`, 'common'])),
      ),
    );
    const leading = () => lines.filter((line) => line.includes('this router leads')).length;
    const keys = ['file.0', 'file.1', 'file.2', 'common'];
    const seen = new Set<string>();
    for (const [stopped, consumption] of consumptions.entries()) {
      await eventually(async () => {
        const routed = await routedKeys(admin, names.domainEvents, keys);
        assert.lengthOf(routed, 2);
        assert.equal(routed[1], 'common');
        if (stopped === 0) seen.add(routed[0] ?? '');
      });
      await consumption.stop(1_000);
    }
    assert.lengthOf([...seen], 1);
    assert.isAtLeast(leading(), 1);
  });

  it('tell what the broker refuses of queues that others consume, and take them up when they are free', async () => {
    const { broker, admin, names } = await create();
    const queue = `${names.prefix}taken`;
    const holder = await admin.createChannel();
    await holder.assertQueue(queue);
    await holder.consume(queue, () => undefined, { consumerTag: 'holder' });
    let problems: readonly string[] = [];
    const consumption = await broker.domainEvents.consume(
      consuming(['a'], {
        queues: [queue],
        problems: (sentences) => {
          problems = sentences;
        },
      }),
    );
    await eventually(() =>
      assert.match(problems.join(), /taken cannot be consumed: somebody else/),
    );
    await holder.cancel('holder');
    await eventually(() => assert.isEmpty(problems));
    await consumption.stop(1_000);
    await holder.close();
  });
});

/** Consumed up to a message of its own, and given back: a queue with a single active consumer cannot be read otherwise. */
async function listsIn(admin: ChannelModel, names: TopologyNames): Promise<readonly unknown[]> {
  const channel = await admin.createChannel();
  const lists: unknown[] = [];
  const read = new Promise<void>((resolve) => {
    void channel.consume(names.routerBindings, (message) => {
      const text = message?.content.toString();
      if (text === 'end') resolve();
      else if (text !== undefined) lists.push(JSON.parse(text));
    });
  });
  channel.sendToQueue(names.routerBindings, Buffer.from('end'));
  await read;
  await channel.close();
  return lists;
}
