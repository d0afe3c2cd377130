/** Small things that the comparison of schemas is made of. */
import { isJsonObject } from '../../contracts/json-guard.ts';
import type { SchemaValue } from '../payload-schema/document.ts';
import { checkingKeywords, referred, resolved } from './same-schema.ts';

export type Schema = Readonly<Record<string, unknown>>;

/** The schemas that hold beside the schema itself. */
export function conjuncts(document: SchemaValue, schema: Schema): readonly unknown[] {
  const beside = schema['$ref'] !== undefined && checkingKeywords(schema).length > 1;
  return [...listOf(schema['allOf']), ...(beside ? [referred(document, schema)] : [])];
}

/** Properties that the schema and its conjuncts require. @param spend called for each conjunct */
export function requiredNames(
  document: SchemaValue,
  schema: Schema,
  spend: () => void,
): Set<string> {
  const names = new Set(namesOf(schema['required']));
  for (const part of conjuncts(document, schema)) {
    spend();
    const inner = resolved(document, part);
    if (isJsonObject(inner))
      for (const name of requiredNames(document, inner, spend)) names.add(name);
  }
  return names;
}

/** A set of pairs. */
export class Pairs {
  readonly #seconds = new Map<unknown, Set<unknown>>();

  has(first: unknown, second: unknown): boolean {
    return this.#seconds.get(first)?.has(second) === true;
  }

  /** False where it is there already. */
  add(first: unknown, second: unknown): boolean {
    const seconds = this.#seconds.get(first) ?? new Set();
    this.#seconds.set(first, seconds);
    if (seconds.has(second)) return false;
    seconds.add(second);
    return true;
  }

  delete(first: unknown, second: unknown): void {
    this.#seconds.get(first)?.delete(second);
  }
}

export function mapOf(value: unknown): Schema {
  return isJsonObject(value) ? value : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function namesOf(value: unknown): readonly string[] {
  return listOf(value).filter((name) => typeof name === 'string');
}

export function picked(schema: Schema, names: readonly string[]): Schema {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => names.includes(name)));
}

export function listed(values: readonly unknown[]): string {
  const shown = values.slice(0, 5).map((value) => JSON.stringify(value));
  const more = values.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
