/** A router's place in the line for the lead: taken on each connection, and again where it is lost. */
import { routerQueues, type TopologyNames } from '../../contracts/topology.ts';
import { delay } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import { ensureQueue } from './declare.ts';
import { HeldBindings } from './held-bindings.ts';
import type { LinkMember, LinkSession } from './link.ts';
import type { OrderedConsumerHost } from './ordered-consumer.ts';

export interface PlaceInLineHost extends OrderedConsumerHost {
  readonly names: TopologyNames;
}

export interface PlaceInLineEvents {
  leads(session: LinkSession, held: HeldBindings): void;
  /** Somebody else leads. */
  standsBy(): void;
  /** What the former two said is no longer so; `connected` is false where everything else on the connection is gone too. */
  lost(connected: boolean): void;
  /** Trying again changes nothing, though it is tried. */
  refused(error: BrokerError): void;
}

/** Until the next attempt. */
const againMs = 200;

export class PlaceInLine implements LinkMember {
  readonly #host: PlaceInLineHost;
  readonly #events: PlaceInLineEvents;
  #held: HeldBindings | undefined;
  #stopped = false;

  constructor(host: PlaceInLineHost, events: PlaceInLineEvents) {
    this.#host = host;
    this.#events = events;
  }

  start(): void {
    this.#host.link.add(this);
  }

  /** The next one leads. Nothing more is told. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#host.link.remove(this);
    const held = this.#held;
    this.#held = undefined;
    await held?.close();
  }

  attached(session: LinkSession): void {
    void this.#join(session);
  }

  detached(): void {
    this.#held = undefined;
    this.#events.lost(false);
  }

  async #join(session: LinkSession): Promise<void> {
    const { clock, log, names, publisher } = this.#host;
    while (!this.#over(session)) {
      try {
        if (publisher.ready) {
          for (const queue of routerQueues(names)) await ensureQueue(session.model, queue);
          await this.#stand(session);
        }
      } catch (error) {
        if (this.#over(session)) return;
        if (error instanceof BrokerError && !error.retryable) this.#events.refused(error);
        log.warn({ err: error, queue: names.routerBindings }, 'cannot stand in line for the lead');
      }
      await delay(clock, againMs, session.ended);
    }
  }

  /** Resolves, or rejects, when the place is lost. */
  async #stand(session: LinkSession): Promise<void> {
    const gone = new AbortController();
    const { log, names } = this.#host;
    const current = () => this.#held !== undefined && this.#held === held;
    const leads = () => {
      if (!current()) return;
      log.info({}, 'this router leads');
      this.#events.leads(session, held);
    };
    const held = await HeldBindings.open(session, names.routerBindings, this.#host, {
      lead: () => leads(),
      lost: () => gone.abort(),
    });
    if (this.#over(session)) {
      await held.close();
      return;
    }
    this.#held = held;
    try {
      if (held.leads) leads();
      else if (!(await held.settled()) && current()) {
        log.info({}, 'standing by: another router leads');
        this.#events.standsBy();
      }
      await aborted(gone.signal, session.ended);
    } finally {
      if (current()) {
        this.#held = undefined;
        this.#events.lost(true);
        await held.close();
      }
    }
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
