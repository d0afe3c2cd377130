/**
 * Which of the routers leads, and what the router's queue is bound to: as the one that leads wants it, and to nothing else.
 *
 * Whatever may be bound is in the list that the broker keeps: it is written down before it is bound, and crossed out after it is
 * unbound. A crash in between leaves a list that says too much, and the next one that leads makes good for it.
 */
import { routerQueues, type TopologyNames } from '../../contracts/topology.ts';
import { delay } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import { checkSources } from '../event-sources.ts';
import type { EventSources } from '../port.ts';
import { type BindingList, bindingList, sameBindings, union, without } from './binding-list.ts';
import { ensureQueue } from './declare.ts';
import { HeldBindings } from './held-bindings.ts';
import { type LinkMember, type LinkSession, messageOf } from './link.ts';
import type { OrderedConsumerHost } from './ordered-consumer.ts';
import { bindAll, unbindAll } from './router-bindings.ts';

export interface RouterLeadHost extends OrderedConsumerHost {
  readonly names: TopologyNames;
  /** Until what is amiss is tried again. */
  readonly retryAfterMs: number;
}

export interface RouterLeadEvents {
  /** These queues of others are to be consumed from now on, and no others. */
  queues(names: readonly string[]): void;
  /** Whatever is consumed must be given back: another router may lead. */
  lost(): void;
  problems(sentences: readonly string[]): void;
}

/** Exchanges of others may be declared anew at any time, without their bindings. */
const recheckMs = 30_000;
/** The broker closes a channel that holds a message for too long: 30 minutes by default. */
const renewMs = 10 * 60_000;
/** Until the next attempt to stand in line. */
const joinAgainMs = 200;

interface Change {
  /** Until it was called. */
  between: (() => void) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: BrokerError) => void;
}

export class RouterLead implements LinkMember {
  readonly #host: RouterLeadHost;
  readonly #events: RouterLeadEvents;
  #sources: EventSources;
  #session: LinkSession | undefined;
  #held: HeldBindings | undefined;
  /** Somebody else leads. */
  #standsBy = false;
  /** It leads, and everything is bound as it should be. */
  #inForce = false;
  /** Everything was bound just now. */
  #fresh = false;
  /** What was bound in this lead. */
  #bound: BindingList = new Set();
  #changes: Change[] = [];
  #working = false;
  #again = false;
  #cancelNext = () => {};
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  #stopped = false;
  #settle: () => void = () => undefined;
  #refuse: (error: BrokerError) => void = () => undefined;
  /** Resolves when the bindings are in force or somebody else leads; rejects with what makes that impossible for good, or `closed`. */
  readonly settled: Promise<void>;

