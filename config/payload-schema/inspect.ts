/**
 * A schema document looked through before it is compiled: every mistake with its place, and a copy that holds only what the compiler
 * shall see, each part with what it costs to check.
 */
import { isJsonObject } from '../../contracts/json-guard.ts';
import { nearest } from '../../runtime/nearest.ts';
import { type Path, shown } from '../problems.ts';
import { type Mistake, type Place, type SchemaValue, workKeyword } from './document.ts';
import { formats } from './formats.ts';
import { formerKeywords, inPlace, keywords, type Takes, typeNames } from './keywords.ts';
import { compilePattern } from './linear-pattern.ts';
import { escapeStep, pointerOf, readReference } from './pointer.ts';
import { findReferenceMistakes } from './references.ts';
import { workOf } from './work.ts';

export interface Inspection {
  readonly mistakes: readonly Mistake[];
  readonly warnings: readonly Mistake[];
  /** To be compiled; meaningless where there are mistakes. */
  readonly sanitized: SchemaValue;
}

const maxMistakes = 50;
/** Ajv nests the code for one after the other, and from some 2,000 on neither it nor V8 can follow. */
const maxSchemasSideBySide = 500;

/** @param document parsed JSON that nests at most 64 levels */
export function inspectSchema(document: unknown): Inspection {
  const inspector = new Inspector();
  const sanitized = inspector.schema(document, []);
  const { mistakes, warnings, places } = inspector;
  if (mistakes.length === 0) mistakes.push(...findReferenceMistakes(places));
  return {
    mistakes: mistakes.slice(0, maxMistakes),
    warnings: warnings.slice(0, maxMistakes),
    sanitized,
  };
}

class Inspector {
  readonly mistakes: Mistake[] = [];
  readonly warnings: Mistake[] = [];
  readonly places = new Map<string, Place>();

  schema(value: unknown, path: Path): SchemaValue {
    const place: Place = { path, inPlace: [], references: [] };
    this.places.set(pointerOf(path), place);
    if (typeof value === 'boolean') return value;
    if (!isJsonObject(value)) {
      return this.#wrong(path, 'must be a schema: an object, true or false', {});
    }
    const copy: Record<string, unknown> = {};
    for (const [keyword, behind] of Object.entries(value)) {
      const at = [...path, keyword];
      const takes = keywords.get(keyword);
      if (keyword === '__proto__') this.#wrong(at, 'may not be a name in a schema', undefined);
      else if (takes === undefined) this.#unknown(keyword, at);
      else if (takes !== 'annotation') {
        const kept = this.#keyword(keyword, takes, behind, at, place);
        if (kept !== undefined) copy[keyword] = kept;
      }
    }
    const work = workOf(copy);
    if (work !== undefined) copy[workKeyword] = work;
    return copy;
  }

