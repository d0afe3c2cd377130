/** What an authorizer answered lately. Bounded: beyond `max` answers the oldest is forgotten before its time. */
import { createHash } from 'node:crypto';

interface Kept<Answer> {
  readonly answer: Answer;
  readonly untilMs: number;
}

export class AnswerCache<Answer> {
  readonly #kept = new Map<string, Kept<Answer>>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#kept.size;
  }

  get(key: string, nowMs: number): Answer | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    if (nowMs < kept.untilMs) return kept.answer;
    this.#kept.delete(key);
    return undefined;
  }

  set(key: string, answer: Answer, untilMs: number): void {
    this.#kept.delete(key);
    this.#kept.set(key, { answer, untilMs });
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= this.#max) return;
      this.#kept.delete(oldest);
    }
  }

  clear(): void {
    this.#kept.clear();
  }
}

/** Of everything that is asked but the socket: claims are long, and no token's content stays in memory by this. */
export function answerKey(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64');
}
