/** One router's consumption: its own queue and those of others, while it leads. */
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { routerQueues } from '../../contracts/topology.ts';
import { BrokerError } from '../errors.ts';
import type { ConsumeOptions, Consumption, EventSources } from '../port.ts';
import { publishDeadLetter } from './dead-letter.ts';
import { ensureQueue, requireQueue } from './declare.ts';
import { messageOf, replyCode, replyCodeOf } from './link.ts';
import { toIncomingEvent } from './message.ts';
import type { OrderedConsumer, OrderedConsumerSpec, OrderedConsumers } from './ordered-consumer.ts';
import { RouterLead, type RouterLeadHost } from './router-lead.ts';

/** A queue that leaves the configuration: what is in hand may take so long to settle. */
const letGoMs = 5_000;

export class RouterConsumption implements Consumption {
  readonly #host: RouterLeadHost;
  readonly #consumers: OrderedConsumers;
  readonly #options: ConsumeOptions;
  readonly #lead: RouterLead;
  readonly #main: OrderedConsumer;
  readonly #queues = new Map<string, OrderedConsumer>();
  /** Consumers that are letting go of a queue: the next one of it waits for them. */
  readonly #leaving = new Map<string, Promise<void>>();
  /** What is amiss with each queue. */
  readonly #queueProblems = new Map<string, string>();
  #leadProblems: readonly string[] = [];
  #told = '';
  #stopped: Promise<void> | undefined;

  /** Consumes as soon as it can, until it is stopped; `started` tells when it does. */
  constructor(host: RouterLeadHost, consumers: OrderedConsumers, options: ConsumeOptions) {
    this.#host = host;
    this.#consumers = consumers;
    this.#options = options;
    this.#lead = new RouterLead(host, options, {
      queues: (names) => this.#consumeOnly(names),
      lost: () => this.#giveBack(),
      problems: (sentences) => {
        this.#leadProblems = sentences;
        this.#tell();
      },
    });
    this.#main = this.#add(host.names.routerEvents, {
      declare: async (model) => {
        await this.#lead.leading();
        for (const queue of routerQueues(host.names)) await ensureQueue(model, queue);
      },
      bind: () => this.#lead.confirm(),
    });
  }

  /** Resolves when it consumes or another one does; rejects with what makes that impossible for good, or `closed`. */
  async started(): Promise<void> {
    await this.#lead.settled;
    if (this.#lead.leads) await this.#main.consuming;
  }

  rebind(sources: EventSources, between: () => void = () => undefined): Promise<void> {
    return this.#lead.replace(sources, between);
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopped ??= this.#stop(deadlineMs);
    return this.#stopped;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const consumers = [this.#main, ...this.#queues.values()];
    await Promise.all([
      ...consumers.map((consumer) => consumer.stop(deadlineMs)),
      ...this.#leaving.values(),
    ]);
    // The last: the next one must find every queue free.
    await this.#lead.stop();
  }

  #add(
    queue: string,
    spec: Pick<OrderedConsumerSpec, 'declare' | 'bind' | 'exclusive' | 'retryAfterMs' | 'problem'>,
  ): OrderedConsumer {
    return this.#consumers.add(this.#host, {
      ...spec,
      queue,
      prefetch: this.#options.prefetch,
      handle: (message) => this.#handle(message),
    });
  }

  async #handle(message: ConsumeMessage): Promise<void> {
    const outcome = await this.#options.handle(toIncomingEvent(message));
    if (outcome.kind === 'done') return;
    const { code, text } = outcome.refusal;
    await publishDeadLetter(this.#host.publisher, this.#host.names.routerDeadLetters, message, {
      reason: `${code}: ${text}`,
      code,
      nowMs: this.#host.clock.now(),
      // What a service set is kept, and is worth more than noticing an operator's deletion.
      mandatory: message.properties.correlationId === undefined,
    });
  }

  #consumeOnly(names: readonly string[]): void {
    if (this.#stopped !== undefined) return;
    for (const [name, consumer] of this.#queues) {
      if (names.includes(name)) continue;
      this.#queues.delete(name);
      this.#queueProblems.delete(name);
      const left = consumer.stop(letGoMs).then(() => {
        if (this.#leaving.get(name) === left) this.#leaving.delete(name);
      });
      this.#leaving.set(name, left);
    }
    for (const name of names) {
      if (!this.#queues.has(name)) this.#queues.set(name, this.#consumeQueue(name));
    }
    this.#tell();
  }

  #consumeQueue(name: string): OrderedConsumer {
    const consumer: OrderedConsumer = this.#add(name, {
      // The lead keeps other routers away, and this everybody else, of a queue whose type knows of it.
      exclusive: true,
      retryAfterMs: this.#host.retryAfterMs,
      declare: async (model: ChannelModel) => {
        await this.#leaving.get(name);
        await this.#lead.leading();
        await requireQueue(model, name);
      },
      bind: () => Promise.resolve(),
      problem: (error) => {
        if (this.#queues.get(name) !== consumer) return;
        if (error === undefined) this.#queueProblems.delete(name);
        else this.#queueProblems.set(name, sentence(name, error));
        this.#tell();
        if (error === undefined && !this.#lead.leads) void consumer.restart();
      },
    });
    return consumer;
  }

  /** The lead is lost on a connection that lives: somebody deleted the queue of the list, or closed its channel. */
  #giveBack(): void {
    for (const consumer of [this.#main, ...this.#queues.values()]) void consumer.restart();
  }

  #tell(): void {
    const all = [...this.#leadProblems, ...this.#queueProblems.values()];
    const text = all.join('\n');
    if (text === this.#told || this.#stopped !== undefined) return;
    this.#told = text;
    this.#options.problems?.(all);
  }
}

function sentence(queue: string, failure: unknown): string {
  const error = failure instanceof BrokerError ? (failure.cause ?? failure) : failure;
  switch (replyCodeOf(error)) {
    case replyCode.notFound:
      return `the queue ${queue} does not exist: let its owner declare it, or remove it under ingress.queues`;
    case replyCode.accessRefused:
      return `the queue ${queue} cannot be consumed: somebody else consumes it, which would break the order, or this user may not read it (${messageOf(error)})`;
    default:
      return `the queue ${queue} cannot be consumed: ${messageOf(error)}`;
  }
}
