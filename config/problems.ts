/** What is wrong with a configuration: where, what, and the cure, as data and as text for people. */

/** Keys and list positions from the root of the file. */
export type Path = readonly (string | number)[];

export interface Problem {
  readonly file: string;
  /** From 1; 0 where the problem has no place in the file. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** `events[0].to`; empty for the file as a whole. */
  readonly path: string;
  /** Goes on from the path: `is not a known key`. Never holds a secret. */
  readonly message: string;
  /** What to write instead. */
  readonly cure?: string;
  /** The line at fault and a caret below it; secrets are blotted out. */
  readonly excerpt?: string;
}

/** `['events', 0, 'data', 'a b']` as `events[0].data["a b"]`. */
export function pathText(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(step)) text += text === '' ? step : `.${step}`;
    else text += `[${printable(JSON.stringify(step))}]`;
  }
  return text;
}

/** `warren.yaml:12:5  events[0].tos is not a known key`, the excerpt and the cure below it. */
export function formatProblem(problem: Problem): string {
  const place =
    problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  const subject = problem.path === '' ? '' : `${problem.path} `;
  const lines = [`${place}  ${subject}${problem.message}`];
  if (problem.excerpt !== undefined) lines.push(problem.excerpt);
  if (problem.cure !== undefined) lines.push(`    cure: ${problem.cure}`);
  return lines.join('\n');
}

/** More would scroll the first ones away. */
const maxShown = 50;

/** One line for each problem, for a log: at most 50, without excerpts. */
export function problemLines(problems: readonly Problem[]): string[] {
  const lines = problems.slice(0, maxShown).map(({ excerpt: _, cure, ...problem }) => {
    const line = formatProblem(problem);
    return cure === undefined ? line : `${line} (${cure})`;
  });
  if (problems.length > lines.length) lines.push(`and ${problems.length - lines.length} more`);
  return lines;
}

/** All problems as text, in file order. */
export function formatProblems(problems: readonly Problem[]): string {
  const shown = problems.slice(0, maxShown).map(formatProblem);
  const more = problems.length - shown.length;
  if (more > 0) shown.push(`and ${more} more`);
  return shown.join('\n');
}

export function inFileOrder(problems: readonly Problem[]): Problem[] {
  return [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
}

const maxExcerptLength = 100;

/** The line and a caret under the column. */
export function excerptOf(line: string, lineNumber: number, column: number): string {
  const safe = printable(blotSecrets(line).replaceAll('\t', ' '));
  // A long line is cut around the column, so that the caret stays on the screen.
  const start = column > maxExcerptLength - 20 && column <= safe.length ? column - 40 : 0;
  const shown = safe.slice(start, start + maxExcerptLength);
  const gutter = String(lineNumber).padStart(6, ' ');
  const caret = ' '.repeat(Math.max(0, Math.min(column - 1 - start, shown.length)));
  return `${gutter} | ${shown}\n${' '.repeat(6)} | ${caret}^`;
}

/** Whatever follows the keys `secret` and `password` on its line, and the credentials of a URL, must not reach a terminal or a log. */
function blotSecrets(line: string): string {
  return line
    .replace(/(\b(?:secret|password)["']?\s*:\s*)\S.*$/, '$1***')
    .replace(/(:\/\/)[^/\s'"]*@/g, '$1***@');
}

/** Control characters of a file must not drive the terminal that shows it. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  );
}

/** A value as messages show it: short, quoted where it is text. */
export function shown(value: unknown): string {
  const text = printable(JSON.stringify(value) ?? String(value));
  return text.length <= 40 ? text : `${text.slice(0, 37)}…`;
}
