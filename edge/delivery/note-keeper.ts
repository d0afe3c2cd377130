/** The note of one session: what its former owner left, what this one has to leave, and whether the two are of one user. */
import { BrokerError } from '../../broker/errors.ts';
import { decodeNote, emptyNote, encodeNote, type SessionNote } from './session-note.ts';

export class NoteKeeper {
  readonly #keep: (text: string) => Promise<void>;
  #former: SessionNote = emptyNote;
  #note: SessionNote = emptyNote;
  #keeping: Promise<void> | undefined;
  #isOver = false;

  /** @param keep has the broker keep a text in place of the one before; may reject with `BrokerError` */
  constructor(keep: (text: string) => Promise<void>) {
    this.#keep = keep;
  }

  /** The former owner's note has come in. */
  found(text: string): void {
    this.#former = decodeNote(text);
    const { user = this.#former.user, cacheChannels } = this.#note;
    this.#note = {
      ...(user === undefined ? {} : { user }),
      cacheChannels: [...new Set([...this.#former.cacheChannels, ...cacheChannels])],
    };
  }

  /** The session was that of another user. */
  get belongsToAnother(): boolean {
    const former = this.#former.user;
    return former !== undefined && this.#note.user !== undefined && this.#note.user !== former;
  }

  /** The session is this user's, by its own sign-in or by one on a former connection. */
  isOf(user: string): boolean {
    return this.#note.user === user;
  }

  /** The former owner's client has seen the last event of this cache channel. */
  hadSeen(channel: string): boolean {
    return this.#former.cacheChannels.includes(channel);
  }

  signedIn(user: string): void {
    this.#change({ user });
  }

  sees(channel: string): void {
    this.#change({ cacheChannels: [...new Set([...this.#note.cacheChannels, channel])] });
  }

  seesNoMore(channel: string): void {
    const cacheChannels = this.#note.cacheChannels.filter((other) => other !== channel);
    this.#change({ cacheChannels });
  }

  /** The queue is a new one: nothing that was seen before it counts, and it has no note yet. */
  begin(cacheChannels: readonly string[]): void {
    this.#former = { ...this.#former, cacheChannels: [] };
    this.#change({ cacheChannels });
  }

  /** As `begin`, for another user. */
  beginForAnother(cacheChannels: readonly string[]): void {
    this.#former = emptyNote;
    this.#change({ cacheChannels });
  }

  end(): void {
    this.#isOver = true;
  }

  #change(change: Partial<SessionNote>): void {
    this.#note = { ...this.#note, ...change };
    this.#keeping ??= this.#keepLatest();
  }

  /** One at a time, and always the latest. */
  async #keepLatest(): Promise<void> {
    let kept: SessionNote | undefined;
    try {
      while (kept !== this.#note && !this.#isOver) {
        const note = this.#note;
        await this.#keep(encodeNote(note));
        kept = note;
      }
    } catch (error) {
      // Without it a cache channel shows its last event once more after the next resume, which is harmless.
      if (!(error instanceof BrokerError)) throw error;
    } finally {
      this.#keeping = undefined;
    }
  }
}
