/**
 * The broker as router and edge see it: eight ports, each with its guarantees, and one more for operators. Every sentence of guarantee is a test in
 * `test/contract/`, run on each adapter. Nothing here knows AMQP; `broker/amqp` and `broker/memory` implement it.
 */
import type { DeadLetter } from '../contracts/dead-letter.ts';
import type { IncomingEvent } from '../contracts/domain-event.ts';
import type { EgressEvent } from '../contracts/egress-event.ts';
import type { Refusal } from '../contracts/errors.ts';
import type { ChannelKey, EdgeId } from '../contracts/ids.ts';
import type { Publication } from '../contracts/publication.ts';

/** One supervised connection to a broker with everything that Warren does over it. */
export interface Broker {
  readonly domainEvents: DomainEvents;
  readonly channelPublisher: ChannelPublisher;
  readonly sessionQueues: SessionQueues;
  readonly edgeQueues: EdgeQueues;
  readonly edgeBus: EdgeBus;
  readonly publicationCache: PublicationCache;
  readonly webhookQueues: WebhookQueues;
  readonly clientEvents: ClientEvents;
  status(): BrokerStatus;
  /** Called after each change of `status().ready`. Returns the way to stop listening. */
  onStatus(listener: (status: BrokerStatus) => void): () => void;
  /** Closes everything that was opened through this broker. Idempotent; resolves within a few seconds, broker or not. */
  close(): Promise<void>;
}

export interface BrokerStatus {
  /** Publishing and consuming both work now. */
  readonly ready: boolean;
  /** One sentence for an operator: why not ready. Holds no credentials. */
  readonly reason?: string;
}

// ---------------------------------------------------------------------------------------------------------------------

/** Domain events in: one total order, at least once. */
export interface DomainEvents {
  /**
   * Consumes the router's queue, which exists and is bound to the given sources when this resolves, or another consumer is active;
   * waits for the broker as long as that takes.
   *
   * - Of all consumers of the queue in the cluster one is active at a time; the next takes over within seconds of its end.
   * - The active one decides what the queue is bound to: when it takes over, what is no longer wanted is unbound, also what a former
   *   process has bound. Something that nobody wants may stay bound while a change is under way, never too little.
   * - Further exchanges are bound with the same patterns, and further queues are consumed by the active consumer alone, each by the
   *   promises below, in its own order. One that is missing, or that the broker forbids, is told to `problems`, stops none of the
   *   others, and is taken up when it is there.
   * - `handle` is called in queue order, each call after the former has returned its promise; up to `prefetch` promises are
   *   unresolved at a time. Settlement follows queue order, whatever order the promises resolve in.
   * - `done` removes the event. `dead-letter` removes it after the dead-letter queue has confirmed a copy with the reason.
   * - A rejected promise means the event stays in the queue: consumption stops, and resumes from that event, in order, once the
   *   broker is ready again. Events behind it that were handled already may be handled once more.
   * - After a loss of the connection consumption resumes by itself; events that were not settled come again, in order.
   */
  consume(options: ConsumeOptions): Promise<Consumption>;

  /**
   * Publishes a domain event, as services do with their own AMQP client. For the embedded broker, tools and tests.
   * Resolves when the broker has confirmed; rejects with `BrokerError`.
   */
  publish(event: OutgoingEvent): Promise<void>;
}

/** Where domain events come from. */
export interface EventSources {
  /** AMQP topic patterns over the routing key. */
  readonly patterns: readonly string[];
  /** Names of further exchanges, of others. */
  readonly exchanges?: readonly string[];
  /** Names of further queues, of others. */
  readonly queues?: readonly string[];
}

export interface ConsumeOptions extends EventSources {
  /** Of each queue; 1 to 1,000. */
  readonly prefetch: number;
  handle(event: IncomingEvent): Promise<Outcome>;
  /** All that is amiss with the sources, a sentence for each, on every change; empty when all is well. Must not throw. */
  problems?(sentences: readonly string[]): void;
}

