/**
 * Asks other edges what they hold. Keys that are wanted within a few ms share a message of 500 keys at most; the next message to the
 * same address waits. What stays unanswered is asked again, ever more rarely while an edge says nothing at all. Bounded by the rooms
 * that are followed times the live edges.
 */
import type { BusAddress } from '../../broker/port.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import { maxKeysPerMessage, type RoomTimings } from './room-bus.ts';

const maxRetryMs = 30_000;

/** Must not throw. Whether it arrives shows in the answer. */
export type SendAsk = (to: BusAddress, keys: readonly ChannelKey[]) => void;

interface Peer {
  readonly line: AskLine;
  /** When each key was asked for, oldest first. */
  readonly asked: Map<ChannelKey, number>;
  answeredMs: number;
  retryMs: number;
}

export class RoomAsks {
  readonly #clock: Clock;
  readonly #timings: RoomTimings;
  readonly #send: SendAsk;
  readonly #peers = new Map<EdgeId, Peer>();
  readonly #everyone: AskLine;
  #cancelRetry: (() => void) | undefined;
  #isPaused = false;

  constructor(clock: Clock, timings: RoomTimings, send: SendAsk) {
    this.#clock = clock;
    this.#timings = timings;
    this.#send = send;
    this.#everyone = new AskLine(clock, timings, (keys) => {
      for (const peer of this.#peers.values()) this.#markAsked(peer, keys);
      send({ kind: 'all' }, keys);
    });
  }

  joined(edge: EdgeId): void {
    if (this.#peers.has(edge)) return;
    const peer: Peer = {
      line: new AskLine(this.#clock, this.#timings, (keys) => {
        this.#markAsked(peer, keys);
        this.#send({ kind: 'edge', edgeId: edge }, keys);
      }),
      asked: new Map(),
      answeredMs: Number.NEGATIVE_INFINITY,
      retryMs: this.#timings.askRetryMs,
    };
    if (this.#isPaused) peer.line.pause();
    this.#peers.set(edge, peer);
  }

  left(edge: EdgeId): void {
    this.#peers.get(edge)?.line.clear();
    this.#peers.delete(edge);
  }

  /** Asks all edges. */
  everyone(key: ChannelKey): void {
    this.#everyone.add(key);
  }

  /** Asks one edge, unless its answer is on the way. */
  one(edge: EdgeId, key: ChannelKey): void {
    const peer = this.#peers.get(edge);
    if (peer === undefined || peer.asked.has(key) || this.#everyone.wanted.has(key)) return;
    peer.line.add(key);
  }

  /** The edge has begun to answer: it is not to be asked again while it goes on. */
  progressed(edge: EdgeId): void {
    const peer = this.#peers.get(edge);
    if (peer === undefined) return;
    peer.answeredMs = this.#clock.monotonicMs();
    peer.retryMs = this.#timings.askRetryMs;
  }

  answered(edge: EdgeId, key: ChannelKey): void {
    if (this.#peers.get(edge)?.asked.delete(key) === true) this.progressed(edge);
  }

  /** The room is followed no longer. */
  forget(key: ChannelKey): void {
    this.#everyone.wanted.delete(key);
    for (const { line, asked } of this.#peers.values()) {
      line.wanted.delete(key);
      asked.delete(key);
    }
  }

  /** The broker is away: nothing is asked until `restart`. */
  pause(): void {
    this.#isPaused = true;
    this.#everyone.pause();
    for (const { line } of this.#peers.values()) line.pause();
    this.#stopRetrying();
  }

  /** Forgets what was asked: answers may be lost. */
  restart(): void {
    this.#isPaused = false;
    this.#everyone.clear();
    for (const peer of this.#peers.values()) {
      peer.line.clear();
      peer.asked.clear();
      peer.retryMs = this.#timings.askRetryMs;
    }
  }

  close(): void {
    this.restart();
    this.#peers.clear();
    this.#stopRetrying();
  }

  #markAsked(peer: Peer, keys: readonly ChannelKey[]): void {
    const nowMs = this.#clock.monotonicMs();
    for (const key of keys) {
      peer.line.wanted.delete(key);
      peer.asked.delete(key);
      peer.asked.set(key, nowMs);
    }
    this.#cancelRetry ??= this.#clock.after(this.#timings.askRetryMs, this.#retry);
  }

  readonly #retry = (): void => {
    this.#cancelRetry = undefined;
    const nowMs = this.#clock.monotonicMs();
    let isWaiting = false;
    for (const peer of this.#peers.values()) {
      isWaiting ||= peer.asked.size > 0;
      const dueMs = nowMs - peer.retryMs;
      if (peer.answeredMs > dueMs) continue;
      let isLate = false;
      for (const [key, askedMs] of peer.asked) {
        if (askedMs > dueMs) break;
        isLate = true;
        peer.asked.delete(key);
        peer.line.add(key);
      }
      if (isLate) peer.retryMs = Math.min(peer.retryMs * 2, maxRetryMs);
    }
    if (isWaiting) this.#cancelRetry ??= this.#clock.after(this.#timings.askRetryMs, this.#retry);
  };

  #stopRetrying(): void {
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }
}

/** What is wanted of one address. */
class AskLine {
  readonly wanted = new Set<ChannelKey>();
  readonly #clock: Clock;
  readonly #timings: RoomTimings;
  readonly #ask: (keys: readonly ChannelKey[]) => void;
  #cancel: (() => void) | undefined;
  #askedMs = Number.NEGATIVE_INFINITY;
  #isPaused = false;

  constructor(clock: Clock, timings: RoomTimings, ask: (keys: readonly ChannelKey[]) => void) {
    this.#clock = clock;
    this.#timings = timings;
    this.#ask = ask;
  }

  add(key: ChannelKey): void {
    this.wanted.add(key);
    this.#arm();
  }

  pause(): void {
    this.#isPaused = true;
    this.#stop();
  }

  /** Wants nothing any more, and is not paused. */
  clear(): void {
    this.#isPaused = false;
    this.wanted.clear();
    this.#stop();
  }

  #arm(): void {
    if (this.#cancel !== undefined || this.#isPaused) return;
    const { gatherMs, askSpacingMs } = this.#timings;
    const restMs = this.#askedMs + askSpacingMs - this.#clock.monotonicMs();
    this.#cancel = this.#clock.after(Math.max(gatherMs, restMs), this.#flush);
  }

  readonly #flush = (): void => {
    this.#cancel = undefined;
    const keys: ChannelKey[] = [];
    for (const key of this.wanted) {
      if (keys.length === maxKeysPerMessage) break;
      keys.push(key);
      this.wanted.delete(key);
    }
    if (keys.length === 0) return;
    this.#askedMs = this.#clock.monotonicMs();
    this.#ask(keys);
    if (this.wanted.size > 0) this.#arm();
  };

  #stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
