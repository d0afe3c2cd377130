/** A bounded queue with one consumer at a time: prefetch, acknowledgement by tag, requeue at the head, drop-head overflow. */
import type { Turns } from './turns.ts';

/** Deliveries of one queue in one turn of the event loop; the rest follows in the next. */
const deliveriesPerTurn = 1_000;

interface Entry<M> {
  readonly message: M;
  readonly redelivered: boolean;
}

export interface QueueConsumer<M> {
  /** Unacknowledged deliveries at a time; absent where deliveries need no acknowledgement. */
  readonly prefetch?: number;
  deliver(message: M, tag: number, redelivered: boolean): void;
}

export class Queue<M> {
  readonly #turns: Turns;
  readonly #maxLength: number;
  readonly #dropped: (message: M) => void;
  #ready: (Entry<M> | undefined)[] = [];
  /** Where `#ready` begins: shifting an array moves all that is behind. */
  #head = 0;
  /** In order of tags, which is queue order. */
  #unacknowledged = new Map<number, Entry<M>>();
  #consumer: QueueConsumer<M> | undefined;
  #lastTag = 0;
  #draining = false;

  /**
   * @param maxLength ready messages; beyond it the oldest are dropped. What a consumer has in hand does not count.
   * @param dropped called for each message that was dropped so
   */
  constructor(turns: Turns, maxLength: number, dropped: (message: M) => void = () => undefined) {
    this.#turns = turns;
    this.#maxLength = maxLength;
    this.#dropped = dropped;
  }

  push(message: M): void {
    this.#ready.push({ message, redelivered: false });
    this.#dropHead();
    this.#drainLater();
  }

  /** Starts to deliver to this consumer, in place of any other. */
  consume(consumer: QueueConsumer<M>): void {
    this.#consumer = consumer;
    this.#drainLater();
  }

  /** Delivers no more; what is unacknowledged stays with the consumer. */
  cancel(): void {
    this.#consumer = undefined;
  }

  /** Puts what is unacknowledged back to the head, in order. May drop there what exceeds the bound, as RabbitMQ does. */
  requeue(): void {
    if (this.#unacknowledged.size === 0) return;
    const back = [...this.#unacknowledged.values()].map(({ message }) => ({
      message,
      redelivered: true,
    }));
    this.#unacknowledged.clear();
    this.#ready = [...back, ...this.#ready.slice(this.#head)];
    this.#head = 0;
    this.#dropHead();
    this.#drainLater();
  }

  ack(tag: number): void {
    if (this.#unacknowledged.delete(tag)) this.#drainLater();
  }

  /** The oldest message that waits. */
  get head(): M | undefined {
    return this.#ready[this.#head]?.message;
  }

  /** Takes the oldest message that waits out of the queue. */
  removeHead(): void {
    this.#shift();
  }

  get ready(): number {
    return this.#ready.length - this.#head;
  }

  get unacknowledged(): number {
    return this.#unacknowledged.size;
  }

  get consumed(): boolean {
    return this.#consumer !== undefined;
  }

  /** Messages that the consumer could take at once; they wait for the next turn only, so the bound leaves them out. */
  #credit(): number {
    const prefetch = this.#consumer?.prefetch;
    return prefetch === undefined ? 0 : Math.max(0, prefetch - this.#unacknowledged.size);
  }

  #dropHead(): void {
    while (this.ready > this.#maxLength + this.#credit()) {
      const entry = this.#shift();
      if (entry !== undefined) this.#dropped(entry.message);
    }
  }

  #shift(): Entry<M> | undefined {
    const entry = this.#ready[this.#head];
    if (entry === undefined) return undefined;
    this.#ready[this.#head] = undefined;
    this.#head += 1;
    if (this.#head > 1_024 && this.#head * 2 > this.#ready.length) {
      this.#ready = this.#ready.slice(this.#head);
      this.#head = 0;
    }
    return entry;
  }

  #drainLater(): void {
    const consumer = this.#consumer;
    if (this.#draining || consumer === undefined || this.ready === 0) return;
    if (consumer.prefetch !== undefined && this.#credit() === 0) return;
    this.#draining = true;
    this.#turns.later(() => this.#drain());
  }

  #drain(): void {
    this.#draining = false;
    const consumer = this.#consumer;
    try {
      // Asked anew each time: the consumer may acknowledge, or let go, within the call.
      for (let count = 0; count < deliveriesPerTurn; count += 1) {
        if (consumer === undefined || this.#consumer !== consumer) break;
        if (consumer.prefetch !== undefined && this.#credit() === 0) break;
        const entry = this.#shift();
        if (entry === undefined) break;
        this.#lastTag += 1;
        if (consumer.prefetch !== undefined) this.#unacknowledged.set(this.#lastTag, entry);
        consumer.deliver(entry.message, this.#lastTag, entry.redelivered);
      }
    } finally {
      this.#drainLater();
    }
  }
}
