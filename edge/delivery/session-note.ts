/** What a session leaves for its next owner, beside its messages: whose it is, and which cache channels it has seen the last event of. */
import { isJsonObject, own } from '../../contracts/json-guard.ts';

export interface SessionNote {
  /** Digest of the user that signed in. */
  readonly user?: string;
  readonly cacheChannels: readonly string[];
}

export const emptyNote: SessionNote = { cacheChannels: [] };

/** The port takes 8 KB. What does not fit is left out, oldest first: such a channel is shown its last event once more. */
const maxNoteBytes = 7_000;

export function encodeNote(note: SessionNote): string {
  let cacheChannels = note.cacheChannels;
  for (;;) {
    const text = JSON.stringify({ ...note, cacheChannels });
    if (cacheChannels.length === 0 || Buffer.byteLength(text, 'utf8') <= maxNoteBytes) return text;
    cacheChannels = cacheChannels.slice(Math.ceil(cacheChannels.length / 4));
  }
}

/** Text that is no note counts as an empty one. */
export function decodeNote(text: string): SessionNote {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return emptyNote;
  }
  if (!isJsonObject(value)) return emptyNote;
  const user = own(value, 'user');
  const channels = own(value, 'cacheChannels');
  return {
    ...(typeof user === 'string' ? { user } : {}),
    cacheChannels: Array.isArray(channels)
      ? channels.filter((name): name is string => typeof name === 'string')
      : [],
  };
}
