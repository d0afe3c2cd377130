/** Two kinds of publishers, which write down what they published: domain events over AMQP, and the Pusher SDK over HTTP. */
import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib';
import PusherServer from 'pusher';
import { eventually } from '../support/eventually.ts';
import type { Published } from '../support/history-entries.ts';
import { app } from './page.ts';
import type { Random } from './random.ts';

/** More publications make the run invalid: memory must not grow without bound. */
const maxPublications = 2_000_000;
/** Domain events that wait for their confirm at a time. */
const maxUnconfirmed = 100;
const politeCloseMs = 3_000;

export class Ledger {
  readonly publications: Published[] = [];
  /** Of each channel and publisher, the latest `n`. */
  readonly #last = new Map<string, number>();

  get isFull(): boolean {
    return this.publications.length >= maxPublications;
  }

  /** Unknown until its publisher says that it is confirmed. */
  next(channel: string, publisher: string, viaRouter: boolean): Published {
    const line = `${channel}/${publisher}`;
    const n = (this.#last.get(line) ?? -1) + 1;
    this.#last.set(line, n);
    const one: Published = {
      id: `${line}/${n}`,
      channel,
      publisher,
      n,
      sentAt: performance.now(),
      outcome: 'unknown',
      viaRouter,
    };
    this.publications.push(one);
    return one;
  }
}

export interface Publisher {
  /** Publishes once to the channel; resolves when the outcome is in the ledger, and returns what is there. */
  publish(channel: string): Promise<Published>;
  close(): Promise<void>;
}

/** What a rule of the fleet's warren.yaml sends on as it stands: `{ on: 'chaos.item', to: '{data.channel}', as: item }`. */
export const routingKey = 'chaos.item';

const payload = ({ id, channel, publisher, n }: Published) => ({ channel, id, p: publisher, n });

/** amqplib's types keep it to themselves. */
function socketOf({ connection }: ChannelModel): { destroy(): void } {
  return (connection as unknown as { readonly stream: { destroy(): void } }).stream;
}

/** Comes back by itself when the broker was away. */
export class DomainPublisher implements Publisher {
  readonly #ledger: Ledger;
  readonly #url: string;
  readonly #exchange: string;
  readonly #pending = new Set<Promise<unknown>>();
  #connection: ChannelModel | undefined;
  #channel: Promise<ConfirmChannel> | undefined;
  #closed = false;

  constructor(ledger: Ledger, url: string, exchange: string) {
    this.#ledger = ledger;
    this.#url = url;
    this.#exchange = exchange;
  }

  async publish(channel: string): Promise<Published> {
    while (this.#pending.size >= maxUnconfirmed) await Promise.race(this.#pending);
    const open = await this.#open();
    const one = this.#ledger.next(channel, 'domain', true);
    const settled = new Promise<void>((resolve) => {
      const finish = () => {
        open.off('close', finish);
        resolve();
      };
      // A channel that dies forgets those who wait.
      open.once('close', finish);
      const properties = { persistent: true, contentType: 'application/json', messageId: one.id };
      const body = Buffer.from(JSON.stringify(payload(one)));
      try {
        open.publish(this.#exchange, routingKey, body, properties, (error: unknown) => {
          if (error === null || error === undefined) one.outcome = 'confirmed';
          finish();
        });
      } catch {
        // Closed meanwhile: it stays unknown.
        finish();
      }
    });
    this.#pending.add(settled);
    await settled;
    this.#pending.delete(settled);
    return one;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#channel?.catch(() => undefined);
    const connection = this.#connection;
    if (connection === undefined) return;
    // A broker that blocks publishers does not read that they close.
    const timer = setTimeout(() => socketOf(connection).destroy(), politeCloseMs);
    await connection.close().catch(() => undefined);
    clearTimeout(timer);
  }

  #open(): Promise<ConfirmChannel> {
    if (this.#channel === undefined) {
      const opening = eventually(async () => {
        if (this.#closed) return undefined;
        const connection = await connect(this.#url, { timeout: 5_000 });
        connection.on('error', () => undefined);
        connection.on('close', () => {
          this.#channel = undefined;
        });
        const channel = await connection.createConfirmChannel();
        channel.setMaxListeners(maxUnconfirmed + 10);
        channel.on('error', () => undefined);
        this.#connection = connection;
        return channel;
      }, 120_000).then((channel) => {
        if (channel === undefined) throw new Error('the publisher was closed');
        return channel;
      });
      opening.catch(() => {
        this.#channel = undefined;
      });
      this.#channel = opening;
    }
    return this.#channel;
  }
}

export class HttpPublisher implements Publisher {
  readonly #ledger: Ledger;
  readonly #name: string;
  readonly #sdk: PusherServer;

  constructor(ledger: Ledger, name: string, port: number) {
    this.#ledger = ledger;
    this.#name = name;
    this.#sdk = new PusherServer({
      appId: 'app-id',
      ...app,
      host: '127.0.0.1',
      port: String(port),
      timeout: 6_000,
    });
  }

  /** One at a time: a publisher's order is that of its answers. */
  async publish(channel: string): Promise<Published> {
    const one = this.#ledger.next(channel, this.#name, false);
    await this.#sdk.trigger(channel, 'item', payload(one)).then(
      () => {
        one.outcome = 'confirmed';
      },
      // 503, or no answer: it may have been published all the same.
      () => undefined,
    );
    return one;
  }

  async close(): Promise<void> {
    // Each call has a connection of its own.
  }
}

/** Publishes to channels of the seed's choice until it is stopped. */
export class Load {
  readonly #stop = new AbortController();
  readonly #loops: Promise<void>[] = [];

  /** @param pauseMs between two publications of a publisher; a domain publisher does not wait for its confirms in between */
  add(publisher: Publisher, channels: readonly string[], random: Random, pauseMs: number): void {
    this.#loops.push(this.#run(publisher, channels, random, pauseMs));
  }

  /** Resolves when the outcome of everything is known. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#loops);
  }

  async #run(
    publisher: Publisher,
    channels: readonly string[],
    random: Random,
    pauseMs: number,
  ): Promise<void> {
    const waits = publisher instanceof HttpPublisher;
    const open = new Set<Promise<unknown>>();
    while (!this.#stop.signal.aborted) {
      const channel = random.pick(channels) ?? '';
      const published = publisher
        .publish(channel)
        .catch((error: unknown) => {
          // Its publisher may be closed first.
          if (!this.#stop.signal.aborted) throw error;
        })
        .finally(() => open.delete(published));
      open.add(published);
      if (waits || open.size >= maxUnconfirmed) await Promise.race(open);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    await Promise.all(open);
  }
}
