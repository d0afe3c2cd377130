/** A queue that belongs to one connection: lost with it, and made anew with the same bindings when it is back. */
import type { Attached, Connection } from './connection.ts';
import type { TopicExchange } from './exchange.ts';
import type { Queue, QueueConsumer } from './queue.ts';
import { closedError, Waiters } from './waiters.ts';

export interface OwnQueueSpec<M> {
  readonly exchange: TopicExchange<Queue<M>>;
  readonly maxLength: number;
  readonly consumer: QueueConsumer<M>;
  readonly interrupted: () => void;
  /** The queue is there again; deliveries follow in a later turn. */
  readonly restored: () => void;
}

export class OwnQueue<M> implements Attached {
  readonly #connection: Connection;
  readonly #spec: OwnQueueSpec<M>;
  readonly #keys = new Set<string>();
  readonly #untilHeld = new Waiters();
  #queue: Queue<M> | undefined;
  #ended = false;

  constructor(connection: Connection, spec: OwnQueueSpec<M>) {
    this.#connection = connection;
    this.#spec = spec;
  }

  /** Waits for the connection; rejects with `closed`, and then leaves nothing behind. */
  async open(signal?: AbortSignal): Promise<void> {
    await this.#connection.whenUp(signal);
    if (signal?.aborted === true) throw closedError();
    this.#connection.attach(this);
    this.#declare();
  }

  async bind(key: string): Promise<void> {
    this.requireOpen();
    this.#keys.add(key);
    if (this.#queue === undefined) await this.#untilHeld.wait();
    else this.#spec.exchange.bind(key, this.#queue);
  }

  unbind(key: string): void {
    this.#keys.delete(key);
    if (this.#queue !== undefined) this.#spec.exchange.unbind(key, this.#queue);
  }

  ack(tag: number): void {
    this.#queue?.ack(tag);
  }

  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#delete();
    this.#keys.clear();
    this.#connection.detach(this);
    this.#untilHeld.fail(closedError());
  }

  requireOpen(): void {
    if (this.#ended) throw closedError();
  }

  interrupted(): void {
    if (this.#ended) return;
    this.#delete();
    this.#spec.interrupted();
  }

  restored(): void {
    if (this.#ended) return;
    this.#declare();
    this.#untilHeld.release();
    this.#spec.restored();
  }

  closed(): void {
    this.close();
  }

  #declare(): void {
    const queue = this.#connection.host.declareExclusive<M>(this.#spec.maxLength);
    this.#queue = queue;
    for (const key of this.#keys) this.#spec.exchange.bind(key, queue);
    queue.consume(this.#spec.consumer);
  }

  #delete(): void {
    if (this.#queue === undefined) return;
    this.#connection.host.deleteExclusive(this.#queue, this.#spec.exchange);
    this.#queue = undefined;
  }
}