export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'dead-letter'; readonly refusal: Refusal };

export interface Consumption {
  /**
   * Binds what is new, calls `between`, and then unbinds what is gone; no event that both sets match is missed. Waits while the broker
   * is away and tries again where it fails; of several calls that wait the latest is applied. Rejects with `closed`.
   *
   * @param between must not throw
   */
  rebind(sources: EventSources, between?: () => void): Promise<void>;
  /** Takes no further event, waits for those in hand to settle (at most `deadlineMs`), then lets go. Idempotent. */
  stop(deadlineMs: number): Promise<void>;
}

export interface OutgoingEvent {
  readonly routingKey: string;
  readonly body: Buffer;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly contentType?: string;
  readonly messageId?: string;
  readonly type?: string;
}

// ---------------------------------------------------------------------------------------------------------------------

/** Publications out, to whoever is bound to their channel key. */
export interface ChannelPublisher {
  /**
   * Resolves when the broker has confirmed the publication: from then on every queue that was bound to its key before the call
   * holds it. `routed` is false when no queue was bound; it is true of every cached publication and of every revocation, since the
   * cache holds it.
   *
   * - Calls reach the broker in call order, and so do their publications, per channel and over all channels.
   * - Rejects at once with `broker_unavailable` while the broker is away or refuses publishers (memory or disk alarm), and with
   *   `broker_busy` beyond the bound on unconfirmed publications; with `broker_timeout` when no confirm comes in time. After a
   *   rejection the publication may or may not arrive. All pending calls are rejected before any later call can succeed.
   */
  publish(publication: Publication): Promise<{ readonly routed: boolean }>;
}

// ---------------------------------------------------------------------------------------------------------------------

/** A message on its way to a socket. `body` is the text of the WebSocket frame. */
export interface Delivery {
  /** Names the delivery within its queue; passed back to `ack`. */
  readonly tag: number;
  /** Changes whenever the queue was re-opened: an acknowledgement of an earlier epoch is a no-op. */
  readonly epoch: number;
  readonly key: ChannelKey;
  /** The exact channel name, for the check after a hashed key. */
  readonly channel: string;
  readonly id: string;
  readonly body: Buffer;
  readonly except?: string;
  /** See `Publication.revokes`: nothing for a socket. Never on what was published without it, or with a body. */
  readonly revokes?: string;
  readonly traceparent?: string;
  /** The broker has delivered it before, maybe to another edge. */
  readonly redelivered: boolean;
}

/** One queue per connection. */
export interface SessionQueues {
  /**
   * Opens a queue and starts to deliver; waits for the broker as long as that takes, or until `signal` aborts
   * (then rejects with `closed` and leaves nothing behind). Deliveries may come before this resolves.
   *
   * A plain queue may be one that served another owner before: its bindings are gone, and nothing that was published for the former
   * owner is delivered to the new one.
   */
  open(spec: SessionSpec, receiver: SessionReceiver, signal?: AbortSignal): Promise<SessionQueue>;
}

export type SessionSpec =
  /** Lives as long as its owner: exclusive, deleted on close or kept empty and unbound for the next one. */
  | { readonly kind: 'plain'; readonly prefetch: number; readonly maxLength: number }
  /**
   * Survives its owner for `windowMs`; found again under the same key on any edge. One owner at a time: where another edge still
   * holds it, `open` waits until that one lets go, and then gets what it had not acknowledged, in order.
   */
  | {
      readonly kind: 'continuity';
      /** Hash of the session id: `[A-Za-z0-9_-]{22,64}`. */
      readonly key: string;
      /** An adapter may hand over fewer at a time, but no fewer than 190 where this is more. */
      readonly prefetch: number;
      /** Messages that it holds while parked, or while its owner is behind. More than `prefetch`, else `open` rejects with `RangeError`. */
      readonly maxLength: number;
      readonly windowMs: number;
    };

