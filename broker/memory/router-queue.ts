/** The router's queue: one total order, one active consumer of those in line, and the dead letters. */
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import type { Refusal } from '../../contracts/errors.ts';
import { ConsumerLine } from './consumer-line.ts';
import { TopicExchange } from './exchange.ts';
import { Queue } from './queue.ts';
import type { Turns } from './turns.ts';

export type StoredEvent = Omit<IncomingEvent, 'redelivered'>;

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
  readonly #exchange = new TopicExchange<Queue<StoredEvent>>();
  readonly #bounds: RouterQueueBounds;
  readonly #wanted = new Map<object, readonly string[]>();
  readonly #deadLetters: DeadLetter[] = [];

  constructor(turns: Turns, bounds: RouterQueueBounds) {
    this.#queue = new Queue(turns, Number.POSITIVE_INFINITY);
    this.line = new ConsumerLine(this.#queue);
    this.#bounds = bounds;
  }

  /** False where the queue is full. An event that no pattern matches is accepted and dropped, as by any topic exchange. */
  offer(event: StoredEvent): boolean {
    for (const queue of this.#exchange.route(event.routingKey)) {
      if (queue.ready + queue.unacknowledged >= this.#bounds.maxDomainEvents) return false;
      queue.push(event);
    }
    return true;
  }

  /**
   * Binds the patterns that this consumer wants, then unbinds those that no consumer wants any more. Bindings outlive their
   * consumers: the queue goes on collecting while no router runs.
   */
  bind(consumer: object, patterns: readonly string[]): void {
    this.#wanted.set(consumer, patterns);
    for (const pattern of patterns) this.#exchange.bind(pattern, this.#queue);
    const wanted = new Set([...this.#wanted.values()].flat());
    for (const pattern of this.#exchange.patternsOf(this.#queue)) {
      if (!wanted.has(pattern)) this.#exchange.unbind(pattern, this.#queue);
    }
  }

  /** The consumer has no say in the bindings any more. */
  release(consumer: object): void {
    this.#wanted.delete(consumer);
  }

  deadLetter(event: StoredEvent, refusal: Refusal): void {
    this.#deadLetters.push({ event, refusal });
    if (this.#deadLetters.length > this.#bounds.maxDeadLetters) this.#deadLetters.shift();
  }

  deadLetters(): readonly DeadLetter[] {
    return [...this.#deadLetters];
  }
}
