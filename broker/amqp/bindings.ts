/** The bindings of one queue. What is wanted is state, not calls, so nothing is forgotten when the broker is away in between. */
import type { Channel } from 'amqplib';
import type { BrokerError } from '../errors.ts';
import { type LinkSession, messageOf, replyCode, replyCodeOf, toBrokerError } from './link.ts';

/** Where the queue is now. */
export interface BindingPlace {
  readonly queue: string;
  readonly session: LinkSession;
  readonly control: Channel;
}

interface Binding {
  wanted: boolean;
  state: 'absent' | 'binding' | 'bound' | 'unbinding';
  /** Wait until it is bound. */
  waiters: { resolve(): void; reject(error: BrokerError): void }[];
  /** Wait until it is unbound, or until nobody wants that any more. */
  leavers: (() => void)[];
}

export class Bindings {
  readonly #exchange: string;
  readonly #survives: boolean;
  readonly #bindings = new Map<string, Binding>();
  #place: BindingPlace | undefined;

  /** @param options.survives the queue and its bindings outlive the connection: others may have bound it before */
  constructor(options: {
    readonly exchange: string;
    readonly survives: boolean;
    readonly keys?: readonly string[];
  }) {
    this.#exchange = options.exchange;
    this.#survives = options.survives;
    for (const key of options.keys ?? []) this.#bindings.set(key, newBinding(true));
  }

