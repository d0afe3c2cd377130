/** What a broker adapter brings to the shared suites, and what the suites share among themselves. */

import { assert } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type {
  Broker,
  DeadLetters,
  Delivery,
  EdgeBusReceiver,
  EdgeQueueReceiver,
  LossNotice,
  SessionReceiver,
} from '../../broker/port.ts';
import type { AppId, ChannelName, EdgeId } from '../../contracts/ids.ts';
import {
  createPublication,
  type Publication,
  type PublicationInput,
} from '../../contracts/publication.ts';
import { eventually } from '../support/eventually.ts';

export interface BrokerAdapter {
  readonly name: string;
  create(bounds?: Bounds): Promise<BrokerUnderTest>;
}

/** What a test sets lower than the default, so as to reach it. */
export interface Bounds {
  readonly webhookLifetimeMs?: number;
  readonly maxWebhookReports?: number;
}

/** One broker with nothing in it, seen from several processes. */
export interface BrokerUnderTest {
  /** Ready. */
  readonly broker: Broker;
  /** A second, independent connection to the same broker, ready: another edge or router. */
  peer(): Promise<Broker>;
  /** An exchange or queue of somebody else; its full name, which nobody else uses. */
  foreignName(name: string): string;
  declareExchange(name: string): Promise<void>;
  declareQueue(name: string): Promise<void>;
  /** Publishes a domain event as a foreign AMQP client would, with whatever it likes. */
  publishRaw(event: RawEvent): Promise<void>;
  deadLetters(): Promise<readonly DeadEvent[]>;
  webhookDeadLetters(): Promise<readonly DeadReport[]>;
  /** What a service gets that has bound a queue of its own to the exchange for what clients say; grows while it is looked at. */
  hearClients(pattern: string): Promise<readonly HeardEvent[]>;
  /** An operator's access to the dead letters, over the network that `interrupt` and `cutOff` break. */
  operate(): Promise<DeadLetters>;
  /** Breaks the connection of `broker`, which comes back by itself. Peers notice nothing. */
  interrupt(): Promise<void>;
  /** Breaks the connection of `broker` and keeps it away until `reconnect`. */
  cutOff(): Promise<void>;
  reconnect(): Promise<void>;
  /** A key for a continuity session that nobody else uses. */
  sessionKey(): string;
  /** A webhook target that nobody else uses. */
  webhookTarget(): string;
  /** Closes everything and deletes what was declared. */
  dispose(): Promise<void>;
}

export interface RawEvent {
  /** Default: the one that services publish to; `''` leads to the queue that the routing key names. */
  readonly exchange?: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly contentType?: string;
  readonly contentEncoding?: string;
  readonly messageId?: string;
  readonly type?: string;
}

export interface DeadEvent {
  readonly routingKey: string;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly messageId?: string;
  readonly contentType?: string;
  /** `<code>: <text>` */
  readonly reason: string;
}

export interface HeardEvent {
  readonly key: string;
  readonly id: string;
  readonly contentType: string;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

export interface DeadReport {
  readonly body: string;
  readonly reason: string;
}

/** A fresh broker for each test of the suite that calls it. */
export function useBroker(adapter: BrokerAdapter, bounds: Bounds = {}): () => BrokerUnderTest {
  let current: BrokerUnderTest | undefined;
  beforeEach(async () => {
    current = await adapter.create(bounds);
  });
  afterEach(async () => {
    await current?.dispose();
    current = undefined;
  });
  return () => {
    if (current === undefined) throw new Error('only within a test');
    return current;
  };
}

export const appId = 'app-1' as AppId;

/** The id stands for the publication in expectations. */
export function publication(
  channel: string,
  id: string,
  more: Partial<PublicationInput> = {},
): Publication {
  const name = channel as ChannelName;
  return createPublication({ appId, channel: name, event: 'test', data: id, id, ...more });
}

export function keyOf(channel: string, app: AppId = appId) {
  return publication(channel, 'key', { appId: app }).key;
}

export function edgeId(name: string): EdgeId {
  return name as EdgeId;
}

export function range(length: number, from = 0): readonly number[] {
  return Array.from({ length }, (_, index) => from + index);
}

/** Whole numbers below `limit`, the same in every run. */
export function pseudoRandom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    // Numerical Recipes' linear congruential generator; the high bits are the good ones.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** What a session or edge queue was told, in order. */
export class Recorder implements SessionReceiver, EdgeQueueReceiver {
  readonly deliveries: Delivery[] = [];
  readonly notices: LossNotice[] = [];
  readonly notes: string[] = [];
  /** All of it, in the order of the calls: `<id>`, `lost <reason>`, `noted <text>`, `interrupted`, `restored`. */
  readonly calls: string[] = [];
  interruptions = 0;
  restorations = 0;
  readonly #onDelivery: ((delivery: Delivery) => void) | undefined;

  constructor(onDelivery?: (delivery: Delivery) => void) {
    this.#onDelivery = onDelivery;
  }

  get ids(): readonly string[] {
    return this.deliveries.map(({ id }) => id);
  }

  delivered(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.calls.push(delivery.id);
    this.#onDelivery?.(delivery);
  }

  lost(notice: LossNotice): void {
    this.notices.push(notice);
    this.calls.push(`lost ${notice.reason}`);
  }

  noted(text: string): void {
    this.notes.push(text);
    this.calls.push(`noted ${text}`);
  }

  interrupted(): void {
    this.calls.push('interrupted');
    this.interruptions += 1;
  }

  restored(): void {
    this.calls.push('restored');
    this.restorations += 1;
  }
}

/** Specs of continuity sessions, each with a key of its own. */
export function sessionSpecs(current: () => BrokerUnderTest) {
  return (
    more: {
      readonly prefetch?: number;
      readonly maxLength?: number;
      readonly windowMs?: number;
    } = {},
  ) =>
    ({
      kind: 'continuity',
      key: current().sessionKey(),
      prefetch: 10,
      maxLength: 1_000,
      windowMs: 60_000,
      ...more,
    }) as const;
}

export function publish(broker: Broker, channel: string, id: string) {
  return broker.channelPublisher.publish(publication(channel, id));
}

/** A bus member that listens to nobody. */
export const silentMember: EdgeBusReceiver = {
  message: () => undefined,
  interrupted: () => undefined,
  restored: () => undefined,
};

/** The `BrokerError` that a call ends in; anything else fails the test. */
export async function rejectionOf(call: Promise<unknown>): Promise<BrokerError> {
  const error: unknown = await call.then(
    () => new Error('the call was expected to be rejected, and it was not'),
    (reason: unknown) => reason,
  );
  if (error instanceof BrokerError) return error;
  throw error;
}

/** A few messages to the broker and back: what it was about to deliver over this connection has come by then. */
export async function roundTrips(broker: Broker): Promise<void> {
  const received = new Set<string>();
  const member = await broker.edgeBus.join(edgeId('round-trips'), {
    ...silentMember,
    message: ({ body }) => received.add(body.toString('utf8')),
  });
  for (const trip of ['1', '2', '3']) {
    await member.send({ kind: 'edge', edgeId: edgeId('round-trips') }, Buffer.from(trip));
    await eventually(() => assert.include([...received], trip));
  }
  await member.leave();
}
