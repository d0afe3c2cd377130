/** The schema files that warren.yaml names: each read, checked and compiled once, however many rules share it. */
import { dirname, join, resolve } from 'node:path';
import { maxJsonDepth, nestsDeeperThan } from '../../contracts/json-guard.ts';
import type { EventSchema } from '../../contracts/warren-config.ts';
import { type Path, type Problem, pathText, printable } from '../problems.ts';
import type { ReadFile } from '../secrets.ts';
import type { Source } from '../source.ts';
import { compileSchema } from './compile.ts';
import type { SchemaValue } from './document.ts';
import { inspectSchema } from './inspect.ts';
import { parseJsonText, problemsIn } from './json-text.ts';

export interface SchemaFiles {
  /**
   * The schema that the rule at `rule` names; undefined where it has a problem, which is then in `problems`.
   *
   * @param path from the directory of warren.yaml
   */
  read(rule: Path, path: string): EventSchema | undefined;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

const maxFileBytes = 256 * 1024;

export function createSchemaFiles(source: Source, readFile: ReadFile): SchemaFiles {
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const known = new Map<string, EventSchema | undefined>();
  const directory = dirname(source.file);

  function load(rule: Path, path: string): EventSchema | undefined {
    const at = [...rule, 'schema'];
    const refuse = (message: string, cure?: string) => {
      problems.push(source.problem(at, message, cure === undefined ? {} : { cure }));
      return undefined;
    };
    let text: string;
    try {
      text = readFile(resolve(directory, path));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException | undefined)?.code ?? 'it failed';
      return refuse(
        `names a file that cannot be read (${code})`,
        'the path is taken from the directory of warren.yaml',
      );
    }
    const bytes = Buffer.from(text, 'utf8');
    if (bytes.length > maxFileBytes) {
      return refuse(`names a file of ${bytes.length} bytes, at most ${maxFileBytes} are read`);
    }
    if (nestsDeeperThan(bytes, maxJsonDepth)) {
      return refuse(`names a file that nests deeper than ${maxJsonDepth} levels`);
    }
    const file = join(directory, path);
    const parsed = parseJsonText(text);
    if (!parsed.ok) {
      const message = `is not JSON (schema of ${pathText(rule)})`;
      const cure = 'no comments, no comma before } or ], double quotes around names and text';
      problems.push({ file, ...parsed.error, path: '', message, cure });
      return undefined;
    }
    const { mistakes, warnings: doubts, sanitized } = inspectSchema(parsed.value);
    if (mistakes.length + doubts.length > 0) {
      const place = problemsIn(text, file, rule);
      warnings.push(...doubts.map(place));
      problems.push(...mistakes.map(place));
    }
    if (mistakes.length > 0) return undefined;
    const schema: EventSchema = { path, document: parsed.value as SchemaValue };
    const compiled = compileSchema(schema, sanitized);
    if (compiled.ok) return schema;
    return refuse(
      `names a schema that cannot be compiled: ${printable(compiled.error.slice(0, 200))}`,
    );
  }

  return {
    problems,
    warnings,
    read(rule, path) {
      const key = resolve(directory, path);
      if (!known.has(key)) known.set(key, load(rule, path));
      return known.get(key);
    },
  };
}
