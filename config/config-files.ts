/** warren.yaml together with the secret files and schemas that it names: loaded as one, and told apart from what was loaded before. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { type ConfigSettings, type LoadResult, loadConfigFile } from './load.ts';
import type { ReadFile } from './secrets.ts';

export interface LoadedFiles {
  readonly result: LoadResult;
  /** Every file that was asked for, whether or not it could be read; warren.yaml is the first. */
  readonly paths: readonly string[];
  /** False where warren.yaml itself could not be read. */
  readonly found: boolean;
  /** Equal where the same files hold the same; reveals nothing of what they hold. */
  readonly digest: string;
}

/** `loadConfigFile`, with what it read. */
export function loadConfigFiles(
  settings: ConfigSettings,
  readFile: ReadFile = (path) => readFileSync(path, 'utf8'),
): LoadedFiles {
  const texts = new Map<string, string | undefined>();
  const result = loadConfigFile(settings, (path) => {
    texts.set(path, undefined);
    const text = readFile(path);
    texts.set(path, text);
    return text;
  });
  const hash = createHash('sha256');
  for (const [path, text] of texts) hash.update(JSON.stringify([path, text ?? null]));
  return {
    result,
    paths: [...texts.keys()],
    found: texts.get(settings.configPath) !== undefined,
    digest: hash.digest('hex'),
  };
}

/** Far beyond what the loader takes; keeps a running process from filling its memory with a file put there by mistake. */
const maxReadBytes = 16 * 1024 * 1024;

/**
 * Reads a file in a process that has other work: a pipe, which would make it wait for a writer, is refused, and so is a file of more
 * than 16 MiB. Throws as `readFileSync` does.
 */
export function readRegularFile(path: string): string {
  const stat = statSync(path);
  if (!stat.isFile()) throw Object.assign(new Error('not a regular file'), { code: 'not a file' });
  if (stat.size > maxReadBytes) throw Object.assign(new Error('too large'), { code: 'EFBIG' });
  return readFileSync(path, 'utf8');
}
