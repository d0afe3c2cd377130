/**
 * Work that one check may cost. Schemas can be written so that a small payload takes minutes (alternatives that each recurse twice:
 * 2^64 for a payload 64 levels deep); counting is the bound that holds for all of them.
 */

/** Elementary checks, some nanoseconds each: a megabyte of payload under an ordinary schema takes about two million. */
export const maxWork = 20_000_000;

export class WorkSpent extends Error {
  constructor() {
    super(`more than ${maxWork} steps to check`);
  }
}

export class Budget {
  #left = maxWork;

  refill(): void {
    this.#left = maxWork;
  }

  /** @throws WorkSpent */
  spend(work: number): void {
    this.#left -= work;
    if (this.#left < 0) throw new WorkSpent();
  }

  /** @param perUnit times the length of a text, counted in sixteens, or the number of entries */
  spendOn(fixed: number, perUnit: number, data: unknown): void {
    this.spend(fixed + perUnit * sizeOf(data));
  }
}

function sizeOf(data: unknown): number {
  if (typeof data === 'string') return Math.ceil(data.length / 16);
  if (typeof data !== 'object' || data === null) return 0;
  return Array.isArray(data) ? data.length : Object.keys(data).length;
}
