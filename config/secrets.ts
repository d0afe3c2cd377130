/** Secrets of warren.yaml: given in place, or in a file beside it. */
import { dirname, resolve } from 'node:path';
import type { Path, Problem } from './problems.ts';
import type { Source } from './source.ts';

export interface SecretHolder {
  readonly secret?: string;
  readonly secretFile?: string;
}

export type ReadFile = (path: string) => string;

/**
 * The secret of the part at `path`, or the problem with its file. The file's path is taken from the directory of warren.yaml; one final
 * newline is dropped, as editors and `echo` leave one.
 */
export function readSecret(
  source: Source,
  path: Path,
  holder: SecretHolder,
  readFile: ReadFile,
): { readonly secret: string } | { readonly problem: Problem } {
  if (holder.secret !== undefined) return { secret: holder.secret };
  return readSecretFile(source, [...path, 'secretFile'], holder.secretFile ?? '', readFile);
}

/** The same of a file alone. @param at the key that names it */
export function readSecretFile(
  source: Source,
  at: Path,
  file: string,
  readFile: ReadFile,
): { readonly secret: string } | { readonly problem: Problem } {
  try {
    const secret = readFile(resolve(dirname(source.file), file)).replace(/\r?\n$/, '');
    return secret === '' ? { problem: source.problem(at, 'names an empty file') } : { secret };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException | undefined)?.code ?? 'it failed';
    return {
      problem: source.problem(at, `cannot be read (${code})`, {
        cure: 'the path is taken from the directory of warren.yaml',
      }),
    };
  }
}