  #keyword(keyword: string, takes: Takes, value: unknown, at: Path, place: Place): unknown {
    if (inPlace.has(keyword)) this.#notePlaces(takes, value, at, place);
    switch (takes) {
      case 'schema':
        return this.schema(value, at);
      case 'schemas':
        if (!Array.isArray(value) || value.length === 0) {
          return this.#wrong(at, 'must be a list of schemas that is not empty', []);
        }
        if (value.length > maxSchemasSideBySide) return this.#tooMany(at, []);
        return value.map((one, index) => this.schema(one, [...at, index]));
      case 'schema-map':
      case 'pattern-map':
        return this.#map(takes, value, at);
      case 'reference':
        return this.#reference(value, at, place);
      default:
        return this.#plain(keyword, takes, value, at);
    }
  }

  #map(takes: Takes, value: unknown, at: Path): unknown {
    if (!isJsonObject(value)) return this.#wrong(at, 'must be a map of schemas', {});
    const compiledInPlace = at.at(-1) !== '$defs' && at.at(-1) !== 'definitions';
    if (compiledInPlace && Object.keys(value).length > maxSchemasSideBySide) {
      return this.#tooMany(at, {});
    }
    const copy: Record<string, unknown> = {};
    for (const [name, one] of Object.entries(value)) {
      if (name === '__proto__') {
        this.#wrong([...at, name], 'may not be a name in a schema', undefined);
        continue;
      }
      if (takes === 'pattern-map') this.#pattern(name, [...at, name]);
      copy[name] = this.schema(one, [...at, name]);
    }
    return copy;
  }

  #notePlaces(takes: Takes, value: unknown, at: Path, place: Place): void {
    if (takes === 'schema') place.inPlace.push(pointerOf(at));
    else if (typeof value === 'object' && value !== null) {
      for (const key of Object.keys(value))
        place.inPlace.push(`${pointerOf(at)}/${escapeStep(key)}`);
    }
  }

  #reference(value: unknown, at: Path, place: Place): unknown {
    if (typeof value !== 'string') return this.#wrong(at, 'must be text', undefined);
    const read = readReference(value);
    if (!read.ok) {
      this.mistakes.push({ path: at, message: read.message, cure: read.cure });
      return undefined;
    }
    place.references.push({ to: read.pointer, path: at });
    return read.uri;
  }

  #plain(keyword: string, takes: Takes, value: unknown, at: Path): unknown {
    switch (takes) {
      case 'types':
        return this.#types(value, at);
      case 'pattern':
        if (typeof value !== 'string') return this.#wrong(at, 'must be text', undefined);
        this.#pattern(value, at);
        return value;
      case 'format':
        return this.#format(value, at);
      case 'text':
        return this.#identity(keyword, value, at);
      case 'count':
        if (Number.isSafeInteger(value) && (value as number) >= 0) return value;
        return this.#wrong(at, `must be a whole number from 0, not ${shown(value)}`, undefined);
      case 'number':
        if (typeof value === 'number' && Number.isFinite(value)) return value;
        return this.#wrong(at, `must be a number, not ${shown(value)}`, undefined);
      case 'positive':
        if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
        return this.#wrong(at, `must be a number above 0, not ${shown(value)}`, undefined);
      case 'flag':
        if (typeof value === 'boolean') return value;
        return this.#wrong(at, `must be true or false, not ${shown(value)}`, undefined);
      case 'names':
        return this.#names(value, at);
      case 'names-map': {
        if (!isJsonObject(value)) return this.#wrong(at, 'must be a map of lists of names', {});
        for (const [name, list] of Object.entries(value)) this.#names(list, [...at, name]);
        return value;
      }
      case 'list':
        if (Array.isArray(value) && value.length > 0) return value;
        return this.#wrong(at, 'must be a list of values that is not empty', [null]);
      case 'refused':
        return this.#wrong(at, 'is not available in payload schemas', undefined, {
          cure: 'name parts under $defs and refer to them as {"$ref": "#/$defs/name"}',
        });
      default:
        return value;
    }
  }

  #types(value: unknown, at: Path): unknown {
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    const known: readonly unknown[] = typeNames;
    for (const [index, type] of list.entries()) {
      if (known.includes(type)) continue;
      const best = typeof type === 'string' ? nearest(type, typeNames) : undefined;
      const hint =
        best === undefined ? `there is ${typeNames.join(', ')}` : `did you mean "${best}"?`;
      const where = Array.isArray(value) ? [...at, index] : at;
      this.#wrong(where, `${shown(type)} is not a type of JSON; ${hint}`, undefined);
    }
    if (list.length === 0) this.#wrong(at, 'is an empty list', undefined);
    if (new Set(list).size < list.length) this.#wrong(at, 'names a type twice', undefined);
    return value;
  }

  #pattern(source: string, at: Path): void {
    const compiled = compilePattern(source);
    if (compiled.ok) return;
    this.#wrong(at, compiled.error, undefined, {
      cure: 'patterns are those of RE2, which takes linear time: no (?=…), (?!…), (?<=…) and no \\1',
    });
  }

  #format(value: unknown, at: Path): unknown {
    if (typeof value === 'string' && Object.hasOwn(formats, value)) return value;
    const names = Object.keys(formats);
    const best = typeof value === 'string' ? nearest(value, names) : undefined;
    const hint = best === undefined ? '' : `; did you mean "${best}"?`;
    return this.#wrong(
      at,
      `${shown(value)} is not a format that is checked here${hint}`,
      undefined,
      {
        cure: `there is ${names.join(', ')}; for another form write a "pattern"`,
      },
    );
  }

  /** `$schema` and `$id` are dropped: the draft is fixed, and every reference stays within the file. */
  #identity(keyword: string, value: unknown, at: Path): undefined {
    if (typeof value !== 'string') return this.#wrong(at, 'must be text', undefined);
    if (keyword === '$schema') {
      if (/^https?:\/\/json-schema\.org\/draft\/2020-12\/schema#?$/.test(value)) return undefined;
      return this.#wrong(at, `${shown(value)} is not the draft that is read here`, undefined, {
        cure: 'write the schema in "https://json-schema.org/draft/2020-12/schema"',
      });
    }
    if (at.length === 1) return undefined;
    return this.#wrong(
      at,
      'stands inside the schema, where it would turn references elsewhere',
      undefined,
      {
        cure: 'keep $id at the root only',
      },
    );
  }

  #names(value: unknown, at: Path): unknown {
    if (!Array.isArray(value) || value.some((name) => typeof name !== 'string')) {
      return this.#wrong(at, 'must be a list of property names', []);
    }
    return value;
  }

  #unknown(keyword: string, at: Path): void {
    // The custom of many tools for remarks of their own.
    if (keyword.startsWith('x-')) return;
    const instead = formerKeywords.get(keyword);
    const best = nearest(keyword, [...keywords.keys()]);
    const hint =
      instead !== undefined
        ? `; write ${instead}`
        : best === undefined
          ? ''
          : `; did you mean "${best}"?`;
    const message = `is not a keyword of JSON Schema 2020-12, so it checks nothing${hint}`;
    this.warnings.push({ path: at, message, at: 'key' });
  }

  #tooMany<T>(at: Path, instead: T): T {
    return this.#wrong(at, `holds more than ${maxSchemasSideBySide} schemas`, instead, {
      cure: 'move some of them into parts under $defs',
    });
  }

  #wrong<T>(path: Path, message: string, instead: T, { cure }: { cure?: string } = {}): T {
    this.mistakes.push({ path, message, ...(cure === undefined ? {} : { cure }) });
    return instead;
  }
}
