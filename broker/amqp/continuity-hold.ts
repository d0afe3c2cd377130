/**
 * One time of holding a continuity queue: a consumer on a channel of its own, which gives everything back, in order, when it closes.
 *
 * What belongs to the queue itself (its head, its note, a notice) is held here unacknowledged; it takes room in the consumer's window, so
 * the owner's own bound is counted here.
 */
import { randomUUID } from 'node:crypto';
import type { Channel, ConsumeMessage } from 'amqplib';
import type { LossNotice, SessionReceiver } from '../port.ts';
import { nextEpoch } from './bound-queue.ts';
import { ContinuityGuard } from './continuity-guard.ts';
import { ContinuityHead, type HeadVerdict } from './continuity-head.ts';
import { closeChannel } from './lane.ts';
import { toDelivery } from './message.ts';
import { isOwnMessage, messageType, ownType } from './own-messages.ts';

/** What a queue holds of its own at most: `birth`, a notice, `birthEnd`, a note, and the next note on its way. */
export const ownMessages = 5;
/**
 * RabbitMQ stops for a moment after 200 messages that a channel has not sent yet; then some wait although the window has room, and the
 * guard's reckoning would not hold.
 */
export const maxPrefetch = 199 - ownMessages;

export interface HoldSpec {
  readonly queue: string;
  readonly prefetch: number;
  readonly length: number;
}

export interface HoldEvents {
  readonly receiver: SessionReceiver;
  /** A note came in. */
  noted(text: string, author: string): void;
  /** More came than the queue holds. */
  overflowed(): void;
  /** Somebody deleted the queue, or the channel broke. Not called after `close`. */
  ended(): void;
}

export type HoldVerdict = HeadVerdict | 'ended';

export class ContinuityHold {
  readonly epoch = nextEpoch();
  readonly probe = randomUUID();
  /** Whether the queue is whole; waits for as long as somebody else holds it. */
  readonly verdict: Promise<HoldVerdict>;
  readonly #channel: Channel;
  readonly #spec: HoldSpec;
  readonly #events: HoldEvents;
  readonly #judgement = new ContinuityHead(this.probe);
  readonly #guard: ContinuityGuard;
  readonly #inHand = new Set<number>();
  readonly #notices = new Set<number>();
  /** Came in, and has not been handed on. At most the window. */
  #line: ConsumeMessage[] = [];
  /** Acknowledged by the owner, and held back until the queue has been looked at. At most the window. */
  #heldBack: number[] = [];
  /** Tags of what the queue begins with, as long as it is whole: never acknowledged, or the next owner would find it broken. */
  readonly #head: number[] = [];
  #note: number | undefined;
  #received = 0;
  #judged: HoldVerdict | undefined;
  #begun = false;
  #pumping = false;
  #ended = false;
  #lettingGo = false;
  #overflowed = false;
  #looking: Promise<void> = Promise.resolve();
  #judge: (verdict: HoldVerdict) => void = () => undefined;

  constructor(channel: Channel, spec: HoldSpec, events: HoldEvents) {
    this.#channel = channel;
    this.#spec = spec;
    this.#events = events;
    this.#guard = new ContinuityGuard(spec.length, spec.prefetch);
    this.verdict = new Promise((resolve) => {
      this.#judge = (verdict) => {
        this.#judged ??= verdict;
        resolve(verdict);
      };
    });
    channel.on('close', () => this.#end());
  }

  async consume(): Promise<void> {
    await this.#channel.prefetch(this.#spec.prefetch + ownMessages);
    await this.#channel.consume(this.#spec.queue, (message) => this.#came(message));
  }

  /** Hands on what has come in and what comes. */
  begin(): void {
    this.#begun = true;
    this.#pump();
  }

  /** Hands on nothing more. */
  silence(): void {
    this.#begun = false;
  }

  get isOver(): boolean {
    return this.#ended;
  }

  /** Nothing is in the owner's hand. */
  get quiet(): boolean {
    return this.#inHand.size + this.#notices.size + this.#line.length + this.#heldBack.length === 0;
  }

