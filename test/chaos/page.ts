/** One browser page: a stock pusher-js client that writes down what it sees. */
import { randomBytes } from 'node:crypto';
import { openPusher, type PusherClient, signedBy } from '../support/clients.ts';
import type { Entry } from '../support/history-entries.ts';

/** The app that pages and publishers use; contained in the fleet's warren.yaml. */
export const app = { key: 'app-key', secret: 'app-secret' };

/** A longer history makes the run invalid: memory must not grow without bound. */
const maxEntries = 1_000_000;

export interface PageOptions {
  readonly name: string;
  readonly port: number;
  readonly channels: readonly string[];
  /** Whether it asks for a session with continuity. */
  readonly continuity: boolean;
}

interface Message {
  readonly event: string;
  readonly channel?: string;
  readonly data?: unknown;
}

export class Page {
  readonly name: string;
  readonly channels: ReadonlySet<string>;
  readonly entries: Entry[] = [];
  /** Ids of the events that it has seen. */
  readonly seen = new Set<string>();
  /** Error frames and refused subscriptions, at most 20. */
  readonly complaints: string[] = [];
  /** How often a cache channel said that it holds nothing. */
  cacheMisses = 0;
  readonly #client: PusherClient;
  /** Channels that have succeeded on this connection. */
  readonly #live = new Set<string>();

  constructor({ name, port, channels, continuity }: PageOptions) {
    this.name = name;
    this.channels = new Set(channels);
    this.#client = openPusher(port, {
      ...(continuity ? { wsPath: `/~s/${randomBytes(16).toString('hex')}` } : {}),
      ...signedBy(app),
      activityTimeout: 3_000,
      pongTimeout: 2_000,
    });
    this.#client.connection.bind('connected', () => {
      this.#live.clear();
      this.#note({ kind: 'connected', at: performance.now() });
    });
    this.#client.connection.bind('message', (message: Message) => this.#message(message));
    for (const channel of channels) this.#client.subscribe(channel);
  }

  /** Connected, and every subscription has succeeded. */
  get isLive(): boolean {
    return this.#client.connection.state === 'connected' && this.#live.size === this.channels.size;
  }

  get state(): string {
    return `${this.#client.connection.state}, ${this.#live.size} of ${this.channels.size} channels`;
  }

  get isFull(): boolean {
    return this.entries.length >= maxEntries;
  }

  /** Leaves a channel and joins it again at once. */
  rejoin(channel: string): void {
    this.#client.unsubscribe(channel);
    this.#live.delete(channel);
    this.#note({ kind: 'unsubscribed', at: performance.now(), channel });
    this.#client.subscribe(channel);
  }

  /** Goes away for good, as a browser does when the page is closed: with 1001, which pusher-js leaves to the browser. */
  close(): void {
    const { connection } = this.#client.connection as unknown as {
      readonly connection?: {
        readonly transport?: {
          readonly socket?: {
            readonly _driver: { close(reason: string, code: number): void };
          };
        };
      };
    };
    connection?.transport?.socket?._driver.close('', 1001);
    this.#client.disconnect();
  }

  #message({ event, channel = '', data }: Message): void {
    const at = performance.now();
    switch (event) {
      case 'item': {
        const { id, p: publisher, n } = data as { id: string; p: string; n: number };
        this.seen.add(id);
        this.#note({ kind: 'event', at, channel, id, publisher, n });
        return;
      }
      case 'pusher_internal:subscription_succeeded':
        this.#live.add(channel);
        this.#note({ kind: 'subscribed', at, channel });
        return;
      case 'warren:session':
        this.#note({ kind: 'session', at, resumed: (data as { resumed: boolean }).resumed });
        return;
      case 'warren:continuity_lost':
        this.#note({ kind: 'lost', at, channel, reason: (data as { reason: string }).reason });
        return;
      case 'pusher:cache_miss':
        this.cacheMisses += 1;
        return;
      case 'pusher:error':
      case 'pusher:subscription_error':
        if (this.complaints.length < 20) this.complaints.push(JSON.stringify({ channel, data }));
    }
  }

  #note(entry: Entry): void {
    if (!this.isFull) this.entries.push(entry);
  }
}
