/** The deadlines of one connection: silence, an unanswered ping, a client that does not read. Pure: time comes in from outside. */
import { type CloseCode, closeCodes } from '../../contracts/pusher/close-codes.ts';

export interface HeartbeatLimits {
  /** Silence after which the server asks for a sign of life. */
  readonly activityTimeoutMs: number;
  /** How long the sign may take. */
  readonly pongTimeoutMs: number;
  /** How long a socket may stay full. */
  readonly slowSocketMs: number;
}

export class Heartbeat {
  readonly #limits: HeartbeatLimits;
  #heardMs: number;
  #pingedMs: number | undefined;
  #fullMs: number | undefined;

  constructor(limits: HeartbeatLimits, nowMs: number) {
    this.#limits = limits;
    this.#heardMs = nowMs;
  }

  /** Anything that was received counts as a sign of life. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs;
    this.#pingedMs = undefined;
  }

  full(nowMs: number): void {
    this.#fullMs = nowMs;
  }

  free(nowMs: number): void {
    this.#fullMs = undefined;
    // Nothing was read meanwhile, so a pong may be waiting: its time starts anew.
    if (this.#pingedMs !== undefined) this.#pingedMs = nowMs;
  }

  /** What is to be done now: nothing, a ping, or closing with this code. A ping is reported once and then awaited. */
  due(nowMs: number): 'ping' | CloseCode | undefined {
    if (this.#fullMs !== undefined) {
      return nowMs - this.#fullMs >= this.#limits.slowSocketMs
        ? closeCodes.overCapacity
        : undefined;
    }
    if (this.#pingedMs !== undefined) {
      return nowMs - this.#pingedMs >= this.#limits.pongTimeoutMs
        ? closeCodes.pongTimeout
        : undefined;
    }
    if (nowMs - this.#heardMs < this.#limits.activityTimeoutMs) return undefined;
    this.#pingedMs = nowMs;
    return 'ping';
  }
}

/** One timer looks after all connections: a check costs nanoseconds, a timer per frame received would not. */
export function sweepPeriodMs(limits: HeartbeatLimits): number {
  const shortest = Math.min(limits.activityTimeoutMs, limits.pongTimeoutMs, limits.slowSocketMs);
  return Math.min(1_000, Math.max(25, shortest / 4));
}