export interface SessionReceiver {
  /** In queue order, one call at a time, at most `prefetch` unacknowledged, none once `park` or `close` was called. Must not throw. */
  delivered(delivery: Delivery): void;
  /**
   * Continuity only: something that was published for this session before this point may be missing. A notice is kept like a message:
   * it comes again, to whoever owns the session then, until it is acknowledged, and that is when the client knows. It is given for
   * every loss (never a loss without one, save where the queue itself is gone: then `resumed` is false) and may be given where there was
   * none: messages beyond `maxLength`, a restart of the broker. What is left in the queue is thrown away. Bindings and note are
   * kept where this owner had it before; else it has neither.
   */
  lost(notice: LossNotice): void;
  /** Continuity only: the text of the latest `note`, when the session is found again. Comes in queue order. */
  noted(text: string): void;
  /**
   * The connection to the queue was lost. A plain queue is gone with all it held; the adapter makes a new one with the same
   * bindings by itself and then calls `restored`. A continuity queue is found again or made anew, then with a notice of loss.
   * Tags of earlier deliveries mean nothing any more; of a continuity queue, what was not acknowledged comes again.
   */
  interrupted(): void;
  restored(): void;
}

export interface LossNotice {
  readonly tag: number;
  readonly epoch: number;
  /** `overflow`: more than it holds. `unknown`: the broker lost what it held, or may have. */
  readonly reason: 'overflow' | 'unknown';
}

