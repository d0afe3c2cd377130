/** How a service publishes domain events: plain amqplib, one confirm channel, connected again when the broker went away. */
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';

export interface EventPublisher {
  /** Resolves when the broker has the event; rejects while it is away, so that the caller can say so. */
  publish(routingKey: string, event: object, id: string): Promise<void>;
  close(): Promise<void>;
}

const exchange = 'domain.events';
const reconnectMs = 1_000;

export function createPublisher(url: string): EventPublisher {
  let model: ChannelModel | undefined;
  let channel: ConfirmChannel | undefined;
  let closed = false;
  let retry: NodeJS.Timeout | undefined;

  const open = async () => {
    try {
      model = await connect(url);
      model.on('error', () => undefined);
      model.on('close', lost);
      const opened = await model.createConfirmChannel();
      opened.on('error', () => undefined);
      opened.on('close', () => {
        channel = undefined;
        void model?.close().catch(() => undefined);
      });
      await opened.assertExchange(exchange, 'topic', { durable: true });
      channel = opened;
    } catch {
      lost();
    }
  };
  const lost = () => {
    channel = undefined;
    clearTimeout(retry);
    if (!closed) retry = setTimeout(() => void open(), reconnectMs);
  };
  void open();

  return {
    publish(routingKey, event, id) {
      const current = channel;
      if (current === undefined) return Promise.reject(new Error('the broker is away'));
      return new Promise((resolve, reject) => {
        const body = Buffer.from(JSON.stringify(event));
        const properties = { contentType: 'application/json', persistent: true, messageId: id };
        current.publish(exchange, routingKey, body, properties, (error: unknown) => {
          if (error === null) resolve();
          else reject(error instanceof Error ? error : new Error('not confirmed'));
        });
      });
    },
    async close() {
      closed = true;
      clearTimeout(retry);
      await model?.close().catch(() => undefined);
    },
  };
}
