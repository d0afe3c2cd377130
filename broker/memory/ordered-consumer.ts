/** A consumer that is handed the messages of a queue in order and settles them in order, alone while it is active. */
import type { Attached, Connection } from './connection.ts';
import type { ConsumerLine, LineMember } from './consumer-line.ts';
import type { Queue } from './queue.ts';
import { Waiters } from './waiters.ts';

export interface OrderedConsumerSpec<M> {
  readonly line: ConsumerLine<M>;
  readonly prefetch: number;
  /** Resolves with how to dead-letter the message, or with nothing where it is done. A rejection leaves it in the queue. */
  handle(message: M, redelivered: boolean): Promise<(() => void) | undefined>;
  /** It is the active one from now on, and is about to be handed the first message. */
  activated?(): void;
  /** It is no longer. */
  deactivated?(): void;
  /** It consumes no more, and never will again. */
  ended(): void;
}

/** First pause after a message that could not be handled; doubles up to the longest. */
const shortestPauseMs = 20;
const longestPauseMs = 2_000;

type Settled = (() => void) | undefined | 'failed';

/** A message that was given to the handler and not yet settled. */
interface InHand {
  readonly tag: number;
  outcome?: { readonly settled: Settled };
}

export class OrderedConsumer<M> implements LineMember<M>, Attached {
  readonly #connection: Connection;
  readonly #spec: OrderedConsumerSpec<M>;
  readonly #idle = new Waiters();
  #queue: Queue<M> | undefined;
  /** In queue order. Replaced when the queue takes its messages back: what their handlers say then is void. */
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

  /** The connection must be up. */
  constructor(connection: Connection, spec: OrderedConsumerSpec<M>) {
    this.#connection = connection;
    this.#spec = spec;
    this.#stopListening = connection.onStatus(({ ready }) => {
      if (ready) this.#resume();
    });
    connection.attach(this);
    this.#join();
  }

  get hasEnded(): boolean {
    return this.#ended;
  }

  get active(): boolean {
    return this.#queue !== undefined;
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

  activate(queue: Queue<M>): void {
    this.#queue = queue;
    this.#spec.activated?.();
    queue.consume({
      prefetch: this.#spec.prefetch,
      deliver: (message, tag, redelivered) => this.#deliver(message, tag, redelivered),
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
    this.#spec.ended();
    this.#connection.detach(this);
    this.#idle.release();
  }

  #deliver(message: M, tag: number, redelivered: boolean): void {
    const inHand: InHand = { tag };
    const generation = this.#inHand;
    generation.push(inHand);
    this.#running += 1;
    const settled = (outcome: Settled) => {
      this.#running -= 1;
      inHand.outcome = { settled: outcome };
      if (generation === this.#inHand) this.#settle(outcome);
      if (this.#running === 0) this.#becomeIdle();
    };
    try {
      this.#spec.handle(message, redelivered).then(settled, () => settled('failed'));
    } catch {
      // A handler that throws instead of rejecting has failed all the same.
      queueMicrotask(() => settled('failed'));
    }
  }

  #settle(latest: Settled): void {
    if (latest === 'failed') this.#fail();
    for (let head = this.#inHand[0]; head?.outcome !== undefined; head = this.#inHand[0]) {
      const { settled } = head.outcome;
      if (settled === 'failed') return;
      if (settled !== undefined) {
        // The copy is a publication: where publishers are refused, the message has to stay.
        if (!this.#connection.status().ready) {
          this.#fail();
          return;
        }
        settled();
      }
      this.#queue?.ack(head.tag);
      this.#inHand.shift();
      this.#pauseMs = shortestPauseMs;
    }
  }

  /** Takes nothing further; lets go when the handlers under way have resolved, so that none runs beside its repetition. */
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
    const wasActive = this.active;
    this.#queue = undefined;
    this.#inHand = [];
    this.#failed = false;
    if (wasActive) this.#spec.deactivated?.();
    this.#spec.line.leave(this);
  }

  #join(): void {
    const waiting = this.#cancelPause !== undefined || this.#running > 0;
    if (this.#stopping || this.#ended || waiting || !this.#connection.up) return;
    this.#spec.line.join(this);
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
