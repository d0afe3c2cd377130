/** Which messages this router forwards: fed with messages and marks in the order of the subscription, it lets through exactly its own. */
import type { Mark } from './lease.ts';

export interface GateBounds {
  /** Messages that wait while nobody holds the lease. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
}

export interface GateOutlet<M> {
  forward(message: M): void;
  /** It waited, and there was no more room. */
  overflowed(message: M): void;
}

/**
 * `open`: this router holds the lease. `shut`: another one does, or nobody knows. `waiting`: the holder has let go at a mark that all
 * have seen, so whoever takes over has to forward everything since then.
 */
export type GateState = 'open' | 'shut' | 'waiting';

export class Gate<M extends { readonly bytes: number }> {
  readonly #outlet: GateOutlet<M>;
  readonly #bounds: GateBounds;
  #token: string | undefined;
  #state: GateState = 'shut';
  #waiting: M[] = [];
  #waitingBytes = 0;

  constructor(outlet: GateOutlet<M>, bounds: GateBounds) {
    this.#outlet = outlet;
    this.#bounds = bounds;
  }

  get state(): GateState {
    return this.#state;
  }

  /** A subscription has begun, or ended (undefined): what was known of the order holds no more. */
  reset(token: string | undefined): void {
    this.#token = token;
    this.#become('shut');
  }

  message(message: M): void {
    if (this.#state === 'open') this.#outlet.forward(message);
    else if (this.#state === 'waiting') this.#keep(message);
  }

  mark({ kind, token }: Mark): void {
    if (this.#token === undefined) return;
    if (kind === 'free') {
      if (this.#state !== 'waiting') this.#become('waiting');
      return;
    }
    if (token !== this.#token) {
      this.#become('shut');
      return;
    }
    const waited = this.#waiting;
    this.#become('open');
    for (const message of waited) this.#outlet.forward(message);
  }

  #become(state: GateState): void {
    this.#state = state;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #keep(message: M): void {
    const bytes = this.#waitingBytes + message.bytes;
    if (this.#waiting.length >= this.#bounds.maxWaiting || bytes > this.#bounds.maxWaitingBytes) {
      this.#outlet.overflowed(message);
      return;
    }
    this.#waiting.push(message);
    this.#waitingBytes = bytes;
  }
}
