/**
 * Which edges are alive. Each says hello to all again and again; one that stays silent for its lease is gone, one that says goodbye
 * is gone at once.
 *
 * Silence is proved, not timed: this edge hears its own hellos too, on the same queue and behind everything that came before. So a
 * peer is dead only where a hello of ours has come back that was sent a whole lease after its last word. While our process stands
 * still, our connection is away or the broker takes no messages from anybody, no hello comes back and nobody is declared dead.
 */
import type { Hello } from '../../contracts/edge-message.ts';
import type { AppId, EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Bus } from './bus.ts';
import { LoadSum } from './load-sum.ts';
import type { ClusterLoad, LocalState } from './port.ts';

/** `bye`: it has handed over and gone. `silent`: what it did last, and whether, is not known. */
export type Departure = 'bye' | 'silent';

export interface MembershipListener {
  joined(edge: EdgeId): void;
  /** It was in the view all the time, but may have missed what was sent to it, or have lost what it knew of this edge. */
  returned(edge: EdgeId): void;
  /** @param lastHeardMs monotonic time of its last message */
  left(edge: EdgeId, how: Departure, lastHeardMs: number): void;
  /** The view holds everyone who answered; again after each interruption. */
  settled(): void;
}

export interface MembershipTimings {
  /** Between two hellos. Default 2,000. */
  readonly helloMs: number;
  /** Silence after which an edge is gone; several times `helloMs`. Default 8,000. */
  readonly leaseMs: number;
  /** How long answers to a greeting may take. Default 500. */
  readonly answersMs: number;
}

export interface MembershipOptions {
  readonly edgeId: EdgeId;
  readonly bus: Pick<Bus, 'send'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly load: LocalState['load'];
  readonly listener: MembershipListener;
  readonly timings: MembershipTimings;
}

/** More edges than that are ignored: the bus is no place for them, or somebody makes names up. */
export const maxPeers = 1_000;
/** Edges that said goodbye and are remembered, so that a late word of theirs does not bring them back. */
const maxDeparted = 1_000;
/** The publishing connection may be back a moment after the consuming one. */
const greetAgainMs = 250;
const logPeriodMs = 60_000;

