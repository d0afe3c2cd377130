/** The consumers of one queue in line: the first is the active one, the next takes over when it leaves. */
import type { Queue } from './queue.ts';

export interface LineMember<M> {
  /** It is the active one now: it may consume the queue until it leaves. */
  activate(queue: Queue<M>): void;
}

export class ConsumerLine<M> {
  readonly #queue: Queue<M>;
  readonly #line: LineMember<M>[] = [];
  readonly #onLeave: () => void;

  /** @param onLeave called when a member has left and its messages are back in the queue */
  constructor(queue: Queue<M>, onLeave: () => void = () => undefined) {
    this.#queue = queue;
    this.#onLeave = onLeave;
  }

  join(member: LineMember<M>): void {
    if (this.#line.includes(member)) return;
    this.#line.push(member);
    if (this.#line.length === 1) member.activate(this.#queue);
  }

  /** Messages that the member has not settled go back to the head, in order, and the next in line is active. */
  leave(member: LineMember<M>): void {
    const at = this.#line.indexOf(member);
    if (at < 0) return;
    this.#line.splice(at, 1);
    if (at === 0) {
      this.#queue.cancel();
      this.#queue.requeue();
      this.#line[0]?.activate(this.#queue);
    }
    this.#onLeave();
  }

  get length(): number {
    return this.#line.length;
  }
}
