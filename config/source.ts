/** The text of warren.yaml as a value whose every part knows its place, or the YAML mistakes in it. */
import {
  type Document,
  isAlias,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  YAMLMap,
} from 'yaml';
import { fail, ok, type Result } from '../contracts/result.ts';
import { excerptOf, type Path, type Problem, pathText, shown } from './problems.ts';
import { startsWithStar, yamlMistake } from './yaml-mistakes.ts';

export interface Source {
  readonly file: string;
  /** The root map; an empty file is an empty map. */
  readonly value: Readonly<Record<string, unknown>>;
  /** A problem of the part at `path`, or of the nearest part above it that exists. */
  problem(path: Path, message: string, options?: ProblemOptions): Problem;
}

export interface ProblemOptions {
  readonly cure?: string;
  /** Points at the key instead of its value. */
  readonly at?: 'key' | 'value';
  /** Characters into the text of a value that stands on one line. */
  readonly offset?: number;
}

const maxFileBytes = 1024 * 1024;
/** Deeper than any contract; the YAML parser recurses, and near the end of the stack V8 may abort the process. */
const maxNesting = 100;
const maxAliases = 100;

/** Reads the text. Problems are those of YAML itself; what the keys mean is checked elsewhere. */
export function readSource(text: string, file: string): Result<Source, readonly Problem[]> {
  const whole = (message: string, cure?: string): Problem => ({
    file,
    line: 0,
    column: 0,
    path: '',
    message,
    ...(cure === undefined ? {} : { cure }),
  });
  const bytes = Buffer.byteLength(text, 'utf8');
  if (bytes > maxFileBytes) {
    return fail([whole(`has ${bytes} bytes, at most ${maxFileBytes} are read`)]);
  }
  const lines = text.split(/\r\n|\n|\r/);
  const place = (line: number, column: number, message: string, cure?: string): Problem => ({
    ...whole(message, cure),
    line,
    column,
    excerpt: excerptOf(lineForPeople(lines, line), line, column),
  });
  const deep = tooDeepLine(lines);
  if (deep !== undefined) {
    return fail([place(deep, 1, `nests deeper than ${maxNesting} levels`)]);
  }
  const counter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: counter,
    prettyErrors: false,
    stringKeys: true,
    // Its own check is quadratic; `duplicateKeys` does it in one pass.
    uniqueKeys: false,
    resolveKnownTags: false,
    logLevel: 'error',
  });
  const at = (offset: number) => {
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems: Problem[] = [];
  const seen = new Set<number>();
  for (const error of [...document.errors, ...document.warnings]) {
    const { line, column } = at(error.pos[0]);
    // One mistake makes the parser stumble several times on the same line.
    if (seen.has(line)) continue;
    seen.add(line);
    const { message, cure } = yamlMistake(error, lines[line - 1] ?? '');
    problems.push(place(line, column, message, cure));
  }
  for (const { key, offset, first } of duplicateKeys(document)) {
    const { line, column } = at(offset);
    problems.push(
      place(
        line,
        column,
        `gives the key ${shown(key)} twice; the first is on line ${at(first).line}`,
      ),
    );
  }
  for (const offset of unresolvedAliases(document)) {
    const { line, column } = at(offset);
    if (seen.has(line)) continue;
    problems.push(place(line, column, startsWithStar.message, startsWithStar.cure));
  }
  if (problems.length > 0) return fail(problems);
  const value = plainValue(document);
  if (!value.ok) return fail([whole(value.error)]);
  if (value.value !== null && (typeof value.value !== 'object' || Array.isArray(value.value))) {
    return fail([
      place(1, 1, 'must be a map of keys', 'start with a key such as `events:` at the left margin'),
    ]);
  }
  return ok({
    file,
    value: (value.value ?? {}) as Record<string, unknown>,
    problem(path, message, options = {}) {
      const range = locate(document, path, options.at ?? 'value', options.offset ?? 0, text);
      const { line, column } = at(range);
      const cure = options.cure;
      return { ...place(line, column, message, cure), path: pathText(path) };
    },
  });
}

function tooDeepLine(lines: readonly string[]): number | undefined {
  let depth = 0;
  for (const [index, line] of lines.entries()) {
    // Indentation and compact `- - -`: two columns make a level.
    const lead = /^[ \-?:]*/.exec(line)?.[0].length ?? 0;
    if (lead > 2 * maxNesting || line.split(': ').length > 2 * maxNesting) return index + 1;
    for (const character of line) {
      if (character === '[' || character === '{') depth += 1;
      else if ((character === ']' || character === '}') && depth > 0) depth -= 1;
      if (depth > maxNesting) return index + 1;
    }
  }
  return undefined;
}

function plainValue(document: Document): Result<unknown, string> {
  try {
    const value: unknown = document.toJS({ maxAliasCount: maxAliases });
    // An anchor that holds its own alias makes a value without an end.
    JSON.stringify(value);
    return ok(value);
  } catch {
    return fail(`uses aliases (*name) that contain each other or unfold to more than is read`);
  }
}

function unresolvedAliases(document: Document): number[] {
  const offsets: number[] = [];
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document) === undefined) offsets.push(alias.range?.[0] ?? 0);
    },
  });
  return offsets;
}

interface Duplicate {
  readonly key: string;
  readonly offset: number;
  readonly first: number;
}

function duplicateKeys(document: Document): Duplicate[] {
  const found: Duplicate[] = [];
  visit(document, {
    Map(_, map) {
      const first = new Map<string, number>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        const offset = key.range?.[0] ?? 0;
        const before = first.get(name);
        if (before === undefined) first.set(name, offset);
        else found.push({ key: name, offset, first: before });
      }
    },
  });
  return found;
}

/** The offset of the part at `path`, or of the nearest one above it. */
function locate(
  document: Document,
  path: Path,
  at: 'key' | 'value',
  into: number,
  text: string,
): number {
  let node: Node | null = document.contents;
  let key: Node | undefined;
  for (const step of path) {
    const parent: Node | undefined = isAlias(node) ? node.resolve(document) : (node ?? undefined);
    if (parent instanceof YAMLMap) {
      const pair = parent.items.find(
        (item) => isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (pair === undefined) break;
      key = isNode(pair.key) ? pair.key : undefined;
      node = isNode(pair.value) ? pair.value : (key ?? null);
    } else if (isSeq(parent) && typeof step === 'number') {
      const item: unknown = parent.items[step];
      if (!isNode(item)) break;
      key = undefined;
      node = item;
    } else break;
  }
  if (at === 'key' && key?.range) return key.range[0];
  const start = node?.range?.[0];
  if (start === undefined) return key?.range?.[0] ?? 0;
  if (into === 0 || !isScalar(node) || typeof node.value !== 'string') return start;
  const quote = node.type === 'QUOTE_SINGLE' || node.type === 'QUOTE_DOUBLE' ? 1 : 0;
  const onOneLine = text.startsWith(node.value, start + quote) && !node.value.includes('\n');
  return onOneLine ? start + quote + into : start;
}

/** The line to show; one that goes on with the value of a secret is not shown. */
function lineForPeople(lines: readonly string[], line: number): string {
  const hasKey = (text: string | undefined) => text !== undefined && /[\w"']\s*:(\s|$)/.test(text);
  const own = lines[line - 1] ?? '';
  if (hasKey(own)) return own;
  for (let above = line - 2; above >= 0; above -= 1) {
    if (hasKey(lines[above]))
      return /\b(?:secret|password)["']?\s*:/.test(lines[above] ?? '') ? '***' : own;
  }
  return own;
}
