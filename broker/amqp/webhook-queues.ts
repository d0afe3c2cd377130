/** Webhook reports over AMQP: one quorum queue per target, declared by whoever uses it first on a connection. */
import type { ChannelModel } from 'amqplib';
import {
  isWebhookTarget,
  type TopologyNames,
  type WebhookBounds,
  webhookDeadLetterQueue,
  webhookQueue,
  webhookQueueName,
} from '../../contracts/topology.ts';
import { delay } from '../../runtime/clock.ts';
import { BrokerError } from '../errors.ts';
import type { WebhookConsumeOptions, WebhookConsumption, WebhookQueues } from '../port.ts';
import { publishDeadLetter } from './dead-letter.ts';
import { ensureQueue } from './declare.ts';
import { type Link, type LinkSession, toBrokerError } from './link.ts';
import { publishedAtHeader, publishedAtMs } from './message.ts';
import { type OrderedConsumerHost, OrderedConsumers } from './ordered-consumer.ts';

/**
 * A quorum queue that is declared again within about 50 ms of its deletion keeps the consumers that it had, which never get a message
 * any more and are never cancelled (seen on RabbitMQ 3.10).
 */
const cancellationMs = 500;

export interface WebhookQueuesOptions extends OrderedConsumerHost {
  /** The connection of `publisher`. */
  readonly publishing: Link;
  readonly names: TopologyNames;
  readonly bounds: WebhookBounds;
  readonly declareTimeoutMs: number;
  /** Reports that may wait for the declaration of their queue; beyond it `broker_busy`. */
  readonly maxWaiting: number;
}

export class AmqpWebhookQueues implements WebhookQueues {
  readonly #options: WebhookQueuesOptions;
  readonly #consumers = new OrderedConsumers();
  /** What was declared in this session of the publishing connection; as many targets as are configured. */
  #declared = new Map<string, Promise<void>>();
  /** When a queue was found gone that is not declared again yet. As many as targets are configured. */
  readonly #goneAtMs = new Map<string, number>();
  #session: LinkSession | undefined;
  #waiting = 0;

  constructor(options: WebhookQueuesOptions) {
    this.#options = options;
  }

  async publish(target: string, report: Buffer): Promise<void> {
    requireTarget(target);
    const { publisher, names, clock } = this.#options;
    const properties = {
      persistent: true,
      mandatory: true,
      contentType: 'application/json',
      headers: { [publishedAtHeader]: clock.now() },
    };
    await this.#declare(target);
    const { routed } = await publisher.publish(
      '',
      webhookQueueName(names, target),
      report,
      properties,
    );
    if (routed) return;
    // Deleted, or expired because nobody consumed it for a day. The next call has it declared again.
    this.#declared.delete(target);
    this.#goneAtMs.set(target, clock.monotonicMs());
    throw new BrokerError('broker_unavailable', `the queue of webhook target ${target} is gone`);
  }

  async consume(options: WebhookConsumeOptions): Promise<WebhookConsumption> {
    const { target, prefetch, handle } = options;
    requireTarget(target);
    const { names, publisher, clock } = this.#options;
    return await this.#consumers.start(this.#options, {
      queue: webhookQueueName(names, target),
      prefetch,
      declare: (model) => this.#ensure(model, target),
      bind: () => Promise.resolve(),
      async handle(message) {
        const outcome = await handle({
          body: message.content,
          publishedAtMs: publishedAtMs(message),
        });
        if (outcome.kind === 'done') return;
        await publishDeadLetter(publisher, names.webhookDeadLetters, message, {
          reason: outcome.reason,
          nowMs: clock.now(),
          mandatory: true,
        });
      },
    });
  }

  closeAll(): Promise<void> {
    return this.#consumers.stopAll();
  }

  /** Calls for one target await one promise, so they go on in call order. */
  async #declare(target: string): Promise<void> {
    const { publishing, publisher, maxWaiting } = this.#options;
    const { session } = publishing;
    // A broker that refuses publishers would not answer a declaration on their connection either.
    if (session === undefined || !publisher.ready) {
      const reason = publishing.problem ?? 'the publishing channel is being opened';
      throw new BrokerError('broker_unavailable', reason);
    }
    if (session !== this.#session) {
      this.#session = session;
      this.#declared = new Map();
    }
    if (this.#waiting >= maxWaiting) {
      throw new BrokerError('broker_busy', `${this.#waiting} reports await their queue`);
    }
    let declared = this.#declared.get(target);
    if (declared === undefined) {
      declared = this.#declareIn(session, target);
      this.#declared.set(target, declared);
    }
    this.#waiting += 1;
    try {
      await declared;
    } finally {
      this.#waiting -= 1;
    }
  }

  async #declareIn(session: LinkSession, target: string): Promise<void> {
    const declarations = this.#declared;
    const { clock, declareTimeoutMs } = this.#options;
    const goneAtMs = this.#goneAtMs.get(target);
    if (goneAtMs !== undefined) {
      await delay(clock, goneAtMs + cancellationMs - clock.monotonicMs(), session.ended);
      this.#goneAtMs.delete(target);
    }
    const over = new AbortController();
    const late = new BrokerError('broker_timeout', `no answer within ${declareTimeoutMs} ms`);
    const tooLate = delay(clock, declareTimeoutMs, over.signal).then(() => {
      throw late;
    });
    const declaring = this.#ensure(session.model, target);
    // Whichever of the two comes second is nobody's business any more.
    declaring.catch(() => undefined);
    tooLate.catch(() => undefined);
    try {
      await Promise.race([declaring, tooLate]);
    } catch (error) {
      declarations.delete(target);
      if (error === late) session.abandon(late.message);
      throw toBrokerError(error, `declaring the queue of webhook target ${target}`);
    } finally {
      over.abort();
    }
  }

  async #ensure(model: ChannelModel, target: string): Promise<void> {
    const { names, bounds } = this.#options;
    await ensureQueue(model, webhookDeadLetterQueue(names));
    await ensureQueue(model, webhookQueue(names, target, bounds));
  }
}

function requireTarget(target: string): void {
  if (!isWebhookTarget(target)) {
    throw new BrokerError('broker_topology', `illegal webhook target: ${target.slice(0, 80)}`);
  }
}
