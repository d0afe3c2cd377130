/** Whatever a channel is called, RabbitMQ routes its key to its own bindings and to no other. */
import type { ChannelModel, ConfirmChannel, ConsumeMessage } from 'amqplib';
import { assert } from 'chai';
import fc from 'fast-check';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import { channelKey, maxRoutingKeyBytes } from '../../contracts/routing-key.ts';
import { hostileNames } from '../contract/hostile-names.ts';
import { connectToBroker, uniquePrefix } from '../support/broker.ts';

interface Place {
  readonly app: AppId;
  readonly name: ChannelName;
}

/** Pieces that matter to a topic exchange or to the codec, mixed with any other text. */
const piece = fc.oneof(
  fc.constantFrom(
    '.',
    '..',
    '*',
    '#',
    ':',
    '%',
    '%2E',
    '+',
    '=',
    'a',
    'A',
    'é',
    '\u0000',
    'x'.repeat(90),
  ),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
  fc.string({ unit: 'binary', maxLength: 3 }),
);
const anyName = fc
  .array(piece, { minLength: 1, maxLength: 5 })
  .map((pieces) => pieces.join(''))
  .filter((name) => name !== '' && name.isWellFormed()) as fc.Arbitrary<ChannelName>;
const anyApp = fc.constantFrom('app-1', 'app-2', 'app=1', 'a'.repeat(64)) as fc.Arbitrary<AppId>;

describe('channelKey and RabbitMQ', function () {
  this.timeout(30_000);
  let connection: ChannelModel;
  let channel: ConfirmChannel;
  let exchange: string;

  before(async () => {
    connection = await connectToBroker();
  });
  beforeEach(async () => {
    channel = await connection.createConfirmChannel();
    exchange = `${uniquePrefix()}channels`;
    await channel.assertExchange(exchange, 'topic', { durable: false });
  });
  afterEach(async () => {
    await channel.deleteExchange(exchange);
    await channel.close();
  });
  after(async () => {
    await connection.close();
  });

  it('bring hostile names of two apps to their own subscribers, and to nobody else', async () => {
    const apps = ['app-1', 'app-2'] as AppId[];
    const places = apps.flatMap((app) =>
      hostileNames.map((name) => ({ app, name: name as ChannelName })),
    );
    assert.deepEqual(await strays(places), []);
  });

  it('bring 2,100 random names to their own subscribers, and to nobody else', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const drawn = fc.sample(fc.record({ app: anyApp, name: anyName }), { seed, numRuns: 3_500 });
    const distinct = new Map(drawn.map((place) => [`${place.app} ${place.name}`, place]));
    const places = [...distinct.values()].slice(0, 2_100);
    assert.isAtLeast(places.length, 2_100, `seed ${seed}`);
    assert.deepEqual(await strays(places), [], `seed ${seed}`);
  });

  /**
   * Publishes to every place and returns what went astray or missing. A queue for each place would take minutes: place n is
   * bound to the two queues of its row and its column, so a message of another place shows in at least one of them.
   */
  async function strays(places: readonly Place[]): Promise<readonly string[]> {
    const side = Math.ceil(Math.sqrt(places.length));
    const lines = Array.from({ length: side * 2 }, () => new Set<number>());
    for (const n of places.keys()) {
      lines[n % side]?.add(n);
      lines[side + Math.floor(n / side)]?.add(n);
    }
    const keys = places.map(({ app, name }) => channelKey(app, name));
    for (const key of keys) assert.isAtMost(Buffer.byteLength(key), maxRoutingKeyBytes);
    const queues = await Promise.all(
      lines.map(async (members) => {
        const { queue } = await channel.assertQueue('', { exclusive: true });
        await Promise.all(
          [...members].map((n) => channel.bindQueue(queue, exchange, keys[n] ?? '')),
        );
        return queue;
      }),
    );
    for (const [n, key] of keys.entries()) channel.publish(exchange, key, Buffer.from(String(n)));
    await channel.waitForConfirms();
    const problems: string[] = [];
    for (const [line, queue] of queues.entries()) {
      const expected = lines[line] ?? new Set();
      const found = await received(queue);
      for (const n of found) {
        if (!expected.has(n)) problems.push(`${JSON.stringify(places[n])} went astray`);
      }
      for (const n of expected) {
        if (!found.has(n)) problems.push(`${JSON.stringify(places[n])} is missing`);
      }
      await channel.deleteQueue(queue);
    }
    return problems;
  }

  /** All that the queue holds: the confirms have come, so it is all there is. */
  async function received(queue: string): Promise<ReadonlySet<number>> {
    const { messageCount } = await channel.checkQueue(queue);
    const found: number[] = [];
    await new Promise<void>((resolve, reject) => {
      if (messageCount === 0) resolve();
      const take = (message: ConsumeMessage | null) => {
        found.push(Number(message?.content.toString('utf8')));
        if (found.length === messageCount) resolve();
      };
      channel.consume(queue, take, { noAck: true }).catch(reject);
    });
    return new Set(found);
  }
});
