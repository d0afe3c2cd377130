/**
 * What a queue that is whole begins with, whoever consumes it next. Pure.
 *
 * Either `marker`, or `birth`, then the last owner's note and a notice of loss if they are still there, then `marker`. All of it was in
 * the queue before anything was bound, so it is the oldest, and the broker drops the oldest first.
 */
import { messageType } from './own-messages.ts';

export type HeadVerdict = 'whole' | 'broken';

export class ContinuityHead {
  readonly #probe: string;
  #inBirth = false;

  /** @param probe id of our probe: when it comes, nothing lies before it */
  constructor(probe: string) {
    this.#probe = probe;
  }

  /** Undefined while more must come. */
  next(type: string, id: unknown): HeadVerdict | undefined {
    if (type === messageType.marker) return 'whole';
    if (!this.#inBirth && type === messageType.birth) {
      this.#inBirth = true;
      return undefined;
    }
    if (this.#inBirth && (type === messageType.note || type === messageType.lost)) return undefined;
    // Somebody else's says nothing about what we have not seen; ours says that there was nothing.
    if (type === messageType.probe && this.#inBirth && id !== this.#probe) return undefined;
    return 'broken';
  }
}
