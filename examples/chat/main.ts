/**
 * Starts the chat service. `--embedded` starts Warren in the same process, on its embedded broker, so that nothing else is needed:
 * `node dist/examples/chat/main.js --embedded`.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startEmbedded } from './embedded.ts';
import { createPublisher } from './publisher.ts';
import { createChat } from './service.ts';

const port = Number(process.env['CHAT_PORT'] ?? 3000);
const warrenPort = Number(process.env['WARREN_PORT'] ?? 6001);
const brokerUrl =
  (process.env['WARREN_BROKER_URL'] ?? 'amqp://guest:guest@127.0.0.1:5672').split(',')[0] ?? '';
const embedded = process.argv.includes('--embedded') ? await startEmbedded(warrenPort) : undefined;
const publisher = embedded ?? createPublisher(brokerUrl);

const server = createServer(
  createChat({
    publisher,
    jwtSecret: 'example-secret-that-everybody-knows',
    warren: { key: 'app-key', port: embedded?.port ?? warrenPort },
  }),
);
server.listen(port, '127.0.0.1');
try {
  await once(server, 'listening');
} catch (error) {
  process.stderr.write(
    `cannot listen on port ${port}: ${(error as Error).message}; set CHAT_PORT to another one\n`,
  );
  process.exit(1);
}
const { port: bound } = server.address() as AddressInfo;
process.stdout.write(`chat is at http://127.0.0.1:${bound}/\n`);

const stop = async () => {
  server.close();
  server.closeAllConnections();
  await publisher.close();
};
process.once('SIGTERM', () => void stop());
process.once('SIGINT', () => void stop());
