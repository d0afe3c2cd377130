/** What falls due when, in order of time: a binary heap, so that a million waiting items need one timer. */

interface Due<T> {
  readonly atMs: number;
  readonly item: T;
}

export class DueQueue<T> {
  readonly #heap: Due<T>[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** When the first item falls due; infinity where there is none. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  add(atMs: number, item: T): void {
    const heap = this.#heap;
    const added = { atMs, item };
    let at = heap.length;
    heap.push(added);
    while (at > 0) {
      const parentAt = (at - 1) >> 1;
      const parent = heap[parentAt];
      if (parent === undefined || parent.atMs <= atMs) break;
      heap[at] = parent;
      at = parentAt;
    }
    heap[at] = added;
  }

  /** Takes the first item that is due by `nowMs`. */
  take(nowMs: number): T | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.atMs > nowMs) return undefined;
    const last = this.#heap.pop();
    if (last !== undefined && last !== first) this.#sink(last);
    return first.item;
  }

  /** Puts `moved` where the first item was, and lets it sink to its place. */
  #sink(moved: Due<T>): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      const left = heap[2 * at + 1];
      const right = heap[2 * at + 2];
      if (left === undefined) break;
      const smallerIsRight = right !== undefined && right.atMs < left.atMs;
      const smaller = smallerIsRight ? right : left;
      if (smaller.atMs >= moved.atMs) break;
      heap[at] = smaller;
      at = 2 * at + (smallerIsRight ? 2 : 1);
    }
    heap[at] = moved;
  }
}
