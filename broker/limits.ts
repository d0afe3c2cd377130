/** What both adapters refuse. */
import type { SessionSpec } from './port.ts';

const sessionKeyPattern = /^[A-Za-z0-9_-]{22,64}$/;
const maxNoteBytes = 8 * 1_024;

/** @throws RangeError: a mistake of the caller, which no broker can mend */
export function checkContinuity({
  key,
  prefetch,
  maxLength,
}: Pick<Extract<SessionSpec, { kind: 'continuity' }>, 'key' | 'prefetch' | 'maxLength'>): void {
  if (!sessionKeyPattern.test(key)) {
    throw new RangeError('a session key is 22 to 64 characters of A-Z a-z 0-9 _ -');
  }
  // The proof of continuity rests on it (docs/adr/0009-loss-is-proved.md).
  if (!(maxLength > prefetch)) {
    throw new RangeError('a session must hold more messages than may be unacknowledged');
  }
}

/** @throws RangeError on a longer note */
export function checkNote(text: string): void {
  if (Buffer.byteLength(text, 'utf8') > maxNoteBytes) {
    throw new RangeError(`a note is at most ${maxNoteBytes} bytes long`);
  }
}

/** A plain queue ends with its owner. */
export function plainHasNone(): RangeError {
  return new RangeError('only a session with continuity has a note and can be reset');
}
