/**
 * The bus as the parts of the cluster use it: messages instead of bytes, joined in the background, so that an edge can start while
 * the broker is away.
 */
import { BrokerError } from '../../broker/errors.ts';
import type { BusAddress, BusMessage, EdgeBus, EdgeBusMember } from '../../broker/port.ts';
import {
  decodeEdgeMessage,
  type EdgeMessage,
  encodeEdgeMessage,
} from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';

/** What a part of the cluster may do with the bus. */
export interface Bus {
  /**
   * Resolves when the broker has confirmed; rejects with `BrokerError`, at once while the bus is not joined. Calls reach the broker
   * in call order.
   */
  send(to: BusAddress, message: EdgeMessage): Promise<void>;
  /** Resolves when messages on the topic arrive here; waits while the broker is away; rejects with `closed`. Not counted. */
  listen(topic: ChannelKey): Promise<void>;
  /** Not counted: one call undoes any number of `listen`. */
  unlisten(topic: ChannelKey): Promise<void>;
}

export interface BusListener {
  /** In the order in which each sender sent them; this edge's own messages come back too. */
  message(from: EdgeId, message: EdgeMessage): void;
  /** Once: the bus can be used from now on. */
  joined(): void;
  /** What is sent to this edge from now on and until `restored` may be lost. */
  interrupted(): void;
  restored(): void;
}

export interface BusOptions {
  readonly edgeBus: Pick<EdgeBus, 'join'>;
  readonly edgeId: EdgeId;
  readonly clock: Clock;
  readonly log: Log;
  readonly listener: BusListener;
}

/** After the broker has refused the join, by permissions or topology: an operator may have mended it meanwhile. */
const rejoinMs = 5_000;
/** One line in the log for any number of refused messages in that time. */
const logPeriodMs = 60_000;
/** See `EdgeId`. */
const edgeIdPattern = /^[a-z0-9-]{1,64}$/;

export class ClusterBus implements Bus {
  readonly #options: BusOptions;
  /** Topics that are listened to as soon as the bus is joined. */
  readonly #wanted = new Set<ChannelKey>();
  readonly #untilJoined: Promise<EdgeBusMember>;
  #resolveJoined: ((member: EdgeBusMember) => void) | undefined;
  #rejectJoined: ((error: BrokerError) => void) | undefined;
  #member: EdgeBusMember | undefined;
  #interrupted = false;
  #left = false;
  #cancelRejoin: (() => void) | undefined;
  #refused = 0;
  #loggedMs = Number.NEGATIVE_INFINITY;

  /** Nothing happens before `join`. */
  constructor(options: BusOptions) {
    this.#options = options;
    this.#untilJoined = new Promise((resolve, reject) => {
      this.#resolveJoined = resolve;
      this.#rejectJoined = reject;
    });
    // Nobody may be waiting when the bus is left before it was joined.
    this.#untilJoined.catch(() => undefined);
  }

  /** Joined, and not interrupted. */
  get up(): boolean {
    return this.#member !== undefined && !this.#interrupted && !this.#left;
  }

  /** Messages that were refused because they could not be decoded or had no legal sender. */
  get refused(): number {
    return this.#refused;
  }

  /** Joins in the background, as soon as the broker is there. */
  join(): void {
    void this.#join();
  }

  send(to: BusAddress, message: EdgeMessage): Promise<void> {
    if (this.#left) return Promise.reject(closedError());
    if (this.#member === undefined) {
      const reason = 'the bus between edges is not joined yet';
      return Promise.reject(new BrokerError('broker_unavailable', reason));
    }
    return this.#member.send(to, encodeEdgeMessage(message));
  }

  async listen(topic: ChannelKey): Promise<void> {
    if (this.#left) throw closedError();
    this.#wanted.add(topic);
    const member = this.#member ?? (await this.#untilJoined);
    // Given up while the bus was being joined.
    if (this.#wanted.has(topic)) await member.listen(topic);
  }

  async unlisten(topic: ChannelKey): Promise<void> {
    this.#wanted.delete(topic);
    if (!this.#left) await this.#member?.unlisten(topic);
  }

  /** Idempotent. Nothing is received any more once it was called. */
  async leave(): Promise<void> {
    if (this.#left) return;
    this.#left = true;
    this.#cancelRejoin?.();
    this.#rejectJoined?.(closedError());
    await this.#member?.leave();
  }

  async #join(): Promise<void> {
    const { edgeBus, edgeId, clock, log, listener } = this.#options;
    let member: EdgeBusMember;
    try {
      member = await edgeBus.join(edgeId, {
        message: (message) => this.#received(message),
        interrupted: () => {
          if (this.#left || this.#interrupted) return;
          this.#interrupted = true;
          if (this.#member !== undefined) listener.interrupted();
        },
        restored: () => {
          if (this.#left || !this.#interrupted) return;
          this.#interrupted = false;
          if (this.#member !== undefined) listener.restored();
        },
      });
    } catch (error) {
      if (this.#left || (error instanceof BrokerError && error.code === 'closed')) return;
      log.error({ err: error }, 'the bus between edges cannot be joined');
      this.#cancelRejoin = clock.after(rejoinMs, () => this.join());
      return;
    }
    if (this.#left) {
      await member.leave();
      return;
    }
    this.#member = member;
    this.#resolveJoined?.(member);
    listener.joined();
    if (this.#interrupted) listener.interrupted();
  }

  #received({ from, body }: BusMessage): void {
    if (this.#left) return;
    const message = edgeIdPattern.test(from) ? decodeEdgeMessage(body) : undefined;
    if (message === undefined) this.#refuse(from, body.length);
    else this.#options.listener.message(from, message);
  }

  #refuse(from: string, bytes: number): void {
    this.#refused += 1;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#loggedMs < logPeriodMs) return;
    this.#loggedMs = nowMs;
    const fields = { from: from.slice(0, 64), bytes, refused: this.#refused };
    this.#options.log.warn(fields, 'a message between edges was refused');
  }
}

function closedError(): BrokerError {
  return new BrokerError('closed', 'this edge has left the bus');
}
