// Deletes the exchanges and queues that infra/rabbitmq/definitions.json names, with all they hold.
// Usage: broker-reset.mjs DEFINITIONS, the broker's URLs on standard input (see amqp-probe.mjs).

import { readFileSync } from 'node:fs';
import { connect } from 'amqplib';
import { parseBrokerUrls } from './amqp-url.mjs';

const print = (line) => process.stdout.write(`broker: ${line}\n`);

const text = readFileSync(0, 'utf8').trim();
const remote = parseBrokerUrls(text).find((target) => !target.loopback);
if (remote !== undefined) {
  print(
    `refusing to empty ${remote.host}:${remote.port}: only a broker on this host (loopback) may be reset`,
  );
  process.exit(4);
}

const definitions = JSON.parse(readFileSync(process.argv[2], 'utf8'));

async function connectFirst(urls) {
  const failures = [];
  for (const url of urls) {
    try {
      return await connect(url, { timeout: 5000 });
    } catch (error) {
      failures.push(error);
    }
  }
  throw new AggregateError(failures, failures.map((failure) => failure.message).join('; '));
}

/** One channel per deletion: a refused one closes its channel, and must not take the others along. */
async function remove(connection, kind, name) {
  const channel = await connection.createChannel();
  // A refusal also rejects the call below; without a listener it would be thrown as well.
  channel.on('error', () => undefined);
  try {
    if (kind === 'queue') {
      const { messageCount } = await channel.deleteQueue(name);
      print(`queue ${name} is gone, with ${messageCount} message${messageCount === 1 ? '' : 's'}`);
    } else {
      await channel.deleteExchange(name);
      print(`exchange ${name} is gone`);
    }
    await channel.close();
    return true;
  } catch (error) {
    if (error.code === 404) return true;
    print(`could not delete ${kind} ${name}: ${error.message}`);
    return false;
  }
}

let connection;
try {
  connection = await connectFirst(text.split(',').map((url) => url.trim()));
} catch (error) {
  print(`cannot connect: ${error.message}`);
  process.exit(3);
}
connection.on('error', () => undefined);

let done = true;
// Queues first: they stop receiving before the exchanges they hang on go.
for (const { name } of definitions.queues) done = (await remove(connection, 'queue', name)) && done;
for (const { name } of definitions.exchanges)
  done = (await remove(connection, 'exchange', name)) && done;
await connection.close();
print('Warren declares them again when it starts; restart one that is running');
process.exitCode = done ? 0 : 1;
