/**
 * What the router's queue is bound to: as the router that leads wants it, and to nothing else.
 *
 * Whatever may be bound is in the list that the broker keeps: it is written down before it is bound, and crossed out after it is
 * unbound. A crash in between leaves a list that says too much, and the next one that leads makes good for it.
 */
import type { ChannelModel } from 'amqplib';
import { BrokerError } from '../errors.ts';
import { checkSources } from '../event-sources.ts';
import type { EventSources } from '../port.ts';
import { bindingList, sameBindings, union, without } from './binding-list.ts';
import type { HeldBindings } from './held-bindings.ts';
import { messageOf } from './link.ts';
import { PlaceInLine, type PlaceInLineHost } from './place-in-line.ts';
import { bindAll, unbindAll } from './router-bindings.ts';

export interface RouterLeadHost extends PlaceInLineHost {
  /** Until what is amiss is tried again. */
  readonly retryAfterMs: number;
}

export interface RouterLeadEvents {
  /** These queues of others are to be consumed from now on, and no others. */
  queues(names: readonly string[]): void;
  /** The connection lives: whatever is consumed over it must be given back, since another router may lead. */
  lost(): void;
  problems(sentences: readonly string[]): void;
}

/** Exchanges of others may be declared anew at any time, without their bindings. */
const recheckMs = 30_000;
/** The broker closes a channel that holds a message for too long: 30 minutes by default. */
const renewMs = 10 * 60_000;

interface Change {
  /** Until it was called. */
  between: (() => void) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: BrokerError) => void;
}

interface Lead {
  readonly model: ChannelModel;
  readonly held: HeldBindings;
}

export class RouterLead {
  readonly #host: RouterLeadHost;
  readonly #events: RouterLeadEvents;
  readonly #place: PlaceInLine;
  #sources: EventSources;
  #lead: Lead | undefined;
  /** Somebody else leads. */
  #standsBy = false;
  /** It leads, and everything is bound as it should be. */
  #inForce = false;
  /** It has just come to be in force. */
  #fresh = false;
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
    this.#place = new PlaceInLine(host, {
      leads: ({ model }, held) => {
        this.#standsBy = false;
        this.#lead = { model, held };
        this.#work();
      },
      standsBy: () => this.#standBy(),
      lost: (connected) => {
        this.#letGo();
        if (connected) events.lost();
      },
      refused: (error) => this.#refuse(error),
    });
    if (host.link.stopped.aborted) this.#refuse(new BrokerError('closed', 'the broker is closed'));
    else this.#place.start();
  }

  get leads(): boolean {
    return this.#inForce;
  }

  /** Resolves when it leads with its bindings in force; rejects when the connection is lost before, or it is stopped. */
  leading(): Promise<void> {
    if (this.#inForce) return Promise.resolve();
    if (this.#stopped) return Promise.reject(stopped());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
    });
  }

  /** Binds everything anew, unless that was done since it took the lead: the queue may have been deleted. */
  async confirm(): Promise<void> {
    if (!this.#fresh) await this.replace(this.#sources, () => undefined);
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
    this.#refuse(stopped());
    for (const { reject } of this.#changes.splice(0)) reject(stopped());
    this.#letGo();
    await this.#place.stop();
  }

  #letGo(): void {
    this.#cancelNext();
    this.#lead = undefined;
    this.#standsBy = false;
    this.#inForce = false;
    for (const { reject } of this.#waiting.splice(0)) reject(lost());
  }

  #standBy(): void {
    this.#standsBy = true;
    this.#events.problems([]);
    this.#settle();
    for (const change of this.#changes.splice(0)) {
      change.between?.();
      change.resolve();
    }
  }

  /** One at a time; what was asked for meanwhile comes to one more. */
  #work(): void {
    if (this.#working) {
      this.#again = true;
      return;
    }
    const lead = this.#lead;
    if (lead === undefined) return;
    this.#working = true;
    this.#cancelNext();
    void this.#apply(lead).then((pauseMs) => {
      this.#working = false;
      if (this.#stopped) return;
      const again = this.#again || this.#lead !== lead;
      this.#again = false;
      if (again) this.#work();
      else this.#cancelNext = this.#host.clock.after(pauseMs, () => this.#work());
    });
  }

  /** Returns after how many milliseconds to look again. Never rejects. */
  async #apply(lead: Lead): Promise<number> {
    const changes = this.#changes.splice(0);
    const { log, retryAfterMs } = this.#host;
    try {
      return await this.#bring(lead, changes);
    } catch (error) {
      if (this.#stopped) for (const { reject } of changes) reject(stopped());
      else this.#changes.unshift(...changes);
      if (this.#lead !== lead) return retryAfterMs;
      if (error instanceof BrokerError && !error.retryable) this.#refuse(error);
      const fields = { err: error, retryMs: retryAfterMs };
      log.warn(fields, 'the bindings of the router cannot be changed');
      this.#events.problems([
        `the router's queue cannot be bound as warren.yaml says: ${messageOf(error)}`,
      ]);
      return retryAfterMs;
    }
  }

  async #bring(lead: Lead, changes: readonly Change[]): Promise<number> {
    const { names, retryAfterMs } = this.#host;
    const { model, held } = lead;
    const first = !this.#inForce;
    const sources = checkSources(this.#sources, names);
    const wanted = bindingList(sources.exchanges, sources.patterns);
    // The first write in a lead also reads all that former ones have written.
    if (first || without(wanted, held.bindings).size > 0) {
      await held.write(union(wanted, held.bindings));
    }
    const bound = await bindAll(model, names.routerEvents, wanted);
    const needed = bindingList([names.domainEvents], sources.patterns);
    if ([...bound.failed].some((binding) => needed.has(binding))) {
      throw new BrokerError('broker_topology', bound.problems[0] ?? 'a binding was refused');
    }
    for (const change of changes) {
      change.between?.();
      change.between = undefined;
    }
    this.#mustStillLead(lead);
    const kept = await unbindAll(model, names.routerEvents, without(held.bindings, wanted));
    const known = union(wanted, kept.failed);
    if (!held.single || !sameBindings(held.bindings, known) || held.ageMs >= renewMs / 2) {
      await held.write(known);
    }
    this.#mustStillLead(lead);
    const problems = [...sources.problems, ...bound.problems, ...kept.problems];
    this.#events.problems(problems);
    this.#events.queues(sources.queues);
    this.#fresh ||= first;
    this.#inForce = true;
    this.#settle();
    for (const { resolve } of this.#waiting.splice(0)) resolve();
    for (const { resolve } of changes) resolve();
    // Soon after it took the lead once more: its predecessor may have been unbinding with its last breath.
    if (first || problems.length > 0) return retryAfterMs;
    return sources.exchanges.length > 1 ? recheckMs : renewMs;
  }

  #mustStillLead(lead: Lead): void {
    if (this.#lead !== lead) throw lost();
  }
}

function lost(): BrokerError {
  return new BrokerError('broker_unavailable', 'the lead was lost');
}

function stopped(): BrokerError {
  return new BrokerError('closed', 'consumption was stopped');
}