export class Membership {
  readonly #options: MembershipOptions;
  /** Monotonic time of the last message of each. */
  readonly #heardMs = new Map<EdgeId, number>();
  readonly #departed = new Set<EdgeId>();
  /** Edges that take us for known while we have lost what they told us: each must hear a greeting. */
  readonly #forgotten = new Set<EdgeId>();
  readonly #load = new LoadSum();
  readonly #waiters: (() => void)[] = [];
  #view: readonly EdgeId[];
  #state: 'away' | 'greeting' | 'settled' | 'leaving' = 'away';
  /** When the hello was sent that has not come back yet. */
  #helloSentMs: number | undefined;
  #lastEchoMs = 0;
  /** Silence before it does not count. */
  #leasesFromMs = 0;
  #greetDue = false;
  #stopHellos: (() => void) | undefined;
  #cancelGreeting: (() => void) | undefined;
  #loggedMs = Number.NEGATIVE_INFINITY;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#view = [options.edgeId];
  }

  /** This edge first. */
  edges(): readonly EdgeId[] {
    return this.#view;
  }

  /** Monotonic time; undefined for edges that are not in the view. */
  lastHeardMs(edge: EdgeId): number | undefined {
    return this.#heardMs.get(edge);
  }

  /** Nobody has answered our greeting so far, and nobody has come since; one that has left may have something to hand over still. */
  get isAlone(): boolean {
    return this.#heardMs.size === 0 && this.#departed.size === 0;
  }

  othersLoad(app: AppId): ClusterLoad {
    return this.#load.of(app);
  }

  /**
   * Resolves when the view holds everyone who has answered our greeting; waits while the bus is away. Resolves too when this edge
   * leaves: nothing is to be waited for then.
   */
  settled(): Promise<void> {
    if (this.#state === 'settled' || this.#state === 'leaving') return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  /** The bus is joined or restored: everyone is greeted, and has a whole lease to answer. */
  arrived(): void {
    if (this.#state === 'leaving') return;
    const { clock, timings } = this.#options;
    this.#state = 'greeting';
    this.#lastEchoMs = clock.monotonicMs();
    this.#leasesFromMs = this.#lastEchoMs;
    this.#helloSentMs = undefined;
    this.#greetDue = true;
    this.#stopHellos ??= clock.every(timings.helloMs, () => this.#hello());
    this.#hello();
  }

  interrupted(): void {
    if (this.#state === 'leaving') return;
    this.#state = 'away';
    this.#helloSentMs = undefined;
    this.#cancelGreeting?.();
  }

  /** Whatever an edge says shows that it lives. False where it is not in the view all the same: it has left, or there are too many. */
  heard(from: EdgeId): boolean {
    return this.#heard(from, false);
  }

  hello(from: EdgeId, { greet, load }: Hello): void {
    const isKnown = this.#heardMs.has(from);
    if (!this.#heard(from, greet)) return;
    this.#load.set(from, load);
    if (!greet) return;
    if (this.#state === 'leaving') {
      // It came too late for our goodbye to all.
      const to = { kind: 'edge', edgeId: from } as const;
      this.#options.bus.send(to, { type: 'bye' }).catch(() => undefined);
      return;
    }
    this.#send(from, false);
    if (isKnown) this.#options.listener.returned(from);
  }

  bye(from: EdgeId): void {
    if (this.#departed.has(from)) return;
    // Others may have known it: to them it has been an edge.
    this.#heard(from, true);
    if (this.#departed.size >= maxDeparted) {
      const [oldest] = this.#departed;
      if (oldest !== undefined) this.#departed.delete(oldest);
    }
    this.#departed.add(from);
    this.#remove(from, 'bye');
  }

  /** A hello of ours has come back: whoever has been silent for a lease when it was sent is gone. */
  echo(): void {
    const sentMs = this.#helloSentMs;
    if (sentMs === undefined) return;
    this.#helloSentMs = undefined;
    const { clock, timings } = this.#options;
    const nowMs = clock.monotonicMs();
    // Where our own did not come back for long, theirs could not come either, and may be later by a moment.
    if (nowMs - this.#lastEchoMs > timings.leaseMs / 2) this.#leasesFromMs = nowMs;
    this.#lastEchoMs = nowMs;
    for (const [edge, heardMs] of [...this.#heardMs]) {
      if (sentMs - Math.max(heardMs, this.#leasesFromMs) >= timings.leaseMs) {
        this.#remove(edge, 'silent');
      }
    }
  }

  /** Whether it has said goodbye, not long ago. */
  hasLeft(edge: EdgeId): boolean {
    return this.#departed.has(edge);
  }

  /** Says hello no more; the view still follows what others say. Idempotent. */
  leave(): void {
    this.#state = 'leaving';
    this.#stopHellos?.();
    this.#cancelGreeting?.();
    this.#release();
  }

  #heard(from: EdgeId, greeted: boolean): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    if (this.#heardMs.has(from)) {
      this.#heardMs.set(from, nowMs);
      return true;
    }
    if (this.#departed.has(from)) return false;
    if (this.#heardMs.size >= maxPeers) {
      this.#complain(nowMs);
      return false;
    }
    this.#heardMs.set(from, nowMs);
    this.#view = [this.#options.edgeId, ...this.#heardMs.keys()];
    this.#options.log.info({ peer: from, edges: this.#view.length }, 'an edge has joined');
    this.#options.listener.joined(from);
    if (!greeted && this.#state === 'settled') {
      this.#forgotten.add(from);
      this.#send(from, true);
    }
    return true;
  }

  #remove(edge: EdgeId, how: Departure): void {
    const lastHeardMs = this.#heardMs.get(edge);
    if (lastHeardMs === undefined) return;
    this.#heardMs.delete(edge);
    this.#forgotten.delete(edge);
    this.#load.delete(edge);
    this.#view = [this.#options.edgeId, ...this.#heardMs.keys()];
    this.#options.log.info({ peer: edge, how, edges: this.#view.length }, 'an edge has left');
    this.#options.listener.left(edge, how, lastHeardMs);
  }

  #hello(): void {
    if (this.#state === 'away' || this.#state === 'leaving') return;
    const { bus, clock } = this.#options;
    for (const edge of this.#forgotten) this.#send(edge, true);
    const greet = this.#greetDue;
    this.#helloSentMs ??= clock.monotonicMs();
    bus.send({ kind: 'all' }, this.#message(greet)).then(
      () => {
        if (greet) this.#greeted();
      },
      () => {
        // The broker is away or takes nothing: the next hello is soon, and until it comes back nobody is declared dead.
        if (greet) this.#greetLater();
      },
    );
  }

  #greetLater(): void {
    if (this.#state !== 'greeting') return;
    this.#cancelGreeting?.();
    this.#cancelGreeting = this.#options.clock.after(greetAgainMs, () => this.#hello());
  }

  #greeted(): void {
    if (this.#state !== 'greeting' || !this.#greetDue) return;
    this.#greetDue = false;
    this.#cancelGreeting?.();
    this.#cancelGreeting = this.#options.clock.after(this.#options.timings.answersMs, () => {
      if (this.#state !== 'greeting') return;
      this.#state = 'settled';
      this.#release();
      this.#options.listener.settled();
    });
  }

  #release(): void {
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  /** A hello for one edge. One that does not get through is made good: a plain one by the next to all, a greeting by itself. */
  #send(edgeId: EdgeId, greet: boolean): void {
    this.#options.bus.send({ kind: 'edge', edgeId }, this.#message(greet)).then(
      () => {
        if (greet) this.#forgotten.delete(edgeId);
      },
      () => undefined,
    );
  }

  #message(greet: boolean): Hello {
    const load: [AppId, number, number][] = [];
    for (const [app, { connections, apiEvents }] of this.#options.load()) {
      load.push([app, connections, apiEvents]);
    }
    return { type: 'hello', greet, load };
  }

  #complain(nowMs: number): void {
    if (nowMs - this.#loggedMs < logPeriodMs) return;
    this.#loggedMs = nowMs;
    this.#options.log.error({ edges: maxPeers }, 'too many edges: further ones are ignored');
  }
}
