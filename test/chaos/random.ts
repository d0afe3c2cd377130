/** Random choices that a seed repeats. */

export class Random {
  #state: number;

  /** @param seed an integer, 0 to 4,294,967,295 */
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to, not including, 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** An integer from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** Undefined for none; it draws all the same, so that what follows does not depend on how many there were. */
  pick<T>(from: readonly T[]): T | undefined {
    const drawn = this.next();
    return from[Math.floor(drawn * from.length)];
  }

  /** Up to `count` of them, each once. */
  sample<T>(from: readonly T[], count: number): T[] {
    return this.shuffle(from).slice(0, count);
  }

  shuffle<T>(from: readonly T[]): T[] {
    const order = from.map((one) => ({ one, key: this.next() }));
    return order.sort((a, b) => a.key - b.key).map(({ one }) => one);
  }
}
