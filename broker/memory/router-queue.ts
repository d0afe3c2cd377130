/** The router's queue: one total order, one active consumer of those in line, and the dead letters. */
import type { Refusal } from '../../contracts/errors.ts';
import { ConsumerLine } from './consumer-line.ts';
import type { ForeignQueues } from './foreign-queues.ts';
import { Queue } from './queue.ts';
import type { StoredEvent } from './stored-event.ts';
import type { Turns } from './turns.ts';

/** A refused event, as it came, and why. */
export interface DeadLetter {
  readonly event: StoredEvent;
  readonly refusal: Refusal;
}

export interface RouterQueueBounds {
  /** Events in the queue; more are refused to their publishers. */
  readonly maxDomainEvents: number;
  /** Dead letters kept; beyond it the oldest are dropped. */
  readonly maxDeadLetters: number;
}

export class RouterQueue {
  readonly line: ConsumerLine<StoredEvent>;
  readonly #queue: Queue<StoredEvent>;
  readonly #foreign: ForeignQueues;
  readonly #bounds: RouterQueueBounds;
  /** Patterns by exchange. */
  #bound: ReadonlyMap<string, readonly string[]> = new Map();
  readonly #deadLetters: DeadLetter[] = [];

  constructor(turns: Turns, foreign: ForeignQueues, bounds: RouterQueueBounds) {
    this.#queue = new Queue(turns, Number.POSITIVE_INFINITY);
    this.line = new ConsumerLine(this.#queue);
    this.#foreign = foreign;
    this.#bounds = bounds;
  }

  /**
   * False where a queue is full. An event that no pattern matches is accepted and dropped, as by any topic exchange. The exchange `''`
   * is the one that every queue is bound to by its name.
   */
  offer(event: StoredEvent): boolean {
    const queues =
      event.exchange === ''
        ? [this.#foreign.queue(event.routingKey)?.queue ?? []].flat()
        : (this.#foreign.exchange(event.exchange)?.route(event.routingKey) ?? []);
    for (const queue of queues) {
      if (queue.ready + queue.unacknowledged >= this.#bounds.maxDomainEvents) return false;
      queue.push(event);
    }
    return true;
  }

  /**
   * Binds the patterns to these exchanges, calls `between`, then unbinds everything else. Bindings outlive their consumers: the queue
   * goes on collecting while no router runs.
   */
  bind(exchanges: readonly string[], patterns: readonly string[], between: () => void): void {
    const before = this.#bound;
    this.#bound = new Map(exchanges.map((name) => [name, patterns]));
    for (const name of exchanges) {
      const exchange = this.#foreign.exchange(name);
      for (const pattern of patterns) exchange?.bind(pattern, this.#queue);
    }
    between();
    for (const name of before.keys()) {
      const exchange = this.#foreign.exchange(name);
      const kept = new Set(this.#bound.get(name));
      for (const pattern of exchange?.patternsOf(this.#queue) ?? []) {
        if (!kept.has(pattern)) exchange?.unbind(pattern, this.#queue);
      }
    }
  }

  deadLetter(event: StoredEvent, refusal: Refusal): void {
    this.#deadLetters.push({ event, refusal });
    if (this.#deadLetters.length > this.#bounds.maxDeadLetters) this.#deadLetters.shift();
  }

  deadLetters(): readonly DeadLetter[] {
    return [...this.#deadLetters];
  }
}
