/** Regular expressions of payload schemas, run by RE2's algorithm: no text makes them slow. */
import { RE2JS } from 're2js';
import { fail, ok, type Result } from '../../contracts/result.ts';

const maxPatternLength = 500;

export interface LinearPattern {
  /** Finds the pattern anywhere in the text, as JSON Schema wants it. */
  test(text: string): boolean;
  /** Instructions of the compiled pattern: at worst each looks at each character. */
  readonly size: number;
}

/** The error goes on from the name of the keyword. */
export function compilePattern(source: string): Result<LinearPattern, string> {
  if (source.length > maxPatternLength) {
    return fail(`has a pattern of more than ${maxPatternLength} characters`);
  }
  try {
    const compiled = RE2JS.compile(RE2JS.translateRegExp(source));
    return ok({ test: (text) => compiled.test(text), size: compiled.programSize() });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return fail(`has a bad pattern: ${text.replace(/^error parsing regexp: /, '')}`);
  }
}
