/** A topic exchange: which queues get a message. */
import { TopicTrie } from '../../contracts/topic-pattern.ts';

export class TopicExchange<Q> {
  readonly #trie = new TopicTrie<Q>();
  readonly #patterns = new Map<Q, Set<string>>();
  #bindings = 0;

  /** Idempotent, as at RabbitMQ: one binding per pattern and queue. */
  bind(pattern: string, queue: Q): void {
    let patterns = this.#patterns.get(queue);
    if (patterns === undefined) {
      patterns = new Set();
      this.#patterns.set(queue, patterns);
    }
    if (patterns.has(pattern)) return;
    patterns.add(pattern);
    this.#trie.add(pattern, queue);
    this.#bindings += 1;
  }

  unbind(pattern: string, queue: Q): void {
    const patterns = this.#patterns.get(queue);
    if (patterns?.delete(pattern) !== true) return;
    if (patterns.size === 0) this.#patterns.delete(queue);
    this.#trie.remove(pattern, queue);
    this.#bindings -= 1;
  }

  /** The queue was deleted: its bindings go with it. */
  forget(queue: Q): void {
    for (const pattern of this.patternsOf(queue)) this.unbind(pattern, queue);
  }

  patternsOf(queue: Q): readonly string[] {
    return [...(this.#patterns.get(queue) ?? [])];
  }

  /** Each queue once, however many of its bindings match. */
  route(routingKey: string): ReadonlySet<Q> {
    return this.#trie.match(routingKey);
  }

  get bindings(): number {
    return this.#bindings;
  }
}
