/** One router's consumption: the router's queue and those of others, while it is the active one. */
import { checkSources } from '../event-sources.ts';
import type { ConsumeOptions, Consumption, EventSources } from '../port.ts';
import type { Connection } from './connection.ts';
import type { ConsumerLine } from './consumer-line.ts';
import { OrderedConsumer } from './ordered-consumer.ts';
import type { StoredEvent } from './stored-event.ts';
import { closedError } from './waiters.ts';

/** A queue that it consumes no more: what is in hand may take so long to settle. */
const letGoMs = 5_000;

const nothing = () => undefined;

export class RouterConsumption implements Consumption {
  readonly #connection: Connection;
  readonly #options: ConsumeOptions;
  readonly #main: OrderedConsumer<StoredEvent>;
  readonly #queues = new Map<string, OrderedConsumer<StoredEvent>>();
  readonly #stopListening: () => void;
  #sources: EventSources;
  #active = false;
  #told = '';

  /** The connection must be up. */
  constructor(connection: Connection, options: ConsumeOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#sources = options;
    this.#stopListening = connection.host.foreign.onChange(() => this.#apply(nothing));
    this.#main = this.#consume(connection.host.router.line, {
      activated: () => {
        this.#active = true;
        this.#apply(nothing);
      },
      deactivated: () => {
        this.#active = false;
        this.#consumeOnly([]);
      },
      ended: () => this.#stopListening(),
    });
  }

  async rebind(sources: EventSources, between: () => void = nothing): Promise<void> {
    await this.#connection.whenUp();
    if (this.#main.hasEnded) throw closedError();
    this.#sources = sources;
    if (this.#active) this.#apply(between);
    else between();
  }

  async stop(deadlineMs: number): Promise<void> {
    await Promise.all([...this.#queues.values()].map((consumer) => consumer.stop(deadlineMs)));
    await this.#main.stop(deadlineMs);
  }

  #consume(
    line: ConsumerLine<StoredEvent>,
    events: { activated?(): void; deactivated?(): void; ended(): void },
  ): OrderedConsumer<StoredEvent> {
    const { router } = this.#connection.host;
    return new OrderedConsumer<StoredEvent>(this.#connection, {
      line,
      prefetch: this.#options.prefetch,
      handle: async (event, redelivered) => {
        const outcome = await this.#options.handle({ ...event, redelivered });
        if (outcome.kind === 'done') return undefined;
        return () => router.deadLetter(event, outcome.refusal);
      },
      ...events,
    });
  }

  /** As the active one wants it. */
  #apply(between: () => void): void {
    if (!this.#active) return;
    const { router, foreign, names } = this.#connection.host;
    const sources = checkSources(this.#sources, names);
    router.bind(sources.exchanges, sources.patterns, between);
    this.#consumeOnly(sources.queues);
    this.#tell([
      ...sources.problems,
      ...sources.exchanges
        .filter((name) => foreign.exchange(name) === undefined)
        .map((name) => `the exchange ${name} does not exist`),
      ...sources.queues
        .filter((name) => foreign.queue(name) === undefined)
        .map((name) => `the queue ${name} does not exist`),
    ]);
  }

  /** Those that exist. Whoever consumes one next stands in its line until this one has let go. */
  #consumeOnly(names: readonly string[]): void {
    for (const [name, consumer] of this.#queues) {
      if (names.includes(name)) continue;
      this.#queues.delete(name);
      void consumer.stop(letGoMs);
    }
    for (const name of names) {
      const queue = this.#connection.host.foreign.queue(name);
      if (queue === undefined || this.#queues.has(name)) continue;
      this.#queues.set(name, this.#consume(queue.line, { ended: nothing }));
    }
  }

  #tell(problems: readonly string[]): void {
    const text = problems.join('\n');
    if (text === this.#told) return;
    this.#told = text;
    this.#options.problems?.(problems);
  }
}
