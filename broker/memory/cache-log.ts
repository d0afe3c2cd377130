/** Cached publications in the order in which they were published: bounded by age and size, read from any offset. */
import type { Publication } from '../../contracts/publication.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { CachedPublication } from '../port.ts';

/** As the stream of `contracts/topology.ts`. */
const maxAgeMs = 24 * 60 * 60_000;

export interface CacheLogOptions {
  readonly clock: Clock;
  /** Bytes of frames; beyond it the oldest are dropped. */
  readonly maxCachedBytes: number;
}

export class CacheLog {
  readonly #options: CacheLogOptions;
  readonly #readers = new Set<() => void>();
  #entries: (CachedPublication | undefined)[] = [];
  /** Where `#entries` begins: shifting an array moves all that is behind. */
  #head = 0;
  /** Offset of what is at `#head`. */
  #first = 0;
  #bytes = 0;

  constructor(options: CacheLogOptions) {
    this.#options = options;
  }

  append({ key, channel, id, body, revokes }: Publication): void {
    this.#entries.push({
      key,
      channel,
      id,
      body,
      ...(revokes === undefined ? {} : { revokes }),
      publishedAtMs: this.#options.clock.now(),
    });
    this.#bytes += body.length;
    this.#retain();
    for (const appended of this.#readers) appended();
  }

  /** Calls after each append. Returns the way to stop. */
  onAppend(appended: () => void): () => void {
    this.#readers.add(appended);
    return () => this.#readers.delete(appended);
  }

  /** The oldest that is kept. */
  get first(): number {
    this.#retain();
    return this.#first;
  }

  /** The offset of the next to be appended. */
  get end(): number {
    return this.#first + this.#entries.length - this.#head;
  }

  at(offset: number): CachedPublication | undefined {
    return this.#entries[this.#head + offset - this.#first];
  }

  get readers(): number {
    return this.#readers.size;
  }

  #retain(): void {
    const { clock, maxCachedBytes } = this.#options;
    const oldestMs = clock.now() - maxAgeMs;
    for (let entry = this.#entries[this.#head]; entry !== undefined; ) {
      if (this.#bytes <= maxCachedBytes && entry.publishedAtMs >= oldestMs) return;
      this.#entries[this.#head] = undefined;
      this.#head += 1;
      this.#first += 1;
      this.#bytes -= entry.body.length;
      entry = this.#entries[this.#head];
      if (this.#head > 1_024 && this.#head * 2 > this.#entries.length) {
        this.#entries = this.#entries.slice(this.#head);
        this.#head = 0;
      }
    }
  }
}
