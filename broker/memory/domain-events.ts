/** Domain events in: publishes them, and consumes the router's queue in order. */
import { maxRoutingKeyBytes } from '../../contracts/routing-key.ts';
import { BrokerError } from '../errors.ts';
import type { ConsumeOptions, Consumption, DomainEvents, Outcome, OutgoingEvent } from '../port.ts';
import type { Attached, Connection } from './connection.ts';
import type { Queue } from './queue.ts';
import type { RouterConsumer, StoredEvent } from './router-queue.ts';
import { closedError, Waiters } from './waiters.ts';

/** An event as any AMQP client could publish it. */
export interface ForeignEvent extends OutgoingEvent {
  readonly contentEncoding?: string;
  readonly userId?: string;
}

export interface MemoryDomainEvents extends DomainEvents {
  publish(event: ForeignEvent): Promise<void>;
}

/** First pause after an event that could not be handled; doubles up to the longest. */
const shortestPauseMs = 20;
const longestPauseMs = 2_000;

export function createDomainEvents(connection: Connection): MemoryDomainEvents {
  return {
    async consume(options) {
      const consumer = new Consumer(connection, options);
      await consumer.start();
      return consumer;
    },
    async publish(event) {
      const stored = storedEvent(event, connection.host.names.domainEvents);
      const accepted = await connection.publish(() => connection.host.router.offer(stored));
      if (!accepted) throw new BrokerError('broker_refused', 'the router’s queue is full');
    },
  };
}

function storedEvent(event: ForeignEvent, exchange: string): StoredEvent {
  const { routingKey, headers = {}, ...rest } = event;
  if (Buffer.byteLength(routingKey, 'utf8') > maxRoutingKeyBytes) {
    const text = `the routing key exceeds ${maxRoutingKeyBytes} bytes`;
    throw new BrokerError('broker_topology', text);
  }
  const own: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(headers)) own[name] = value;
  return { ...rest, exchange, routingKey, headers: own };
}

/** An event that was given to the handler and not yet settled. */
interface InHand {
  readonly tag: number;
  readonly event: StoredEvent;
  outcome?: Outcome | 'failed';
}

class Consumer implements Consumption, RouterConsumer, Attached {
  readonly #connection: Connection;
  readonly #options: ConsumeOptions;
  readonly #idle = new Waiters();
  #queue: Queue<StoredEvent> | undefined;
  /** In queue order. Replaced when the queue takes its events back: what their handlers say then is void. */
  #inHand: InHand[] = [];
  /** Handlers that have not resolved, of former lives too: `prefetch` bounds them all. */
  #running = 0;
  #failed = false;
  #pauseMs = shortestPauseMs;
  /** Ends the pause before the next attempt. */
  #cancelPause: (() => void) | undefined;
  readonly #stopListening: () => void;
  #stopping: Promise<void> | undefined;
  #ended = false;

  constructor(connection: Connection, options: ConsumeOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#stopListening = connection.onStatus(({ ready }) => {
      if (ready) this.#resume();
    });
  }

  async start(): Promise<void> {
    await this.#connection.whenUp();
    this.#connection.attach(this);
    this.#connection.host.router.bind(this, this.#options.patterns);
    this.#join();
  }

  async rebind(patterns: readonly string[]): Promise<void> {
    await this.#connection.whenUp();
    if (this.#ended) throw closedError();
    this.#connection.host.router.bind(this, patterns);
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs);
    return this.#stopping;
  }

  async #stop(deadlineMs: number): Promise<void> {
    this.#queue?.cancel();
    this.#cancelPause?.();
    if (this.#running > 0 && !this.#ended) {
      const cancel = this.#connection.host.clock.after(deadlineMs, () => this.#idle.release());
      await this.#idle.wait();
      cancel();
    }
    this.closed();
  }

  activate(queue: Queue<StoredEvent>): void {
    this.#queue = queue;
    queue.consume({
      prefetch: this.#options.prefetch,
      deliver: (event, tag, redelivered) => this.#deliver({ ...event, redelivered }, tag, event),
    });
  }

  interrupted(): void {
    this.#cancelPause?.();
    this.#letGo();
  }

  restored(): void {
    this.#resume();
  }

  closed(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopListening();
    this.#cancelPause?.();
    this.#letGo();
    this.#connection.host.router.release(this);
    this.#connection.detach(this);
    this.#idle.release();
  }

  #deliver(event: StoredEvent & { redelivered: boolean }, tag: number, stored: StoredEvent): void {
    const inHand: InHand = { tag, event: stored };
    const generation = this.#inHand;
    generation.push(inHand);
    this.#running += 1;
    const settled = (outcome: Outcome | 'failed') => {
      this.#running -= 1;
      inHand.outcome = outcome;
      if (generation === this.#inHand) this.#settle(outcome);
      if (this.#running === 0) this.#becomeIdle();
    };
    try {
      this.#options.handle(event).then(settled, () => settled('failed'));
    } catch {
      // A handler that throws instead of rejecting has failed all the same.
      queueMicrotask(() => settled('failed'));
    }
  }

  #settle(latest: Outcome | 'failed'): void {
    if (latest === 'failed') this.#fail();
    for (let head = this.#inHand[0]; head?.outcome !== undefined; head = this.#inHand[0]) {
      if (head.outcome === 'failed') return;
      if (head.outcome.kind === 'dead-letter') {
        // The copy is a publication: where publishers are refused, the event has to stay.
        if (!this.#connection.status().ready) {
          this.#fail();
          return;
        }
        this.#connection.host.router.deadLetter(head.event, head.outcome.refusal);
      }
      this.#queue?.ack(head.tag);
      this.#inHand.shift();
      this.#pauseMs = shortestPauseMs;
    }
  }

  /** Takes no further event; lets go when the handlers under way have resolved, so that none runs beside its repetition. */
  #fail(): void {
    this.#failed = true;
    this.#queue?.cancel();
  }

  #becomeIdle(): void {
    this.#idle.release();
    if (this.#failed) {
      this.#letGo();
      this.#joinLater();
    } else {
      this.#join();
    }
  }

  #letGo(): void {
    this.#queue = undefined;
    this.#inHand = [];
    this.#failed = false;
    this.#connection.host.router.leave(this);
  }

  #join(): void {
    const waiting = this.#cancelPause !== undefined || this.#running > 0;
    if (this.#stopping || this.#ended || waiting || !this.#connection.up) return;
    this.#connection.host.router.join(this);
  }

  /** After a failure: once a pause is over and the broker is ready. */
  #joinLater(): void {
    if (this.#stopping || this.#ended) return;
    const cancel = this.#connection.host.clock.after(this.#pauseMs, () => {
      this.#cancelPause = undefined;
      if (this.#connection.status().ready) this.#join();
    });
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
    this.#cancelPause = () => {
      cancel();
      this.#cancelPause = undefined;
    };
  }

  #resume(): void {
    this.#cancelPause?.();
    this.#pauseMs = shortestPauseMs;
    this.#join();
  }
}
