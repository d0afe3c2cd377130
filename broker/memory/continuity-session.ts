/** A session with continuity: holds its queue while it can, and leaves it parked for the next owner. */
import type { ChannelKey } from '../../contracts/ids.ts';
import type { Publication } from '../../contracts/publication.ts';
import { BrokerError } from '../errors.ts';
import { checkContinuity, checkNote } from '../limits.ts';
import type { Delivery, SessionQueue, SessionReceiver, SessionSpec } from '../port.ts';
import type { Attached, Connection } from './connection.ts';
import type { Claimant, HeldQueue } from './continuity-queues.ts';
import { deliveryOf } from './delivery.ts';
import type { Queue } from './queue.ts';
import { closedError, Waiters } from './waiters.ts';

type ContinuitySpec = Extract<SessionSpec, { kind: 'continuity' }>;

/** Tags of messages begin at 1. */
const noticeTag = 0;

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
  #held: HeldQueue | undefined;
  #epoch = 0;
  #resumed = false;
  #isInterrupted = false;
  #resetsWhenHeld = false;
  /** The queue has a note or a notice that the receiver has not been given yet. */
  #isToTell = false;
  #state: 'opening' | 'open' | 'ended' = 'opening';

  /** @throws RangeError where the spec cannot be served */
  constructor(connection: Connection, spec: ContinuitySpec, receiver: SessionReceiver) {
    checkContinuity(spec);
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

  get heldBefore(): boolean {
    return this.#state === 'open' && !this.#resetsWhenHeld;
  }

  async open(signal?: AbortSignal): Promise<void> {
    await this.#connection.whenUp(signal);
    if (signal?.aborted === true) throw closedError();
    this.#connection.attach(this);
    this.#connection.host.continuity.claim(this);
    if (this.#held !== undefined) return;
    try {
      await this.#untilHeld.wait(signal);
    } catch (error) {
      this.closed();
      throw error;
    }
  }

  granted(held: HeldQueue, found: boolean): void {
    if (this.#resetsWhenHeld) {
      this.#resetsWhenHeld = false;
      this.#connection.host.continuity.renew(this, undefined, false);
      return;
    }
    const { channels } = this.#connection.host;
    const { queue } = held;
    this.#held = held;
    this.#epoch = this.#connection.host.nextEpoch();
    if (this.#state === 'opening') {
      this.#state = 'open';
      this.#resumed = found;
      for (const key of channels.patternsOf(queue)) this.#keys.add(key);
    } else {
      for (const key of channels.patternsOf(queue)) {
        if (!this.#keys.has(key)) channels.unbind(key, queue);
      }
    }
    for (const key of this.#keys) channels.bind(key, queue);
    this.#isToTell = held.note !== undefined || held.notice !== undefined;
    if (this.#isToTell) this.#connection.host.turns.later(() => this.#tell(held, queue));
    queue.consume({
      prefetch: this.#prefetch,
      deliver: (publication, tag, redelivered) => {
        // A turn that was put off before may deliver first.
        if (this.#isToTell) this.#tell(held, queue);
        // The receiver may have let go within that call: then the message is back in the queue.
        if (this.#held !== held || held.queue !== queue) return;
        this.#receiver.delivered(deliveryOf(publication, tag, this.#epoch, redelivered));
      },
    });
    this.#untilHeld.release();
    if (!this.#isInterrupted) return;
    this.#isInterrupted = false;
    this.#receiver.restored();
  }

  overflowed(): void {
    this.#interrupt();
    this.#connection.host.continuity.renew(this, 'overflow', true);
  }

  async bind(key: ChannelKey): Promise<void> {
    if (this.#state === 'ended') throw closedError();
    this.#keys.add(key);
    if (this.#held === undefined) await this.#untilHeld.wait();
    else this.#connection.host.channels.bind(key, this.#held.queue);
  }

  async unbind(key: ChannelKey): Promise<void> {
    this.#keys.delete(key);
    if (this.#held !== undefined) this.#connection.host.channels.unbind(key, this.#held.queue);
  }

  ack({ tag, epoch }: Pick<Delivery, 'tag' | 'epoch'>): void {
    if (epoch !== this.#epoch || this.#held === undefined) return;
    if (tag === noticeTag) this.#held.notice = undefined;
    else this.#held.queue.ack(tag);
  }

  async note(text: string): Promise<void> {
    checkNote(text);
    if (this.#state === 'ended') throw closedError();
    const held = this.#held;
    if (held === undefined) {
      throw new BrokerError('broker_unavailable', 'the session is not held now');
    }
    await this.#connection.publish(() => {
      held.note = { text, by: this };
    });
  }

  async reset(): Promise<void> {
    if (this.#state === 'ended') throw closedError();
    this.#keys.clear();
    if (this.#held !== undefined) {
      this.#connection.host.continuity.renew(this, undefined, false);
      return;
    }
    this.#resetsWhenHeld = true;
    await this.#untilHeld.wait();
  }

  async park(): Promise<void> {
    this.#end(() => this.#connection.host.continuity.leave(this));
  }

  async close(): Promise<void> {
    this.#end(() => this.#connection.host.continuity.delete(this));
  }

  interrupted(): void {
    this.#interrupt();
    this.#connection.host.continuity.leave(this);
  }

  restored(): void {
    if (this.#state !== 'ended') this.#connection.host.continuity.claim(this);
  }

  /** As when an edge dies: the session outlives it. */
  closed(): void {
    this.#end(() => this.#connection.host.continuity.leave(this));
  }

  #interrupt(): void {
    const wasHeld = this.#held !== undefined;
    this.#held = undefined;
    if (this.#state !== 'open' || !wasHeld) return;
    this.#isInterrupted = true;
    this.#receiver.interrupted();
  }

  /** What the queue begins with; in a turn of its own, as all that it delivers. */
  #tell(held: HeldQueue, queue: Queue<Publication>): void {
    if (!this.#isToTell || this.#held !== held || held.queue !== queue) return;
    this.#isToTell = false;
    if (held.note !== undefined && held.note.by !== this) this.#receiver.noted(held.note.text);
    // The receiver may have ended it within the call.
    if (this.#held !== held || held.queue !== queue || held.notice === undefined) return;
    this.#receiver.lost({ tag: noticeTag, epoch: this.#epoch, reason: held.notice });
  }

  #end(letGo: () => void): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#held = undefined;
    letGo();
    this.#connection.detach(this);
    this.#untilHeld.fail(closedError());
  }
}
