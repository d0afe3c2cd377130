/**
 * Keys that nobody listens to any more and that stay bound for a while all the same: clients that come and go, as with every page
 * they open, then cost the broker nothing.
 */
import type { ChannelKey } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';

const lingerMs = 5_000;
/** Beyond it the key that has been without listeners for longest is let go early. */
const maxKeys = 1_000;

export class LingeringKeys {
  readonly #clock: Clock;
  readonly #letGo: (key: ChannelKey) => void;
  /** With the time until which they stay; in the order of it, as all stay equally long. */
  readonly #untilMs = new Map<ChannelKey, number>();
  #stopTimer: (() => void) | undefined;

  /** @param letGo its time is over */
  constructor(clock: Clock, letGo: (key: ChannelKey) => void) {
    this.#clock = clock;
    this.#letGo = letGo;
  }

  get size(): number {
    return this.#untilMs.size;
  }

  /** A key that does not linger yet. */
  add(key: ChannelKey): void {
    this.#untilMs.set(key, this.#clock.monotonicMs() + lingerMs);
    if (this.#untilMs.size > maxKeys) {
      const [oldest] = this.#untilMs.keys();
      if (oldest !== undefined) this.#end(oldest);
    }
    this.#schedule();
  }

  /** Somebody came back in time. */
  delete(key: ChannelKey): void {
    this.#untilMs.delete(key);
  }

  /** Forgets all of them without letting go of any. */
  clear(): void {
    this.#untilMs.clear();
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  /** One timer for all of them, set for the first. */
  #schedule(): void {
    if (this.#stopTimer !== undefined) return;
    const [first] = this.#untilMs.values();
    if (first === undefined) return;
    const waitMs = Math.max(0, first - this.#clock.monotonicMs());
    this.#stopTimer = this.#clock.after(waitMs, () => {
      this.#stopTimer = undefined;
      this.#sweep();
    });
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [key, untilMs] of this.#untilMs) {
      if (untilMs > nowMs) break;
      this.#end(key);
    }
    this.#schedule();
  }

  #end(key: ChannelKey): void {
    this.#untilMs.delete(key);
    this.#letGo(key);
  }
}
