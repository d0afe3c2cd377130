/** Whether two schemas say the same: remarks, key order and the names of parts left out. */
import { isJsonObject } from '../../contracts/json-guard.ts';
import type { SchemaValue } from '../payload-schema/document.ts';
import { keywords } from '../payload-schema/keywords.ts';
import { readReference, resolvePointer } from '../payload-schema/pointer.ts';

/** One of the two documents. */
export type Document = SchemaValue;

/** The schema itself, or the one that it does nothing but refer to. */
export function resolved(document: Document, schema: unknown): SchemaValue {
  let at = schema;
  // References of checked documents end; so many steps are never needed.
  for (let steps = 0; steps < 100 && isJsonObject(at) && onlyRefers(at); steps += 1) {
    at = referred(document, at);
  }
  return typeof at === 'boolean' || isJsonObject(at) ? at : true;
}

/** What the `$ref` of a schema leads to. */
export function referred(document: Document, schema: Readonly<Record<string, unknown>>): unknown {
  const reference = readReference(String(schema['$ref']));
  return reference.ok ? resolvePointer(document, reference.pointer) : undefined;
}

const idle: ReadonlySet<string | undefined> = new Set(['annotation', 'text', undefined]);

/** The keywords of a schema that check something. */
export function checkingKeywords(schema: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(schema).filter(
    (name) => name !== '$defs' && name !== 'definitions' && !idle.has(keywords.get(name)),
  );
}

function onlyRefers(schema: Readonly<Record<string, unknown>>): boolean {
  return Object.hasOwn(schema, '$ref') && checkingKeywords(schema).length === 1;
}

/** The same text for equal JSON values. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) =>
    isJsonObject(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
}

export class SameSchema {
  readonly #before: Document;
  readonly #after: Document;
  readonly #compared = new Map<unknown, Set<unknown>>();
  readonly #spend: () => void;

  /** @param spend called for each pair of schemas */
  constructor(before: Document, after: Document, spend: () => void) {
    this.#before = before;
    this.#after = after;
    this.#spend = spend;
  }

  same(left: unknown, right: unknown): boolean {
    this.#spend();
    const [a, b] = [resolved(this.#before, left ?? true), resolved(this.#after, right ?? true)];
    if (typeof a === 'boolean' || typeof b === 'boolean') return a === b;
    const known = this.#compared.get(a) ?? new Set();
    // Met again on the way: equal, unless a difference turns up elsewhere.
    if (known.has(b)) return true;
    this.#compared.set(a, known.add(b));
    const names = new Set([...checkingKeywords(a), ...checkingKeywords(b)]);
    const alike = [...names].every((name) => this.#sameKeyword(name, a[name], b[name]));
    // What was taken for equal on its account may not be.
    if (!alike) this.#compared.clear();
    return alike;
  }

  #sameKeyword(name: string, left: unknown, right: unknown): boolean {
    if (left === undefined || right === undefined) return false;
    switch (keywords.get(name)) {
      case 'schema':
        return this.same(left, right);
      case 'schemas':
      case 'schema-map':
      case 'pattern-map':
        return this.#sameEntries(left as object, right as object);
      case 'reference':
        return this.same({ $ref: left }, { $ref: right });
      case 'names':
        return (
          canonical([...(left as string[])].sort()) === canonical([...(right as string[])].sort())
        );
      default:
        return canonical(left) === canonical(right);
    }
  }

  #sameEntries(left: object, right: object): boolean {
    const [a, b] = [Object.entries(left), new Map(Object.entries(right))];
    return a.length === b.size && a.every(([key, one]) => b.has(key) && this.same(one, b.get(key)));
  }
}
