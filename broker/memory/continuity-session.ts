/** A session with continuity: holds its queue while it can, and leaves it parked for the next owner. */
import type { ChannelKey } from '../../contracts/ids.ts';
import type { Publication } from '../../contracts/publication.ts';
import type { Delivery, SessionQueue, SessionReceiver, SessionSpec } from '../port.ts';
import type { Attached, Connection } from './connection.ts';
import type { Claimant } from './continuity-queues.ts';
import { deliveryOf } from './delivery.ts';
import type { Queue } from './queue.ts';
import { closedError, Waiters } from './waiters.ts';

type ContinuitySpec = Extract<SessionSpec, { kind: 'continuity' }>;

export class ContinuitySession implements SessionQueue, Attached, Claimant {
  readonly key: string;
  readonly maxLength: number;
  readonly windowMs: number;
  readonly #connection: Connection;
  readonly #prefetch: number;
  readonly #receiver: SessionReceiver;
  readonly #untilHeld = new Waiters();
  /** What the owner wants bound; the queue's own bindings where it was found. */
  readonly #keys = new Set<string>();
  #queue: Queue<Publication> | undefined;
  #epoch = 0;
  #resumed = false;
  #state: 'opening' | 'open' | 'ended' = 'opening';

  constructor(connection: Connection, spec: ContinuitySpec, receiver: SessionReceiver) {
    this.key = spec.key;
    this.maxLength = spec.maxLength;
    this.windowMs = spec.windowMs;
    this.#prefetch = spec.prefetch;
    this.#connection = connection;
    this.#receiver = receiver;
  }

  get resumed(): boolean {
    return this.#resumed;
  }

  async open(signal?: AbortSignal): Promise<void> {
    await this.#connection.whenUp(signal);
    if (signal?.aborted === true) throw closedError();
    this.#connection.attach(this);
    this.#connection.host.continuity.claim(this);
    if (this.#queue !== undefined) return;
    try {
      await this.#untilHeld.wait(signal);
    } catch (error) {
      this.closed();
      throw error;
    }
  }

  granted(queue: Queue<Publication>, found: boolean): void {
    const { channels } = this.#connection.host;
    this.#queue = queue;
    this.#epoch = this.#connection.host.nextEpoch();
    const opening = this.#state === 'opening';
    for (const key of channels.patternsOf(queue)) {
      if (opening) this.#keys.add(key);
      else if (!this.#keys.has(key)) channels.unbind(key, queue);
    }
    for (const key of this.#keys) channels.bind(key, queue);
    queue.consume({
      prefetch: this.#prefetch,
      deliver: (publication, tag, redelivered) =>
        this.#receiver.delivered(deliveryOf(publication, tag, this.#epoch, redelivered)),
    });
    this.#untilHeld.release();
    if (opening) {
      this.#state = 'open';
      this.#resumed = found;
    } else {
      this.#receiver.restored();
    }
  }

  async bind(key: ChannelKey): Promise<void> {
    if (this.#state === 'ended') throw closedError();
    this.#keys.add(key);
    if (this.#queue === undefined) await this.#untilHeld.wait();
    else this.#connection.host.channels.bind(key, this.#queue);
  }

  async unbind(key: ChannelKey): Promise<void> {
    this.#keys.delete(key);
    if (this.#queue !== undefined) this.#connection.host.channels.unbind(key, this.#queue);
  }

  ack(delivery: Pick<Delivery, 'tag' | 'epoch'>): void {
    if (delivery.epoch === this.#epoch) this.#queue?.ack(delivery.tag);
  }

  async park(): Promise<void> {
    this.#end(() => this.#connection.host.continuity.leave(this));
  }

  async close(): Promise<void> {
    this.#end(() => this.#connection.host.continuity.delete(this));
  }

  interrupted(): void {
    this.#queue = undefined;
    this.#connection.host.continuity.leave(this);
    if (this.#state === 'open') this.#receiver.interrupted();
  }

  restored(): void {
    if (this.#state !== 'ended') this.#connection.host.continuity.claim(this);
  }

  /** As when an edge dies: the session outlives it. */
  closed(): void {
    this.#end(() => this.#connection.host.continuity.leave(this));
  }

  #end(letGo: () => void): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#queue = undefined;
    letGo();
    this.#connection.detach(this);
    this.#untilHeld.fail(closedError());
  }
}
