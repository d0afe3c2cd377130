/** JSON that people wrote: parsed, and its mistakes shown where they stand. */
import { fail, ok, type Result } from '../../contracts/result.ts';
import { type Path, type Problem, pathText } from '../problems.ts';
import { type ProblemOptions, readSource } from '../source.ts';
import type { Mistake } from './document.ts';
import { pointerOf } from './pointer.ts';

/** Line and column from 1. */
export interface TextPlace {
  readonly line: number;
  readonly column: number;
}

export function parseJsonText(text: string): Result<unknown, TextPlace> {
  // Some editors begin a file with a byte order mark.
  const json = text.replace(/^\uFEFF/, '');
  try {
    return ok(JSON.parse(json) as unknown);
  } catch (error) {
    const position = /at position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    return fail(placeOf(json, position === undefined ? json.length : Number(position)));
  }
}

function placeOf(text: string, offset: number): TextPlace {
  const lines = text.slice(0, offset).split(/\r\n|\n|\r/);
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

/** Makes problems of the mistakes in a schema file; says which rule names it, since the file does not. */
export function problemsIn(text: string, file: string, rule: Path): (mistake: Mistake) => Problem {
  // Every JSON text is YAML, whose reader knows the place of each part. A tab can only stand between parts.
  const source = readSource(text.replace(/^\uFEFF/, '').replaceAll('\t', ' '), file);
  return ({ path, message, cure, at }) => {
    const options: ProblemOptions = {
      ...(at === undefined ? {} : { at }),
      ...(cure === undefined ? {} : { cure }),
    };
    const told = `${message} (schema of ${pathText(rule)})`;
    const problem: Problem = source.ok
      ? source.value.problem(path, told, options)
      : {
          file,
          line: 0,
          column: 0,
          path: '',
          message: told,
          ...(cure === undefined ? {} : { cure }),
        };
    return { ...problem, path: `#${pointerOf(path)}` };
  };
}