  constructor(host: RouterLeadHost, sources: EventSources, events: RouterLeadEvents) {
    this.#host = host;
    this.#sources = sources;
    this.#events = events;
    this.settled = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#refuse = reject;
    });
    this.settled.catch(() => undefined);
    if (host.link.stopped.aborted) this.#refuse(new BrokerError('closed', 'the broker is closed'));
    else host.link.add(this);
  }

  get leads(): boolean {
    return this.#inForce;
  }

  /** Resolves when it leads with its bindings in force; rejects when the connection is lost before, or it is stopped. */
  leading(): Promise<void> {
    if (this.#inForce) return Promise.resolve();
    if (this.#stopped || this.#session === undefined) return Promise.reject(lost());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Binds everything anew, unless that was done since it took the lead: the queue may have been deleted. */
  async confirm(): Promise<void> {
    if (!this.#fresh) {
      this.#bound = new Set();
      await this.replace(this.#sources, () => undefined);
    }
    this.#fresh = false;
  }

  /** As `Consumption.rebind`. */
  replace(sources: EventSources, between: () => void): Promise<void> {
    if (this.#stopped) return Promise.reject(stopped());
    this.#sources = sources;
    if (this.#standsBy) {
      // Whoever leads decides; these are bound when this one does.
      between();
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.#changes.push({ between, resolve, reject });
      this.#work();
    });
  }

  /** Lets the next one lead: everything in hand must have been settled. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#host.link.remove(this);
    this.#cancelNext();
    this.#refuse(stopped());
    for (const { reject } of this.#changes.splice(0)) reject(stopped());
    const held = this.#held;
    this.#letGo();
    await held?.close();
  }

  attached(session: LinkSession): void {
    this.#session = session;
    void this.#join(session);
  }

  detached(): void {
    this.#session = undefined;
    this.#letGo();
  }

  #letGo(): void {
    this.#cancelNext();
    this.#held = undefined;
    this.#standsBy = false;
    this.#inForce = false;
    this.#bound = new Set();
    for (const { reject } of this.#waiting.splice(0)) reject(lost());
  }

  /** As long as the connection lives: whoever loses the lead stands in line again. */
  async #join(session: LinkSession): Promise<void> {
    const { clock, log, names, publisher } = this.#host;
    while (!this.#over(session)) {
      try {
        if (publisher.ready) {
          for (const queue of routerQueues(names)) await ensureQueue(session.model, queue);
          await this.#standInLine(session);
        }
      } catch (error) {
        if (this.#over(session)) return;
        if (error instanceof BrokerError && !error.retryable) this.#refuse(error);
        log.warn({ err: error, queue: names.routerBindings }, 'cannot stand in line for the lead');
      }
      await delay(clock, joinAgainMs, session.ended);
    }
  }

  /** Resolves when its place is lost. */
  async #standInLine(session: LinkSession): Promise<void> {
    const gone = new AbortController();
    let held: HeldBindings | undefined;
    const current = () => held !== undefined && this.#held === held;
    const opened = await HeldBindings.open(session, this.#host.names.routerBindings, this.#host, {
      lead: () => {
        if (current()) this.#takeLead();
      },
      lost: () => gone.abort(),
    });
    held = opened;
    if (this.#over(session)) {
      await opened.close();
      return;
    }
    this.#held = opened;
    try {
      if (opened.leads) this.#takeLead();
      else if (!(await opened.settled()) && current()) this.#standBy();
      await aborted(gone.signal, session.ended);
    } finally {
      if (current()) {
        this.#letGo();
        this.#events.lost();
        await opened.close();
      }
    }
  }

  #standBy(): void {
    this.#standsBy = true;
    this.#host.log.info({}, 'standing by: another router leads');
    this.#events.problems([]);
    this.#settle();
    for (const change of this.#changes.splice(0)) {
      change.between?.();
      change.resolve();
    }
  }

  #takeLead(): void {
    this.#standsBy = false;
    this.#host.log.info({}, 'this router leads');
    this.#work();
  }

  /** One at a time; what was asked for meanwhile comes to one more. */
  #work(): void {
    if (this.#working) {
      this.#again = true;
      return;
    }
    const held = this.#held;
    const session = this.#session;
    if (held?.leads !== true || session === undefined) return;
    this.#working = true;
    this.#cancelNext();
    void this.#apply(session, held).then((pauseMs) => {
      this.#working = false;
      if (this.#stopped) return;
      const again = this.#again || this.#held !== held;
      this.#again = false;
      if (again) this.#work();
      else this.#cancelNext = this.#host.clock.after(pauseMs, () => this.#work());
    });
  }

  /** Returns after how many milliseconds to look again. Never rejects. */
  async #apply(session: LinkSession, held: HeldBindings): Promise<number> {
    const changes = this.#changes.splice(0);
    try {
      return await this.#bring(session, held, changes);
    } catch (error) {
      this.#changes.unshift(...changes);
      if (this.#over(session) || this.#held !== held) return 0;
      if (error instanceof BrokerError && !error.retryable) this.#refuse(error);
      const { log, retryAfterMs } = this.#host;
      log.warn(
        { err: error, retryMs: retryAfterMs },
        'the bindings of the router cannot be changed',
      );
      this.#events.problems([
        `the router's queue cannot be bound as warren.yaml says: ${messageOf(error)}`,
      ]);
      return retryAfterMs;
    }
  }

  async #bring(session: LinkSession, held: HeldBindings, changes: Change[]): Promise<number> {
    const { names, retryAfterMs } = this.#host;
    const { model } = session;
    const sources = checkSources(this.#sources, names);
    const main = bindingList([names.domainEvents], sources.patterns);
    const wanted = bindingList(sources.exchanges, sources.patterns);
    // The first write in a lead also reads all that former ones have written.
    if (!this.#inForce || without(wanted, held.bindings).size > 0) {
      await held.write(union(wanted, held.bindings));
    }
    const bound = await bindAll(model, names.routerEvents, without(wanted, this.#bound));
    // Those of others are looked at again and again.
    this.#bound = main;
    const refused = [...main].find((binding) => bound.failed.has(binding));
    if (refused !== undefined) {
      this.#bound = new Set();
      throw new BrokerError('broker_topology', bound.problems[0] ?? 'a binding was refused');
    }
    for (const change of changes) {
      change.between?.();
      change.between = undefined;
    }
    const kept = await unbindAll(model, names.routerEvents, without(held.bindings, wanted));
    const known = union(wanted, kept.failed);
    if (!held.single || !sameBindings(held.bindings, known) || held.ageMs >= renewMs / 2) {
      await held.write(known);
    }
    if (this.#held !== held) throw lost();
    const problems = [...sources.problems, ...bound.problems, ...kept.problems];
    this.#events.problems(problems);
    this.#events.queues(sources.queues);
    this.#fresh ||= !this.#inForce;
    this.#inForce = true;
    this.#settle();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
    for (const { resolve } of changes) resolve();
    if (problems.length > 0) return retryAfterMs;
    return sources.exchanges.length > 1 ? recheckMs : renewMs;
  }

  #over(session: LinkSession): boolean {
    return this.#stopped || session.ended.aborted;
  }
}

/** Resolves when one of them aborts. */
function aborted(...signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of signals) {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    }
  });
}

function lost(): BrokerError {
  return new BrokerError('broker_unavailable', 'the connection was lost');
}

function stopped(): BrokerError {
  return new BrokerError('closed', 'consumption was stopped');
}
