/** The router's queue: one total order, one active consumer of those in line, and the dead letters. */
import type { Refusal } from '../../contracts/errors.ts';
import type { Clock } from '../../runtime/clock.ts';
import { ConsumerLine } from './consumer-line.ts';
import type { ForeignQueues } from './foreign-queues.ts';
import { Queue } from './queue.ts';
import type { StoredEvent } from './stored-event.ts';
import type { Turns } from './turns.ts';

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
  readonly #foreign: ForeignQueues;
  readonly #options: RouterQueueOptions;
  /** Patterns by exchange. */
  #bound: ReadonlyMap<string, readonly string[]> = new Map();
  #deadLetters: RefusedEvent[] = [];

  constructor(turns: Turns, foreign: ForeignQueues, options: RouterQueueOptions) {
    this.#queue = new Queue(turns, Number.POSITIVE_INFINITY);
    this.line = new ConsumerLine(this.#queue);
    this.#foreign = foreign;
    this.#options = options;
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
      if (this.#isFull(queue)) return false;
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
