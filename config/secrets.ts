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
  const read = readTextFile(source, file, readFile);
  if ('text' in read) return { secret: read.text };
  const { message, cure } = read.mistake;
  const options = cure === undefined ? {} : { cure };
  return { problem: source.problem(at, message, options) };
}

/** A file that warren.yaml names, as `readSecret` reads one. */
export function readTextFile(
  source: Source,
  file: string,
  readFile: ReadFile,
):
  | { readonly text: string }
  | { readonly mistake: { readonly message: string; readonly cure?: string } } {
  try {
    const text = readFile(resolve(dirname(source.file), file)).replace(/\r?\n$/, '');
    return text === '' ? { mistake: { message: 'names an empty file' } } : { text };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException | undefined)?.code ?? 'it failed';
    return {
      mistake: {
        message: `cannot be read (${code})`,
        cure: 'the path is taken from the directory of warren.yaml',
      },
    };
  }
}
