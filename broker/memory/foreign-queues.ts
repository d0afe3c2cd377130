/** Exchanges and queues that belong to others: whoever embeds the broker declares them, and events reach the router from there. */
import { ConsumerLine } from './consumer-line.ts';
import { TopicExchange } from './exchange.ts';
import { Queue } from './queue.ts';
import type { StoredEvent } from './stored-event.ts';
import type { Turns } from './turns.ts';

export interface ForeignQueue {
  readonly queue: Queue<StoredEvent>;
  readonly line: ConsumerLine<StoredEvent>;
}

export class ForeignQueues {
  readonly #turns: Turns;
  readonly #exchanges = new Map<string, TopicExchange<Queue<StoredEvent>>>();
  readonly #queues = new Map<string, ForeignQueue>();
  readonly #listeners = new Set<() => void>();

  /** @param exchanges those that every broker has */
  constructor(turns: Turns, exchanges: readonly string[]) {
    this.#turns = turns;
    for (const name of exchanges) this.#exchanges.set(name, new TopicExchange());
  }

  declareExchange(name: string): void {
    if (this.#exchanges.has(name)) return;
    this.#exchanges.set(name, new TopicExchange());
    this.#changed();
  }

  declareQueue(name: string): void {
    if (this.#queues.has(name)) return;
    const queue = new Queue<StoredEvent>(this.#turns, Number.POSITIVE_INFINITY);
    this.#queues.set(name, { queue, line: new ConsumerLine(queue) });
    this.#changed();
  }

  exchange(name: string): TopicExchange<Queue<StoredEvent>> | undefined {
    return this.#exchanges.get(name);
  }

  queue(name: string): ForeignQueue | undefined {
    return this.#queues.get(name);
  }

  /** Called after each declaration. Returns the way to stop listening. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}