  ack(tag: number): void {
    if (this.#ended) return;
    if (this.#inHand.delete(tag)) this.#release(tag);
    else if (this.#notices.delete(tag)) this.#release(tag);
    this.#pump();
  }

  /** Of a broken queue: why. Messages that were dropped leave a full queue behind. */
  async reason(): Promise<LossNotice['reason']> {
    const { messageCount } = await this.#channel.checkQueue(this.#spec.queue);
    const window = this.#spec.prefetch + ownMessages;
    const held = messageCount > 0 ? window : this.#received;
    return messageCount + held >= this.#spec.length ? 'overflow' : 'unknown';
  }

  /** What was not acknowledged goes back to the head, in order. */
  async letGo(): Promise<void> {
    this.#lettingGo = true;
    this.silence();
    while (this.#heldBack.length > 0 && !this.#ended && !this.#overflowed) await this.#looking;
    if (this.#overflowed && !this.#ended) this.#giveUpProof();
    await this.close();
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#judge('ended');
    await closeChannel(this.#channel);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#judge('ended');
    this.#events.ended();
  }

  #came(message: ConsumeMessage | null): void {
    if (this.#ended) return;
    // null: the broker cancelled the consumer because somebody deleted the queue.
    if (message === null) {
      this.#end();
      void closeChannel(this.#channel);
      return;
    }
    this.#received += 1;
    if (this.#judged === undefined) this.#judgeHead(message);
    else if (this.#judged === 'whole') this.#line.push(message);
    this.#pump();
  }

  #judgeHead(message: ConsumeMessage): void {
    const type = isOwnMessage(message) ? ownType(message) : '';
    const tag = message.fields.deliveryTag;
    const verdict = this.#judgement.next(type, message.properties.messageId);
    const isBirth = type === messageType.birth && this.#head.length === 0;
    if (isBirth || verdict === 'whole') this.#head.push(tag);
    else this.#line.push(message);
    if (verdict !== undefined) this.#judge(verdict);
  }

  #pump(): void {
    // The receiver may acknowledge within the call.
    if (!this.#begun || this.#pumping) return;
    this.#pumping = true;
    try {
      let at = 0;
      while (at < this.#line.length && this.#begun && !this.#ended) {
        const message = this.#line[at];
        if (message === undefined || !this.#handOn(message)) break;
        at += 1;
      }
      if (at > 0) this.#line.splice(0, at);
    } finally {
      this.#pumping = false;
    }
  }

  /** False where the owner has as many as it may. */
  #handOn(message: ConsumeMessage): boolean {
    const tag = message.fields.deliveryTag;
    if (!isOwnMessage(message)) {
      if (this.#inHand.size >= this.#spec.prefetch) return false;
      this.#inHand.add(tag);
      this.#events.receiver.delivered(toDelivery(message, this.epoch));
      return true;
    }
    const text = message.content.toString('utf8');
    switch (ownType(message)) {
      case messageType.lost:
        this.#notices.add(tag);
        this.#events.receiver.lost({
          tag,
          epoch: this.epoch,
          reason: text === 'overflow' ? 'overflow' : 'unknown',
        });
        return true;
      case messageType.note:
        if (this.#note !== undefined) this.#release(this.#note);
        this.#note = tag;
        this.#events.noted(text, String(message.properties.messageId));
        return true;
      default:
        // A probe that has done its work, or a marker of somebody who made the queue at the same time.
        this.#release(tag);
        return true;
    }
  }

  #release(tag: number): void {
    if (this.#ended) return;
    if (!this.#guard.mayAcknowledge) {
      this.#heldBack.push(tag);
      return;
    }
    this.#acknowledge(tag);
    this.#guard.acknowledged();
    if (this.#guard.wantsLook) this.#looking = this.#look();
  }

  #acknowledge(tag: number): void {
    try {
      // Only the tag is looked at.
      this.#channel.ack({ fields: { deliveryTag: tag } } as ConsumeMessage);
    } catch {
      // The channel is closing: the broker hands the message out again.
      return;
    }
  }

  /** On the same channel: behind the acknowledgements that it is to count. */
  async #look(): Promise<void> {
    this.#guard.asked();
    try {
      const { messageCount } = await this.#channel.checkQueue(this.#spec.queue);
      if (this.#ended) return;
      if (!this.#guard.passes(messageCount)) {
        this.#overflowed = true;
        if (!this.#lettingGo) this.#events.overflowed();
        return;
      }
    } catch {
      // The channel is gone, and `ended` has been or will be called.
      return;
    }
    const due = this.#heldBack;
    this.#heldBack = [];
    for (const tag of due) this.#release(tag);
  }

  /** What the owner acknowledged must not come again. Without its head the next owner finds the queue broken, as it should. */
  #giveUpProof(): void {
    for (const tag of [...this.#head, ...this.#heldBack]) this.#acknowledge(tag);
    this.#heldBack = [];
  }
}
