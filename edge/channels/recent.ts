/** How many distinct things there are per group: those that are held, and those that were let go of not long ago. */
import type { Clock } from '../../runtime/clock.ts';

/** Things that are remembered after they were let go of; beyond it the oldest are forgotten. */
const maxRemembered = 100_000;

interface Gone {
  readonly group: string;
  /** Counts until then. */
  readonly untilMs: number;
}

export class Recent {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #counts = new Map<string, number>();
  readonly #held = new Map<string, string>();
  /** In the order in which they are to be forgotten. */
  readonly #gone = new Map<string, Gone>();
  #serial = 0;

  constructor(clock: Clock, windowMs: number) {
    this.#clock = clock;
    this.#windowMs = windowMs;
  }

  count(group: string): number {
    this.#expire();
    return this.#counts.get(group) ?? 0;
  }

  has(group: string, name: string): boolean {
    this.#expire();
    const key = keyOf(group, name);
    return this.#held.has(key) || this.#gone.has(key);
  }

  /** One more event of the group, forgotten after the window. */
  add(group: string): void {
    this.#serial += 1;
    this.#remember(group, String(this.#serial));
  }

  hold(group: string, name: string): void {
    this.#remove(group, name);
    this.#held.set(keyOf(group, name), group);
    this.#change(group, 1);
  }

  /** @param isOver it does not count any more; else it does until the window has passed */
  letGo(group: string, name: string, isOver: boolean): void {
    this.#remove(group, name);
    if (!isOver) this.#remember(group, name);
  }

  #remember(group: string, name: string): void {
    const untilMs = this.#clock.monotonicMs() + this.#windowMs;
    this.#gone.set(keyOf(group, name), { group, untilMs });
    this.#change(group, 1);
    this.#expire();
  }

  #remove(group: string, name: string): void {
    const key = keyOf(group, name);
    if (this.#held.delete(key) || this.#gone.delete(key)) this.#change(group, -1);
  }

  #change(group: string, by: number): void {
    const count = (this.#counts.get(group) ?? 0) + by;
    if (count > 0) this.#counts.set(group, count);
    else this.#counts.delete(group);
  }

  #expire(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [key, { group, untilMs }] of this.#gone) {
      if (untilMs > nowMs && this.#gone.size <= maxRemembered) return;
      this.#gone.delete(key);
      this.#change(group, -1);
    }
  }
}

function keyOf(group: string, name: string): string {
  return `${group} ${name}`;
}
