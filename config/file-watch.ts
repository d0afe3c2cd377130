/**
 * Notices changes of files by looking at them from time to time: that works on every file system, for files that come and go, and for
 * symbolic links that are swapped, as Kubernetes does it.
 */
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Clock } from '../runtime/clock.ts';

/** Decides when a change is complete. Pure: it is told what each look saw. */
export class Settling {
  #before: string | undefined;
  #settled: string | undefined;

  /**
   * True once for each new state, and only when two looks in a row have seen the same: a file that is being written is let be. The
   * first state counts as new.
   */
  look(seen: string): boolean {
    const still = seen === this.#before;
    this.#before = seen;
    if (!still || seen === this.#settled) return false;
    this.#settled = seen;
    return true;
  }
}

export interface FileWatchOptions {
  readonly clock: Clock;
  /** Time between two looks, above 0. */
  readonly periodMs: number;
  /** Asked before each look: a new version of one file may name others. */
  readonly paths: () => readonly string[];
  /** Called once the files have changed and come to rest, and once at the start. No look is taken until it has resolved. */
  readonly changed: () => Promise<void>;
  readonly fingerprint?: (path: string) => Promise<string>;
}

/** Starts to look, first after one period. `changed` must not reject. Returns the way to stop, after which nothing is called. */
export function watchFiles(options: FileWatchOptions): () => void {
  const fingerprint = options.fingerprint ?? fileFingerprint;
  const settling = new Settling();
  let busy = false;
  let stopped = false;

  async function look(): Promise<void> {
    const seen: string[] = [];
    // One after the other: thousands at once would keep DNS and other work of the same threads waiting.
    for (const path of options.paths()) seen.push(path, await fingerprint(path));
    if (!stopped && settling.look(JSON.stringify(seen))) await options.changed();
  }

  const cancel = options.clock.every(options.periodMs, () => {
    // A file system that hangs delays the next look; looks do not pile up.
    if (busy) return;
    busy = true;
    void look().finally(() => {
      busy = false;
    });
  });
  return () => {
    stopped = true;
    cancel();
  };
}

/** Another text whenever the file behind the path is another one or was written to; never rejects. */
export async function fileFingerprint(path: string): Promise<string> {
  let found: BigIntStats;
  try {
    found = await stat(path, { bigint: true });
  } catch (error) {
    return (error as NodeJS.ErrnoException | undefined)?.code ?? 'unknown';
  }
  // The times of a pipe or terminal say nothing about what it would yield.
  if (!found.isFile()) return 'not a file';
  // ctime also tells of a write whose mtime was set back, and of permissions.
  return [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':');
}
