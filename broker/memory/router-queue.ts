/** The router's queue: one total order, one active consumer of those in line, and the dead letters. */
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import type { Refusal } from '../../contracts/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import { ConsumerLine } from './consumer-line.ts';
import { TopicExchange } from './exchange.ts';
import { Queue } from './queue.ts';
import type { Turns } from './turns.ts';

export type StoredEvent = Omit<IncomingEvent, 'redelivered'>;

/** A refused event, as it came, and why. */
export interface RefusedEvent {
  readonly event: StoredEvent;
  readonly refusal: Refusal;
  /** In ms since 1970. */
  readonly atMs: number;
}

export interface RouterQueueOptions {
  readonly clock: Clock;
  /** Events in the queue; more are refused to their publishers. */
  readonly maxDomainEvents: number;
  /** Dead letters kept; beyond it the oldest are dropped. */
  readonly maxDeadLetters: number;
}

export class RouterQueue {
  readonly line: ConsumerLine<StoredEvent>;
  readonly #queue: Queue<StoredEvent>;
  readonly #exchange = new TopicExchange<Queue<StoredEvent>>();
  readonly #options: RouterQueueOptions;
  readonly #wanted = new Map<object, readonly string[]>();
  #deadLetters: RefusedEvent[] = [];

  constructor(turns: Turns, options: RouterQueueOptions) {
    this.#queue = new Queue(turns, Number.POSITIVE_INFINITY);
    this.line = new ConsumerLine(this.#queue);
    this.#options = options;
  }

  /** False where the queue is full. An event that no pattern matches is accepted and dropped, as by any topic exchange. */
  offer(event: StoredEvent): boolean {
    for (const queue of this.#exchange.route(event.routingKey)) {
      if (this.#isFull(queue)) return false;
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
    this.#deadLetters.push({ event, refusal, atMs: this.#options.clock.now() });
    if (this.#deadLetters.length > this.#options.maxDeadLetters) this.#deadLetters.shift();
  }

  deadLetters(): readonly RefusedEvent[] {
    return [...this.#deadLetters];
  }

  /** Takes the oldest letters out. */
  takeDeadLetters(count: number): RefusedEvent[] {
    return this.#deadLetters.splice(0, count);
  }

  /** Puts letters back before all others. */
  returnDeadLetters(letters: readonly RefusedEvent[]): void {
    this.#deadLetters = [...letters, ...this.#deadLetters];
  }

  /** Into the queue itself, whatever its bindings. False where it is full. */
  putBack(event: StoredEvent): boolean {
    if (this.#isFull(this.#queue)) return false;
    this.#queue.push(event);
    return true;
  }

  #isFull(queue: Queue<StoredEvent>): boolean {
    return queue.ready + queue.unacknowledged >= this.#options.maxDomainEvents;
  }
}
