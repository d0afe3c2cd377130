/** Warren inside the example's own process, on the embedded broker: for trying it with nothing but Node.js. */
import { prepare, startWarren } from '../../cli/serve.ts';
import { examplePath } from './paths.ts';
import type { EventPublisher } from './publisher.ts';

export interface Embedded extends EventPublisher {
  /** Where the edge listens. */
  readonly port: number;
}

/** Rejects, with all reasons in the message, where the settings or warren.yaml are wrong. */
export async function startEmbedded(port: number): Promise<Embedded> {
  const preparation = prepare({
    WARREN_CONFIG: examplePath('warren.yaml'),
    ...process.env,
    WARREN_BROKER_URL: 'memory:',
    WARREN_PORT: String(port),
  });
  if (!preparation.ok) throw new Error(preparation.text);
  const warren = await startWarren(preparation.prepared, ['router', 'edge']);
  return {
    port: warren.port ?? port,
    publish: (routingKey, event, id) =>
      warren.broker.domainEvents.publish({
        routingKey,
        body: Buffer.from(JSON.stringify(event)),
        contentType: 'application/json',
        messageId: id,
      }),
    close: () => warren.stop(0),
  };
}
