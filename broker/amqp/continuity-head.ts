/**
 * What a queue that is whole begins with, whoever consumes it next. Pure.
 *
 * Either `marker`, or `birth`, then the last owner's note and a notice of loss if they are still there, then `birthEnd`. All of it was in
 * the queue before anything was bound, so it is the oldest, and the broker drops the oldest first. Two that made the queue at the same
 * time may have mixed theirs.
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
    if (!this.#inBirth) {
      if (type === messageType.marker) return 'whole';
      if (type !== messageType.birth) return 'broken';
      this.#inBirth = true;
      return undefined;
    }
    switch (type) {
      case messageType.birthEnd:
        return 'whole';
      case messageType.birth:
      case messageType.marker:
      case messageType.note:
      case messageType.lost:
        return undefined;
      case messageType.probe:
        // Somebody else's says nothing about what we have not seen; ours says that there was nothing.
        return id === this.#probe ? 'broken' : undefined;
      default:
        return 'broken';
    }
  }
}