  /** Keys that are bound or on the way to or from it. */
  get keys(): readonly string[] {
    return [...this.#bindings.keys()];
  }

  get size(): number {
    return this.#bindings.size;
  }

  wants(key: string): boolean {
    return this.#bindings.get(key)?.wanted === true;
  }

  /** Resolves when the broker routes the key to the queue. */
  bind(key: string): Promise<void> {
    let binding = this.#bindings.get(key);
    if (binding === undefined) {
      binding = newBinding(false);
      this.#bindings.set(key, binding);
    }
    const entry = binding;
    entry.wanted = true;
    for (const resolve of entry.leavers.splice(0)) resolve();
    if (entry.state === 'bound') return Promise.resolve();
    const waiting = new Promise<void>((resolve, reject) => {
      entry.waiters.push({ resolve, reject });
    });
    void this.#reconcile(key, entry);
    return waiting;
  }

  /** Resolves when the broker routes the key to the queue no longer, or at once while it is away. */
  unbind(key: string): Promise<void> {
    let binding = this.#bindings.get(key);
    if (binding === undefined) {
      if (!this.#survives) return Promise.resolve();
      // A former owner may have bound it.
      binding = { ...newBinding(false), state: 'bound' };
      this.#bindings.set(key, binding);
    }
    const entry = binding;
    entry.wanted = false;
    for (const waiter of entry.waiters.splice(0)) waiter.resolve();
    // Away from the broker, what outlives the connection may still be bound there.
    if (this.#survives && this.#place === undefined) entry.state = 'bound';
    const left = new Promise<void>((resolve) => {
      if (this.#place === undefined || entry.state === 'absent') resolve();
      else entry.leavers.push(resolve);
    });
    void this.#reconcile(key, entry);
    return left;
  }

  /** Wants nothing any more; those who wait for a binding hear why. Resolves like `unbind`. */
  async unbindAll(error: BrokerError): Promise<void> {
    this.#rejectWaiters(error);
    await Promise.all(this.keys.map((key) => this.unbind(key)));
  }

  /** The queue is there: asks for what is wanted, and resolves when all that is answered. Rejects where the channel broke. */
  async settle(place: BindingPlace): Promise<void> {
    this.#place = place;
    if (this.#bindings.size === 0) return;
    this.#reconcileAll();
    // Requests on a channel are answered in order: when this one is, those before it were.
    await place.control.checkQueue(place.queue);
  }

  /** A new control channel: what the former one did not answer is asked again. */
  replaced(place: BindingPlace): void {
    this.#unanswered();
    if (this.#place === undefined) return;
    this.#place = place;
    this.#reconcileAll();
  }

  /** The queue is out of reach. What outlives the connection may still be bound when it is back. */
  away(): void {
    this.#place = undefined;
    for (const [key, binding] of [...this.#bindings]) {
      // A binding that is no longer wanted has to be taken down later.
      binding.state = this.#survives && !binding.wanted ? 'bound' : 'absent';
      for (const resolve of binding.leavers.splice(0)) resolve();
      this.#forget(key, binding);
    }
  }

  /** The queue was deleted, and its bindings with it. */
  deleted(): void {
    this.away();
    for (const [key, binding] of [...this.#bindings]) {
      binding.state = 'absent';
      this.#forget(key, binding);
    }
  }

  /** As `deleted`, and nothing is wanted any more. */
  forgetAll(): void {
    for (const binding of this.#bindings.values()) {
      binding.wanted = false;
      for (const waiter of binding.waiters.splice(0)) waiter.resolve();
    }
    this.deleted();
  }

  /** For good. */
  close(error: BrokerError): void {
    this.#rejectWaiters(error);
    for (const binding of this.#bindings.values()) {
      for (const resolve of binding.leavers.splice(0)) resolve();
    }
    this.#place = undefined;
  }

  #rejectWaiters(error: BrokerError): void {
    for (const binding of this.#bindings.values()) {
      for (const waiter of binding.waiters.splice(0)) waiter.reject(error);
    }
  }

  #unanswered(): void {
    for (const binding of this.#bindings.values()) {
      if (binding.state === 'binding') binding.state = 'absent';
      if (binding.state === 'unbinding') binding.state = 'bound';
    }
  }

  #reconcileAll(): void {
    for (const [key, binding] of [...this.#bindings]) void this.#reconcile(key, binding);
  }

  /** Moves one binding towards what is wanted; one request per key is under way at a time. */
  #reconcile(key: string, binding: Binding): Promise<void> {
    const place = this.#place;
    if (binding.wanted && binding.state === 'bound') {
      for (const waiter of binding.waiters.splice(0)) waiter.resolve();
    } else if (place !== undefined) {
      const { control, queue } = place;
      if (binding.wanted && binding.state === 'absent') {
        binding.state = 'binding';
        return this.#request(place, key, binding, 'bound', () =>
          control.bindQueue(queue, this.#exchange, key),
        );
      }
      if (!binding.wanted && binding.state === 'bound') {
        binding.state = 'unbinding';
        return this.#request(place, key, binding, 'absent', () =>
          control.unbindQueue(queue, this.#exchange, key),
        );
      }
    }
    this.#forget(key, binding);
    return Promise.resolve();
  }

  /** An answer that a channel took with it to the grave is left to the next channel. */
  async #request(
    place: BindingPlace,
    key: string,
    binding: Binding,
    reached: 'bound' | 'absent',
    send: () => Promise<unknown>,
  ): Promise<void> {
    let refused: unknown;
    try {
      await send();
    } catch (error) {
      if (!isReplyTo(error)) return;
      if (replyCodeOf(error) !== replyCode.accessRefused) {
        // The exchange or queue is missing: only a new connection replays the whole topology.
        if (this.#place?.queue === place.queue) place.session.abandon(messageOf(error));
        return;
      }
      refused = error;
    }
    if (this.#place?.session !== place.session || this.#place.queue !== place.queue) return;
    if (refused !== undefined && reached === 'bound') {
      this.#refuse(key, binding, refused);
      return;
    }
    binding.state = reached;
    if (reached === 'absent') for (const resolve of binding.leavers.splice(0)) resolve();
    await this.#reconcile(key, binding);
  }

  /** Asking again would close the control channel again, for everybody on the lane. */
  #refuse(key: string, binding: Binding, cause: unknown): void {
    binding.state = 'absent';
    binding.wanted = false;
    this.#forget(key, binding);
    const error = toBrokerError(cause, `binding ${key} to ${this.#exchange}`);
    for (const waiter of binding.waiters.splice(0)) waiter.reject(error);
  }

  #forget(key: string, binding: Binding): void {
    if (!binding.wanted && binding.state === 'absent' && this.#bindings.get(key) === binding) {
      this.#bindings.delete(key);
    }
  }
}

/** amqplib names the operation only in the error of the request that caused the closure. */
export function isReplyTo(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('Operation failed');
}

function newBinding(wanted: boolean): Binding {
  return { wanted, state: 'absent', waiters: [], leavers: [] };
}
