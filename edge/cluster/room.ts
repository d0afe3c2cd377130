/** One room, as this edge follows it: the roster, the sockets of its own users, and how far the opening has come. */
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import { Roster, type Transition } from './roster.ts';
import { StateParts } from './roster-parts.ts';

/** A user of this edge. */
interface OwnUser {
  /** 0 while the grace runs. */
  sockets: number;
  cancelGrace: (() => void) | undefined;
}

/** What has been heard of another edge in this room. */
interface Peer {
  /** The highest version that the edge spoke of. */
  latest: number;
  /** When it last confirmed what is known of it. */
  confirmedMs: number;
  readonly parts: StateParts;
}

export class Room {
  readonly key: ChannelKey;
  readonly roster = new Roster();
  /** Calls of `open` without their `close`. */
  opens = 0;
  /** `joining`: nobody has been asked. `asking`: not all have answered. `live`: what changes is reported. */
  phase: 'joining' | 'asking' | 'live' = 'joining';
  /** The topic has been listened to. */
  isListening = false;
  opening: Promise<void> | undefined;
  /** Resolves when the room is live, or forgotten. */
  readonly settled: Promise<void>;
  #settle: () => void = () => undefined;
  /** Edges whose answer the opening waits for. */
  readonly #silent = new Set<EdgeId>();
  #cancelDeadline: (() => void) | undefined;
  readonly #peers = new Map<EdgeId, Peer>();
  readonly #own = new Map<string, OwnUser>();
  /** Users of whom a report went out before the room was live. */
  readonly #reportedEarly = new Set<string>();

  constructor(key: ChannelKey) {
    this.key = key;
    this.settled = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /** Begins, or begins anew, to wait for these edges; at once live where there are none. */
  ask(edges: Iterable<EdgeId>): void {
    this.phase = 'asking';
    this.#silent.clear();
    for (const edge of edges) this.#silent.add(edge);
    if (this.#silent.size === 0) this.settle();
  }

  startDeadline(clock: Clock, deadlineMs: number): void {
    this.stopDeadline();
    this.#cancelDeadline = clock.after(deadlineMs, () => this.settle());
  }

  stopDeadline(): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = undefined;
  }

  /** What the edge holds is known, or the edge is gone. */
  answered(edge: EdgeId): void {
    if (this.#silent.delete(edge) && this.#silent.size === 0) this.settle();
  }

  settle(): void {
    this.stopDeadline();
    this.phase = 'live';
    this.#reportedEarly.clear();
    this.#settle();
  }

  /**
   * Whether a transition is to be reported. Before the room is live, what other edges hold belongs to the snapshot and is not, except
   * where the user has been reported for the sake of this edge: reports alternate.
   */
  isReported({ user }: Transition, isOwn: boolean): boolean {
    if (this.phase === 'live') return true;
    if (isOwn) this.#reportedEarly.add(user);
    return isOwn || this.#reportedEarly.has(user);
  }

  peer(edge: EdgeId): Peer {
    let peer = this.#peers.get(edge);
    if (peer === undefined) {
      peer = { latest: 0, confirmedMs: Number.NEGATIVE_INFINITY, parts: new StateParts() };
      this.#peers.set(edge, peer);
    }
    return peer;
  }

  peers(): Iterable<readonly [EdgeId, Peer]> {
    return this.#peers;
  }

  peerLeft(edge: EdgeId): void {
    this.#peers.delete(edge);
  }

  /** One more socket of the user; true where the user is new on this edge. */
  arrive(user: string): boolean {
    const own = this.#own.get(user);
    if (own === undefined) {
      this.#own.set(user, { sockets: 1, cancelGrace: undefined });
      return true;
    }
    own.sockets += 1;
    own.cancelGrace?.();
    own.cancelGrace = undefined;
    return false;
  }

  /** One socket less. The last one starts the grace, at whose end, or at once where there is none, `gone` is called. */
  depart(user: string, clock: Clock, graceMs: number, gone: (user: string) => void): void {
    const own = this.#own.get(user);
    if (own === undefined || own.sockets === 0) return;
    own.sockets -= 1;
    if (own.sockets > 0) return;
    const end = () => {
      this.#own.delete(user);
      gone(user);
    };
    if (graceMs > 0) own.cancelGrace = clock.after(graceMs, end);
    else end();
  }

  /** Forgets the users of this edge without a word. */
  clearOwn(): void {
    for (const { cancelGrace } of this.#own.values()) cancelGrace?.();
    this.#own.clear();
  }
}
