/** Our reading of topic patterns is RabbitMQ's: a table of patterns and keys, through both. */
import type { Channel, ChannelModel } from 'amqplib';
import { assert } from 'chai';
import { TopicTrie } from '../../contracts/topic-pattern.ts';
import { connectToBroker, uniquePrefix } from '../support/broker.ts';

const patterns: readonly string[] = [
  '',
  '#',
  '*',
  '#.#',
  '*.*',
  '*.#',
  '#.*',
  'a',
  'a.b',
  'a.*',
  'a.#',
  '*.b',
  '#.b',
  'a.*.b',
  'a.#.b',
  '#.a.#',
  'a..b',
  '.',
  '.*',
  '*.',
  'a.',
  'a*b',
  'a#',
  '*a.b',
  'é.ü',
  'A',
  'a.*.*.#',
];

const keys: readonly string[] = [
  '',
  'a',
  'b',
  'A',
  'a.b',
  'a.b.b',
  'a.c.b',
  'a.c.d.b',
  'a..b',
  '.',
  '..',
  'a.',
  '.a',
  '.b',
  '*',
  '#',
  'a.*',
  'a.#',
  '*.b',
  '#.a.#',
  'a*b',
  'axb',
  'a#',
  'é.ü',
  'e\u0301.u\u0308',
  'x.a.y',
  ' a',
];

describe('TopicTrie and RabbitMQ', function () {
  this.timeout(20_000);
  let connection: ChannelModel;

  before(async () => {
    connection = await connectToBroker();
  });
  after(async () => {
    await connection.close();
  });

  it('find the same patterns for every key', async () => {
    const channel = await connection.createConfirmChannel();
    const exchange = `${uniquePrefix()}topics`;
    await channel.assertExchange(exchange, 'topic', { durable: false, autoDelete: true });
    const trie = new TopicTrie<string>();
    const queues = new Map<string, string>();
    for (const pattern of patterns) {
      const { queue } = await channel.assertQueue('', { exclusive: true });
      await channel.bindQueue(queue, exchange, pattern);
      queues.set(pattern, queue);
      trie.add(pattern, pattern);
    }
    for (const key of keys) channel.publish(exchange, key, Buffer.from(key));
    await channel.waitForConfirms();
    for (const [pattern, queue] of queues) {
      const found = await drain(channel, queue);
      const expected = keys.filter((key) => trie.match(key).has(pattern));
      assert.deepEqual(found, expected, `pattern ${JSON.stringify(pattern)}`);
      await channel.deleteQueue(queue);
    }
    await channel.close();
  });
});

async function drain(channel: Channel, queue: string): Promise<readonly string[]> {
  const bodies: string[] = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (message === false) return bodies;
    bodies.push(message.content.toString('utf8'));
  }
}
