/** A clock that stands still until a test moves it, so that nothing has to sleep. */
import type { Clock } from '../../runtime/clock.ts';

export interface ManualClock extends Clock {
  /**
   * Moves time forward and calls every timer that falls due on the way, in the order in which they are due (ties: in the order
   * in which they were set). A timer set by such a call fires too when it falls due within the same move. Synchronous: promises
   * that the calls resolve go on only after the test awaits something.
   */
  advance(ms: number): void;
  /** As `advance`, but lets promises and immediates run before the first and after each timer: for code that awaits its timers. */
  advanceAsync(ms: number): Promise<void>;
  /** Timers that are set and not cancelled; a test that expects everything stopped compares it with 0. */
  readonly pendingTimers: number;
}

interface Timer {
  dueMs: number;
  readonly order: number;
  readonly periodMs: number | undefined;
  readonly call: () => void;
}

/** More than any honest test needs in one move: a timer that sets itself again at once would otherwise hang the run. */
const maxCallsPerMove = 100_000;

/** @param startMs wall-clock time at the start, in ms since 1970; monotonic time starts at 0 */
export function createManualClock(startMs = 1_767_225_600_000): ManualClock {
  const timers = new Set<Timer>();
  let elapsedMs = 0;
  let order = 0;

  function set(delayMs: number, periodMs: number | undefined, call: () => void): () => void {
    order += 1;
    const timer: Timer = { dueMs: elapsedMs + Math.max(0, delayMs), order, periodMs, call };
    timers.add(timer);
    return () => {
      timers.delete(timer);
    };
  }

  /** Calls the next timer that is due by `untilMs`; false when there is none. */
  function fireNext(untilMs: number): boolean {
    let next: Timer | undefined;
    for (const timer of timers) {
      if (timer.dueMs > untilMs) continue;
      if (next === undefined || timer.dueMs < next.dueMs) next = timer;
      else if (timer.dueMs === next.dueMs && timer.order < next.order) next = timer;
    }
    if (next === undefined) return false;
    elapsedMs = Math.max(elapsedMs, next.dueMs);
    if (next.periodMs === undefined) timers.delete(next);
    else next.dueMs += Math.max(1, next.periodMs);
    next.call();
    return true;
  }

  function moves(ms: number) {
    if (!(ms >= 0)) throw new RangeError(`time moves forward only, not by ${ms} ms`);
    const untilMs = elapsedMs + ms;
    let calls = 0;
    return {
      next(): boolean {
        calls += 1;
        if (calls > maxCallsPerMove) throw new Error('a timer sets itself again and again');
        return fireNext(untilMs);
      },
      finish(): void {
        elapsedMs = Math.max(elapsedMs, untilMs);
      },
    };
  }

  return {
    now: () => startMs + elapsedMs,
    monotonicMs: () => elapsedMs,
    after: (delayMs, call) => set(delayMs, undefined, call),
    every: (periodMs, call) => set(Math.max(1, periodMs), periodMs, call),
    advance(ms) {
      const move = moves(ms);
      while (move.next());
      move.finish();
    },
    async advanceAsync(ms) {
      const move = moves(ms);
      await turn();
      while (move.next()) await turn();
      move.finish();
      await turn();
    },
    get pendingTimers() {
      return timers.size;
    },
  };
}

/** One turn of the event loop: promise callbacks, `nextTick` and immediates that are waiting have run. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
