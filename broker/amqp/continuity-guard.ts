/**
 * Tells whether a queue may have dropped messages while its owner was attached. Pure.
 *
 * The broker counts only what waits against `x-max-length`, so with an owner behind it drops from the middle: the marker, in the owner's
 * hand, stays. But where a message was dropped, as many wait as the queue holds and the owner's window is full, and from then on
 * nothing leaves those that wait except into room that an acknowledgement made. So when `ready` is looked at,
 * `ready + acknowledgements since the look before >= length` holds wherever a message was dropped in between. And as long as no more
 * than `budget` (less than the window) are acknowledged between two looks that passed, an owner that dies leaves more than
 * `length`, and the broker drops the marker (docs/adr/0009-loss-is-proved.md).
 */
export class ContinuityGuard {
  readonly #length: number;
  readonly #budget: number;
  /** Before the look that is under way, after the last one that passed. */
  #before = 0;
  #since = 0;
  #looking = false;

  /**
   * @param length `x-max-length`
   * @param budget acknowledgements between two looks; less than the consumer's window
   */
  constructor(length: number, budget: number) {
    this.#length = length;
    this.#budget = budget;
  }

  get mayAcknowledge(): boolean {
    return this.#before + this.#since < this.#budget;
  }

  acknowledged(): void {
    this.#since += 1;
  }

  /** Early enough that acknowledgements seldom have to wait for the answer. */
  get wantsLook(): boolean {
    return !this.#looking && this.#since * 2 >= this.#budget;
  }

  /** The broker is asked behind the acknowledgements so far, and ahead of those to come. */
  asked(): void {
    this.#looking = true;
    this.#before += this.#since;
    this.#since = 0;
  }

  /** False where something may have been dropped; then nothing more may be acknowledged. */
  passes(ready: number): boolean {
    if (ready + this.#before >= this.#length) return false;
    this.#looking = false;
    this.#before = 0;
    return true;
  }
}
