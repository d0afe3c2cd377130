/** What a newer payload schema may refuse that the older one accepted: the part of that question that can be decided. */
import { isJsonObject } from '../../contracts/json-guard.ts';
import type { SchemaValue } from '../payload-schema/document.ts';
import { escapeStep } from '../payload-schema/pointer.ts';
import { canonical, resolved, SameSchema } from './same-schema.ts';
import { limitChanges } from './schema-limits.ts';
import {
  conjuncts,
  listed,
  listOf,
  mapOf,
  namesOf,
  Pairs,
  picked,
  requiredNames,
  type Schema,
} from './schema-parts.ts';
import { type TypeName, typesOf, typesText, valuesOf } from './schema-types.ts';

export interface SchemaChange {
  /** `check`: changed, in a way that is not decided here. */
  readonly verdict: 'breaking' | 'check';
  /** Place in the payload; `*` stands for any item or property. */
  readonly pointer: string;
  /** Goes on from the place: what payloads must be now. */
  readonly tightened: string;
  /** The same seen from the other side: what payloads may be where this document is the older one. Absent where that is no news. */
  readonly loosened?: string;
}

const maxSteps = 50_000;
const maxDepth = 200;
const maxChanges = 100;

class TooMuch extends Error {}

/** Both documents are checked ones. Empty where `after` accepts all that `before` accepts, as far as is decided. */
export function schemaChanges(before: SchemaValue, after: SchemaValue): readonly SchemaChange[] {
  const comparison = new Comparison(before, after);
  try {
    return comparison.run().slice(0, maxChanges);
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
    const tightened = 'is too large a schema to be compared';
    return [{ verdict: 'check', pointer: '', tightened }];
  }
}

class Comparison {
  readonly #before: SchemaValue;
  readonly #after: SchemaValue;
  readonly #same: SameSchema;
  #found: SchemaChange[] = [];
  #compared = new Pairs();
  readonly #open = new Pairs();
  #steps = 0;
  #depth = 0;
  /** Within alternatives nothing is sure: another one may accept the payload. */
  #within = 0;

  constructor(before: SchemaValue, after: SchemaValue) {
    this.#before = before;
    this.#after = after;
    this.#same = new SameSchema(before, after, () => this.#spend());
  }

  run(): readonly SchemaChange[] {
    this.#compare(this.#before, this.#after, '');
    return this.#found;
  }

  #spend(): void {
    this.#steps += 1;
    if (this.#steps > maxSteps) throw new TooMuch();
  }

  #compare(before: unknown, after: unknown, at: string): void {
    this.#spend();
    if (this.#depth > maxDepth) throw new TooMuch();
    const old = resolved(this.#before, before ?? true);
    const next = resolved(this.#after, after ?? true);
    if (next === true || old === false) return;
    if (next === false) {
      if (isJsonObject(old) && old['not'] !== undefined && canonical(old['not']) === '{}') return;
      this.#add(true, at, 'is no longer allowed', 'is allowed now');
      return;
    }
    // A recursive schema comes back to a pair that is being compared: it holds unless that comparison finds something.
    if (this.#open.has(old, next) || !this.#compared.add(old, next)) return;
    this.#open.add(old, next);
    this.#depth += 1;
    this.#keywords(old === true ? {} : old, next, at);
    this.#depth -= 1;
    this.#open.delete(old, next);
  }

  #keywords(old: Schema, next: Schema, at: string): void {
    const values = valuesOf(old);
    const live = this.#types(old, next, at);
    if (live.length === 0) return;
    this.#values(values, valuesOf(next), at);
    const composed = conjuncts(this.#before, old).length > 0;
    const sure = values === undefined && !composed;
    for (const { tightened, loosened, decided = true } of limitChanges(old, next, live)) {
      this.#add(sure && decided, at, tightened, loosened);
    }
    if (live.includes('object')) this.#object(old, next, at, sure);
    if (live.includes('array')) this.#array(old, next, at);
    this.#allOf(old, next, at);
    this.#anyOf(old, next, at);
    this.#opaque(old, next, at);
  }

  /** Types that both accept. */
  #types(old: Schema, next: Schema, at: string): readonly TypeName[] {
    const [were, are] = [typesOf(old), typesOf(next)];
    const lost = were.filter((type) => !are.includes(type));
    if (lost.length > 0) {
      const told = `must be ${typesText(are)}`;
      const sure = conjuncts(this.#before, old).length === 0;
      this.#add(
        sure,
        at,
        `${told}, was ${typesText(were)}`,
        `may be ${typesText(were)}, was ${typesText(are)}`,
      );
    }
    return were.filter((type) => are.includes(type));
  }

  #values(
    were: readonly unknown[] | undefined,
    are: readonly unknown[] | undefined,
    at: string,
  ): void {
    if (are === undefined) return;
    if (were === undefined) {
      this.#add(true, at, `must be one of ${listed(are)}`, `may be other than ${listed(are)}`);
      return;
    }
    const kept = new Set(are.map(canonical));
    const gone = were.filter((value) => !kept.has(canonical(value)));
    if (gone.length > 0)
      this.#add(
        true,
        at,
        `may no longer be ${listed(gone)}`,
        `may be ${listed(gone)}, which is new`,
      );
  }

