/**
 * What Warren is measured against, in the same run: the least that can be done. One AMQP queue, and each message sent by `ws` to every
 * socket, one by one. No protocol, no channels, no bounds.
 */
import { connect } from 'amqplib';
import { WebSocketServer } from 'ws';

const [url = '', exchange = '', key = ''] = process.argv.slice(2);
const connection = await connect(url);
const channel = await connection.createChannel();
const { queue } = await channel.assertQueue('', { exclusive: true });
await channel.assertExchange(exchange, 'topic', { durable: false, autoDelete: true });
await channel.bindQueue(queue, exchange, key);
const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
await channel.consume(
  queue,
  (message) => {
    if (message === null) return;
    for (const client of server.clients) client.send(message.content, { binary: false });
  },
  { noAck: true },
);
server.on('listening', () => undefined);
const address = server.address();
process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
process.on('disconnect', () => process.exit(0));
