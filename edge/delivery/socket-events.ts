/**
 * Events for single sockets (`to: socket:…`). Every edge has one queue that gets those of all sockets of its apps, and looks each up
 * in its table of connections: a socket costs nothing for being reachable, and at most one edge has it.
 */
import { BrokerError } from '../../broker/errors.ts';
import type { Delivery, EdgeQueue, EdgeQueueReceiver, EdgeQueues } from '../../broker/port.ts';
import type { AppId, ChannelKey, EdgeId } from '../../contracts/ids.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import { socketKey, socketOf } from '../../contracts/socket-target.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Connection } from '../socket/connection.ts';
import type { Connections } from '../socket/connections.ts';
import { textFrame } from '../socket/websocket-frame.ts';
import type { EdgeTally } from '../tally.ts';

export interface SocketEventsOptions {
  readonly queues: EdgeQueues;
  readonly edgeId: EdgeId;
  /** As they are configured now. */
  readonly apps: () => readonly AppId[];
  readonly connections: Pick<Connections, 'get'>;
  /** Bytes from which on a socket counts as full. Four times as many may wait for one at a time. */
  readonly socketBufferBytes: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly tally: EdgeTally;
}

/** Messages that the queue holds at the broker while this edge is behind; beyond it the oldest are dropped. */
const maxLength = 50_000;
/** As on the shared queue, where nothing can be held back for a slow client either. */
const burst = 4;
/** After the broker has refused the queue, by permissions or topology: an operator may have mended it meanwhile. */
const reopenMs = 5_000;

export class SocketEvents implements EdgeQueueReceiver {
  readonly #options: SocketEventsOptions;
  readonly #apps = new Map<ChannelKey, AppId>();
  #queue: EdgeQueue | undefined;
  #closed = false;
  #cancelReopen: (() => void) | undefined;

  constructor(options: SocketEventsOptions) {
    this.#options = options;
  }

  /** Opens the queue in the background, as soon as the broker is there. */
  start(): void {
    void this.#open();
  }

  /** Takes up apps that are new, and lets go of those that are gone. */
  reload(): void {
    const queue = this.#queue;
    if (queue === undefined || this.#closed) return;
    const wanted = new Map(this.#options.apps().map((app) => [socketKey(app), app]));
    for (const key of this.#apps.keys()) {
      if (wanted.has(key)) continue;
      this.#apps.delete(key);
      queue.unbind(key).catch(ignoreBrokerError);
    }
    for (const [key, app] of wanted) {
      if (this.#apps.has(key)) continue;
      this.#apps.set(key, app);
      queue.bind(key).catch((error: unknown) => {
        if (error instanceof BrokerError && error.code === 'closed') return;
        this.#options.log.error(
          { err: error, app },
          'events to single sockets do not reach this app',
        );
      });
    }
  }

  /** Deletes the queue. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelReopen?.();
    await this.#queue?.close();
  }

  delivered(delivery: Delivery): void {
    const { connections, tally } = this.#options;
    const socketId = socketOf(delivery.channel);
    if (socketId === undefined) {
      tally.dropped.add('foreign');
      return;
    }
    const connection = connections.get(socketId);
    // It is on another edge, or gone; or it is another app's, and no business of this one.
    if (connection?.isOpen !== true) return;
    if (connection.handshake.app.config.id !== this.#apps.get(delivery.key)) return;
    if (delivery.except === socketId) {
      tally.dropped.add('excluded');
      return;
    }
    connection.sendFrame(textFrame(delivery.body));
    tally.deliveries += 1;
    this.#relieve(connection);
  }

  interrupted(): void {
    // What is published meanwhile is lost to the sockets of this edge.
  }

  restored(): void {
    // The adapter has made the queue and its bindings anew: deliveries go on by themselves.
  }

  /** A burst within one turn is no slow client: what the kernel takes at once does not count. */
  #relieve(connection: Connection): void {
    const maxBytes = burst * this.#options.socketBufferBytes;
    const { outbox } = connection;
    if (outbox.bufferedBytes <= maxBytes) return;
    outbox.flush();
    if (outbox.bufferedBytes > maxBytes) connection.close(closeCodes.overCapacity);
  }

  async #open(): Promise<void> {
    const { queues, edgeId, clock, log } = this.#options;
    try {
      const queue = await queues.open({ edgeId, maxLength }, this);
      if (this.#closed) {
        await queue.close();
        return;
      }
      this.#queue = queue;
      this.reload();
    } catch (error) {
      if (this.#closed || (error instanceof BrokerError && error.code === 'closed')) return;
      log.error({ err: error }, 'the queue for events to single sockets cannot be opened');
      this.#cancelReopen = clock.after(reopenMs, () => this.start());
    }
  }
}

/** A queue that is closed needs no bindings. */
function ignoreBrokerError(error: unknown): void {
  if (error instanceof BrokerError) return;
  throw error;
}