  #object(old: Schema, next: Schema, at: string, sure: boolean): void {
    const required = requiredNames(this.#before, old, () => this.#spend());
    for (const name of namesOf(next['required'])) {
      if (required.has(name)) continue;
      this.#add(true, at, `must have the property "${name}"`, `may lack the property "${name}"`);
    }
    const needs = mapOf(next['dependentRequired']);
    for (const [name, list] of Object.entries(needs)) {
      const had = new Set([...required, ...namesOf(mapOf(old['dependentRequired'])[name])]);
      const added = namesOf(list).filter((one) => !had.has(one));
      if (added.length === 0) continue;
      const text = `${added.map((one) => `"${one}"`).join(', ')} beside "${name}"`;
      this.#add(sure, at, `must have ${text}`, `may lack ${text}`);
    }
    this.#properties(old, next, at);
    const names = next['propertyNames'];
    if (names !== undefined && !this.#accepts(old['propertyNames'], names, at)) {
      this.#undecided(at, 'has other rules for property names');
    }
  }

  #properties(old: Schema, next: Schema, at: string): void {
    const [were, are] = [mapOf(old['properties']), mapOf(next['properties'])];
    const [oldRest, rest] = [old['additionalProperties'], next['additionalProperties']];
    const patterns = mapOf(next['patternProperties']);
    const oldPatterns = mapOf(old['patternProperties']);
    const patterned = Object.keys(patterns).length + Object.keys(oldPatterns).length > 0;
    if (
      patterned &&
      !this.#same.same({ patternProperties: oldPatterns }, { patternProperties: patterns })
    ) {
      this.#undecided(at, 'has other patterns for properties');
    }
    for (const [name, schema] of Object.entries(are)) {
      const inner = `${at}/${escapeStep(name)}`;
      if (Object.hasOwn(were, name)) this.#compare(were[name], schema, inner);
      // A property that nobody described is taken for one that nobody sent.
      else if (isJsonObject(oldRest)) this.#compare(oldRest, schema, inner);
      else if (schema === false && oldRest !== false) this.#compare(true, false, inner);
    }
    for (const [name, schema] of Object.entries(were)) {
      if (Object.hasOwn(are, name) || rest === undefined || patterned) continue;
      if (rest === false) {
        if (schema !== false) this.#add(true, at, `may no longer have the property "${name}"`);
      } else this.#compare(schema, rest, `${at}/${escapeStep(name)}`);
    }
    if (rest === false && oldRest !== false && !patterned) {
      this.#add(
        true,
        at,
        'may have no other properties than the described ones',
        'may have other properties',
      );
    } else if (rest !== undefined && rest !== false) this.#compare(oldRest, rest, `${at}/*`);
  }

  #array(old: Schema, next: Schema, at: string): void {
    const [were, are] = [listOf(old['prefixItems']), listOf(next['prefixItems'])];
    if (were.length === are.length) {
      for (const [index, schema] of are.entries())
        this.#compare(were[index], schema, `${at}/${index}`);
      this.#compare(old['items'], next['items'], `${at}/*`);
    } else this.#undecided(at, 'has other rules for its first items');
    if (next['uniqueItems'] === true && old['uniqueItems'] !== true) {
      this.#add(true, at, 'must not hold an item twice', 'may hold an item twice');
    }
  }

  #allOf(old: Schema, next: Schema, at: string): void {
    const were = conjuncts(this.#before, old);
    const are = conjuncts(this.#after, next);
    const whole: Schema = Object.fromEntries(
      Object.entries(old).filter(([key]) => key !== 'allOf'),
    );
    const open = are
      .map((schema, index) => ({ schema, index }))
      .filter(({ schema }) => ![...were, whole].some((one) => this.#accepts(one, schema, at)));
    for (const { schema, index } of open) {
      if (were.length === are.length) this.#compare(were[index], schema, at);
      else if (were.length === 0) this.#compare(whole, schema, at);
      else this.#add(false, at, 'has another part under allOf', 'has fewer parts under allOf');
    }
  }

  #anyOf(old: Schema, next: Schema, at: string): void {
    const [were, are] = [listOf(old['anyOf']), listOf(next['anyOf'])];
    if (are.length === 0) return;
    const branches = were.length === 0 ? [old] : were;
    const open = branches
      .map((schema, index) => ({ schema, index }))
      .filter(({ schema }) => !are.some((one) => this.#accepts(schema, one, at)));
    this.#within += 1;
    for (const { schema, index } of open) {
      if (were.length === are.length) this.#compare(schema, are[index], at);
      else this.#undecided(at, 'has other alternatives (anyOf)');
    }
    this.#within -= 1;
  }

  /** Keywords whose effect is not compared, only whether they changed. */
  #opaque(old: Schema, next: Schema, at: string): void {
    const names = ['oneOf', 'not', 'if', 'contains', 'dependentSchemas'];
    for (const name of names) {
      const parts = name === 'if' ? ['if', 'then', 'else'] : [name];
      if (name === 'contains') parts.push('minContains', 'maxContains');
      if (next[name] === undefined || this.#same.same(picked(old, parts), picked(next, parts)))
        continue;
      this.#undecided(at, `has another rule under ${name}`);
    }
    const closes = ['unevaluatedProperties', 'unevaluatedItems'].find(
      (name) => next[name] !== undefined,
    );
    if (closes !== undefined && !this.#same.same(old, next)) {
      this.#undecided(at, `has ${closes}, which depends on all the rest`);
    }
  }

  /** True where nothing is found between the two; leaves no trace. */
  #accepts(before: unknown, after: unknown, at: string): boolean {
    const [found, compared] = [this.#found, this.#compared];
    this.#found = [];
    this.#compared = new Pairs();
    this.#compare(before, after, at);
    const accepted = this.#found.length === 0;
    this.#found = found;
    this.#compared = compared;
    return accepted;
  }

  #undecided(at: string, text: string): void {
    this.#add(false, at, text, text);
  }

  #add(sure: boolean, pointer: string, tightened: string, loosened?: string): void {
    this.#found.push({
      verdict: sure && this.#within === 0 ? 'breaking' : 'check',
      pointer,
      tightened,
      ...(loosened === undefined ? {} : { loosened }),
    });
  }
}
