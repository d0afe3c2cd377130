/** One client's connection to the embedded broker: up or away, with all that was opened over it. */
import { BrokerError } from '../errors.ts';
import type { BrokerStatus } from '../port.ts';
import type { Host } from './host.ts';
import { closedError, Waiters } from './waiters.ts';

/** Something that was opened over a connection and shares its fate. */
export interface Attached {
  interrupted(): void;
  restored(): void;
  /** The connection was closed for good. */
  closed(): void;
}

interface Confirm {
  readonly resolve: () => void;
  readonly reject: (error: BrokerError) => void;
}

export class Connection {
  readonly host: Host;
  readonly #attached = new Set<Attached>();
  readonly #listeners = new Set<(status: BrokerStatus) => void>();
  readonly #untilUp = new Waiters();
  readonly #untilReady = new Waiters();
  #confirms: Confirm[] = [];
  #reachable = true;
  #closed = false;
  #wasUp: boolean;
  #wasReady: boolean;

  constructor(host: Host) {
    this.host = host;
    this.#wasUp = this.up;
    this.#wasReady = this.status().ready;
    host.connections.add(this);
  }

  get up(): boolean {
    return !this.#closed && this.#reachable && !this.host.outage;
  }

  status(): BrokerStatus {
    if (this.#closed) return { ready: false, reason: 'the connection was closed' };
    if (!this.up) return { ready: false, reason: 'no connection to the embedded broker' };
    if (this.host.alarm) {
      return { ready: false, reason: 'the embedded broker refuses publishers: memory alarm' };
    }
    return { ready: true };
  }

  onStatus(listener: (status: BrokerStatus) => void): () => void {
    // A wrapper, so that one function registered twice is two listeners.
    const own = (status: BrokerStatus) => listener(status);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  attach(resource: Attached): void {
    this.#attached.add(resource);
  }

  detach(resource: Attached): void {
    this.#attached.delete(resource);
  }

  /** Resolves when the connection is up; rejects with `closed` when it was closed or `signal` aborts. */
  async whenUp(signal?: AbortSignal): Promise<void> {
    this.requireOpen();
    while (!this.up) await this.#untilUp.wait(signal);
  }

  /** Like `whenUp`, and publishers are not refused. */
  async whenReady(): Promise<void> {
    this.requireOpen();
    while (!this.status().ready) await this.#untilReady.wait();
  }

  requireOpen(): void {
    if (this.#closed) throw closedError();
  }

  /** Runs `send` now and resolves with its result in the next turn, as a confirm takes a round trip. */
  publish<T>(send: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(closedError());
    const { ready, reason } = this.status();
    if (!ready) return Promise.reject(new BrokerError('broker_unavailable', reason ?? 'not ready'));
    if (this.#confirms.length >= this.host.maxUnconfirmed) {
      const text = `${this.#confirms.length} publications are unconfirmed`;
      return Promise.reject(new BrokerError('broker_busy', text));
    }
    return new Promise((resolve, reject) => {
      const result = send();
      if (this.#confirms.length === 0) this.host.turns.later(() => this.#confirm());
      this.#confirms.push({ resolve: () => resolve(result), reject });
    });
  }

  setReachable(reachable: boolean): void {
    this.#reachable = reachable;
    this.refresh();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.host.connections.delete(this);
    this.#rejectConfirms();
    for (const resource of [...this.#attached]) resource.closed();
    this.#attached.clear();
    this.#untilUp.fail(closedError());
    this.#untilReady.fail(closedError());
    this.refresh();
    this.#listeners.clear();
  }

  /** Tells everyone concerned what has changed since the last call. */
  refresh(): void {
    const up = this.up;
    if (up !== this.#wasUp) {
      this.#wasUp = up;
      if (!up) this.#rejectConfirms();
      for (const resource of [...this.#attached]) {
        if (up) resource.restored();
        else resource.interrupted();
      }
      if (up) this.#untilUp.release();
    }
    const status = this.status();
    if (status.ready === this.#wasReady) return;
    this.#wasReady = status.ready;
    if (status.ready) this.#untilReady.release();
    for (const listener of [...this.#listeners]) listener(status);
  }

  #confirm(): void {
    const confirms = this.#confirms;
    this.#confirms = [];
    for (const confirm of confirms) confirm.resolve();
  }

  #rejectConfirms(): void {
    const confirms = this.#confirms;
    this.#confirms = [];
    const error = new BrokerError('broker_unavailable', 'the connection broke before the confirm');
    for (const confirm of confirms) confirm.reject(error);
  }
}
