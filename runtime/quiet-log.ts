/** Log lines about what strangers can cause: one line for each kind and minute, the rest counted. */
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';

const periodMs = 60_000;
/** Kinds come from fixed lists; this is what holds if one of them does not. */
const maxKinds = 100;

export class QuietLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #kinds = new Map<string, { untilMs: number; held: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param kind lines of one kind are alike */
  warn(kind: string, fields: object, message: string): void {
    const nowMs = this.#clock.monotonicMs();
    const last = this.#kinds.get(kind);
    if (last !== undefined && nowMs < last.untilMs) {
      last.held += 1;
      return;
    }
    if (last === undefined && this.#kinds.size >= maxKinds) return;
    this.#kinds.set(kind, { untilMs: nowMs + periodMs, held: 0 });
    const held = last?.held ?? 0;
    this.#log.warn(held === 0 ? fields : { ...fields, alikeSinceTheLastLine: held }, message);
  }
}