export interface SessionQueue {
  /** True when a parked queue with this key was found, whole or with a notice of loss. Always false for plain queues. */
  readonly resumed: boolean;
  /**
   * Resolves when the broker routes the key here: what is published afterwards is delivered. Idempotent.
   * Waits while the broker is away; rejects with `closed` once the queue is closed or parked.
   */
  bind(key: ChannelKey): Promise<void>;
  /** What was published before may still be delivered. Idempotent; resolves at once while the broker is away. */
  unbind(key: ChannelKey): Promise<void>;
  /** This delivery, or notice, will not come again. A no-op for tags of an earlier epoch. */
  ack(delivery: Pick<Delivery, 'tag' | 'epoch'>): void;
  /**
   * Continuity only: keeps a text with the session, in place of the former one, for its next owner. At most 8 KB. Resolves when the
   * broker has it; rejects with `BrokerError`. Takes no place in the prefetch.
   */
  note(text: string): Promise<void>;
  /**
   * Continuity only: throws away what the queue holds, its bindings and its note; it goes on empty, without a notice of loss. Resolves
   * when it does; waits while the broker is away.
   */
  reset(): Promise<void>;
  /**
   * Lets go of a continuity queue: unacknowledged deliveries go back to its head in order, and it keeps collecting for its window.
   * A plain queue is closed.
   */
  park(): Promise<void>;
  /** Ends the session: the queue is deleted with its bindings, or a plain one emptied for the next owner. Idempotent. */
  close(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------------------------

/** One queue per edge, for channels with many local subscribers. */
export interface EdgeQueues {
  /** An edge may open several: each has bindings of its own. */
  open(
    spec: { readonly edgeId: EdgeId; readonly maxLength: number },
    receiver: EdgeQueueReceiver,
  ): Promise<EdgeQueue>;
}

export interface EdgeQueueReceiver {
  /** In queue order. Needs no acknowledgement: what the queue holds dies with its edge. */
  delivered(delivery: Delivery): void;
  /** What was published since the interruption and until `restored` is lost to this queue. */
  interrupted(): void;
  restored(): void;
}

export interface EdgeQueue {
  /**
   * Bindings are counted: the key stays bound until each `bind` had its `unbind`. Resolves when the broker routes the key here;
   * waits while the broker is away; rejects with `closed`.
   */
  bind(key: ChannelKey): Promise<void>;
  unbind(key: ChannelKey): Promise<void>;
  close(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------------------------

/** What edges say to each other: presence, control, queries. At most once; order holds per sender. */
export interface EdgeBus {
  /** Joins the bus; every member listens to `all` and to its own id from the start. */
  join(edgeId: EdgeId, receiver: EdgeBusReceiver): Promise<EdgeBusMember>;

  /**
   * Says something to all members without being one. Resolves when the broker has confirmed; rejects with `BrokerError`. Calls reach
   * the broker in call order, also among calls of `ChannelPublisher`.
   */
  announce(from: EdgeId, body: Buffer): Promise<void>;
}

/** `all`: every member. `edge`: one member. `topic`: members that listen to it. */
export type BusAddress =
  | { readonly kind: 'all' }
  | { readonly kind: 'edge'; readonly edgeId: EdgeId }
  | { readonly kind: 'topic'; readonly topic: ChannelKey };

export interface BusMessage {
  readonly from: EdgeId;
  readonly to: BusAddress['kind'];
  readonly body: Buffer;
}

export interface EdgeBusReceiver {
  /** A member hears its own messages too, so that all members see one order per sender. */
  message(message: BusMessage): void;
  interrupted(): void;
  restored(): void;
}

export interface EdgeBusMember {
  /** Resolves when the broker has confirmed; rejects with `BrokerError`. Calls reach the broker in call order. */
  send(to: BusAddress, body: Buffer): Promise<void>;
  listen(topic: ChannelKey): Promise<void>;
  unlisten(topic: ChannelKey): Promise<void>;
  leave(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------------------------

/**
 * The publications of cache channels (`Publication.cached`) and all revocations (`Publication.revokes`), kept by the broker for a day at
 * most: survives the death of any edge.
 */
export interface PublicationCache {
  /**
   * Hands over what is kept, oldest first, then each further one as it is published: in one order, the same for every follower.
   * Resolves when everything that was confirmed before the call has been handed over; waits for the broker as long as that takes,
   * or until `signal` aborts (then rejects with `closed` and leaves nothing behind). After a loss of the connection it goes on by
   * itself where it stopped; what was handed over before may come once more, in order.
   */
  follow(receiver: CacheReceiver, signal?: AbortSignal): Promise<CacheFollower>;
}

export interface CacheReceiver {
  /** Must not throw. */
  published(publication: CachedPublication): void;
}

export interface CachedPublication {
  readonly key: ChannelKey;
  /** The exact channel name, for the check after a hashed key. */
  readonly channel: string;
  readonly id: string;
  /** The text of the WebSocket frame. */
  readonly body: Buffer;
  /** As in `Delivery`. */
  readonly revokes?: string;
  /** When it was published, in ms since 1970, by the publisher's clock. */
  readonly publishedAtMs: number;
}

export interface CacheFollower {
  /**
   * Resolves when everything that was confirmed before the call has been handed over. Calls that wait at the same time cost one
   * message. Rejects with `BrokerError` while the broker is away or the answer takes too long.
   */
  caughtUp(): Promise<void>;
  close(): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------------------------

/** Reports on their way to HTTP targets: kept by the broker until they are delivered, given up or older than `webhookLifetimeMs`. */
export interface WebhookQueues {
  /**
   * Appends a report to the queue of a target. Resolves when the broker has confirmed it; from then on it survives any edge and a
   * restart of the broker. Rejects with `BrokerError`. Calls for one target reach the broker in call order.
   *
   * @param target names the queue: `[A-Za-z0-9_-]{1,64}`
   */
  publish(target: string, report: Buffer): Promise<void>;
  /**
   * Takes reports of a target; waits for the broker as long as that takes.
   *
   * - Of all consumers of a target in the cluster one is active at a time; the next takes over within seconds of its end.
   * - `handle` is called in queue order, up to `prefetch` promises are unresolved at a time.
   * - `done` removes the report. `dead-letter` removes it after the dead-letter queue (`webhooks.dlq`, bounded, oldest dropped) has
   *   confirmed a copy with the reason. A rejected promise means the report stays in the queue and is handed over again.
   * - A report that has waited for `webhookLifetimeMs` without being handed over is dead-lettered by the broker; so is the oldest
   *   beyond the bound on reports that wait for a target (10,000).
   * - After a loss of the connection it goes on by itself; reports that were not settled come again.
   */
  consume(options: WebhookConsumeOptions): Promise<WebhookConsumption>;
}

/** Reports older than this are given up. */
export const webhookLifetimeMs = 5 * 60_000;

export interface WebhookConsumeOptions {
  readonly target: string;
  /** 1 to 1,000. */
  readonly prefetch: number;
  handle(report: WebhookReport): Promise<WebhookOutcome>;
}

export interface WebhookReport {
  readonly body: Buffer;
  /** When it was published, in ms since 1970, by the publisher's clock. */
  readonly publishedAtMs: number;
}

export type WebhookOutcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'dead-letter'; readonly reason: string };

export interface WebhookConsumption {
  /** Takes no further report, waits for those in hand to settle (at most `deadlineMs`), then lets go. Idempotent. */
  stop(deadlineMs: number): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------------------------

/** What services hear of clients: a topic exchange to which they bind queues of their own. Warren has none there. */
export interface ClientEvents {
  /**
   * Resolves when the broker has confirmed the event: from then on every queue that was bound to its key before the call holds it,
   * attributes and body as they are. That no queue is bound is no error.
   *
   * - Calls reach the broker in call order.
   * - Rejects with `BrokerError`, at once while the broker is away. After a rejection the event may or may not arrive.
   */
  publish(event: EgressEvent): Promise<void>;
}

// ---------------------------------------------------------------------------------------------------------------------

/** Refused messages, in the hands of an operator. A connection of its own: nothing here comes back by itself after a loss. */
export interface DeadLetters {
  /**
   * Hands the letters of a queue to `visit`, one after the other, and does with each as that says.
   *
   * - In queue order, those that were there when the walk began, `limit` at most. What is added meanwhile is not visited.
   * - `keep`: when the walk is over the letter is where it was, also where the walk is broken off or its process dies.
   * - `drop`: the letter is gone when the walk has resolved.
   * - `replay`: `router.events` has confirmed a copy before the letter is taken out, so it is never lost, and may be handled twice
   *   where the walk is broken off in between. Copies arrive in queue order. The copy has the body, properties and headers of the event
   *   as it was before it was refused, and matches the rules that its first routing key matches.
   * - After `signal` aborts no further letter is taken in hand; what was decided is done before the walk resolves.
   *
   * Rejects with `BrokerError`: `broker_topology` where a queue does not exist, `broker_forbidden`, `broker_unavailable`,
   * `broker_timeout`. What had not been dropped or replayed by then is kept. One walk at a time for each `DeadLetters`.
   */
  walk(options: DeadLetterWalk): Promise<DeadLetterTally>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Letters that one walk visits at most: RabbitMQ keeps the order of no more when a walk dies. */
export const maxDeadLetterWalk = 10_000;

export interface DeadLetterWalk {
  /** `events`: `router.events.dlq`. `webhooks`: `webhooks.dlq`, whose letters cannot be replayed. */
  readonly queue: 'events' | 'webhooks';
  /** 1 to `maxDeadLetterWalk`. */
  readonly limit: number;
  /** Must not throw. The letter's body is not to be kept: a few hundred are in memory at a time, whatever the queue holds. */
  visit(letter: DeadLetter): DeadLetterFate;
  /** Called with every few hundred letters that are settled. */
  progress?(tally: DeadLetterTally): void;
  readonly signal?: AbortSignal;
}

export type DeadLetterFate = 'keep' | 'drop' | 'replay';

export interface DeadLetterTally {
  /** In the queue when the walk began. */
  readonly total: number;
  readonly visited: number;
  readonly dropped: number;
  readonly replayed: number;
}
