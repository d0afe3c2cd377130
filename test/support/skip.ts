/** Skips a test with a reason, which the reporter prints at the end of the run. */
import type { Context } from 'mocha';

/** Read by test/support/reporter.cjs. */
const reasonKey = Symbol.for('warren.skip-reason');

/**
 * Use it in place of `this.skip()`, in a test or in a `before` hook (then it holds for the whole suite).
 * Never returns: mocha's `skip` throws.
 */
export function skipBecause(context: Context, reason: string): never {
  const runnable = context.runnable();
  const isHook = 'type' in runnable && runnable.type === 'hook';
  Object.assign(isHook ? (runnable.parent ?? runnable) : runnable, { [reasonKey]: reason });
  return context.skip();
}
