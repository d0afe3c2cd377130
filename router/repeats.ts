/**
 * Which events were published already: a window in memory, bounded in number and time. An event is known by its CloudEvents source and
 * id, else by its AMQP message id; one without an id is never taken for another.
 */
import { createHash } from 'node:crypto';
import type { DomainEvent } from '../contracts/domain-event.ts';
import type { Clock } from '../runtime/clock.ts';

/** Events that are remembered; beyond it the oldest are forgotten. About 10 MB. */
export const maxRemembered = 50_000;
/** How long an event is remembered after it was done. */
export const rememberedMs = 10 * 60_000;

/** Longer keys are remembered by their hash. */
const maxKeyLength = 100;

export interface Repeats {
  /**
   * For an event that is done: true. For one that is in hand: resolves with true when it is done, and rejects as it does. Else false, and
   * the event is the first of its kind.
   */
  seen(key: string): boolean | Promise<true>;
  /** Now in hand; remembered when `done` resolves, and forgotten where it rejects. Returns `done`. */
  follow<T>(key: string, done: Promise<T>): Promise<T>;
}

/** Undefined for an event without an id. */
export function repeatKey({ id, source }: DomainEvent): string | undefined {
  if (id === undefined) return undefined;
  const key = source === undefined ? `m${id}` : `c${JSON.stringify([source, id])}`;
  return key.length <= maxKeyLength ? key : `h${createHash('sha256').update(key).digest('base64')}`;
}

export function createRepeats(clock: Clock, bounds = { maxRemembered, rememberedMs }): Repeats {
  const inHand = new Map<string, Promise<true>>();
  /** When each was done; oldest first. */
  const done = new Map<string, number>();

  const forget = (nowMs: number) => {
    for (const [key, doneMs] of done) {
      if (done.size <= bounds.maxRemembered && nowMs - doneMs < bounds.rememberedMs) return;
      done.delete(key);
    }
  };
  const remember = (key: string) => {
    const nowMs = clock.monotonicMs();
    done.delete(key);
    done.set(key, nowMs);
    forget(nowMs);
  };

  return {
    seen(key) {
      const pending = inHand.get(key);
      if (pending !== undefined) return pending;
      const doneMs = done.get(key);
      return doneMs !== undefined && clock.monotonicMs() - doneMs < bounds.rememberedMs;
    },
    follow(key, handled) {
      const outcome = handled.then(
        (): true => {
          inHand.delete(key);
          remember(key);
          return true;
        },
        (error: unknown) => {
          inHand.delete(key);
          throw error;
        },
      );
      // Where no repetition waits, nobody else listens.
      outcome.catch(() => undefined);
      inHand.set(key, outcome);
      return handled;
    },
  };
}
