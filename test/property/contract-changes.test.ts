/** Where the comparison finds nothing, nothing that was accepted is refused. */
import { expect } from 'chai';
import fc from 'fast-check';
import { schemaChanges } from '../../config/contract-changes/schema-changes.ts';
import { patternCovers, patternsOverlap } from '../../config/contract-changes/topic-patterns.ts';
import { payloadCheckOf } from '../../config/payload-schema/compile.ts';
import type { SchemaValue } from '../../config/payload-schema/document.ts';
import { TopicTrie } from '../../contracts/topic-pattern.ts';

const leaf = fc.constantFrom(null, true, 0, 1, 2.5, '', 'a', 'bb');
const payload = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 3 },
    leaf,
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b'), tie('any'), { maxKeys: 2 }),
  ),
})).any;

const optional = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.option(arbitrary, { nil: undefined, freq: 9 });
const type = fc.constantFrom('string', 'number', 'integer', 'boolean', 'object', 'array', 'null');
const small = fc.integer({ min: 0, max: 2 });

/** Every object describes a and b, since a property that was not described counts as one that nobody sent. */
const schema = fc.letrec<{ any: SchemaValue }>((tie) => {
  const inner = tie('any');
  const described = fc.record({ a: inner, b: inner });
  const object = fc.record(
    {
      type: optional(fc.oneof(type, fc.uniqueArray(type, { minLength: 1, maxLength: 3 }))),
      enum: optional(fc.uniqueArray(leaf, { minLength: 1, maxLength: 3 })),
      const: optional(leaf),
      required: optional(fc.uniqueArray(fc.constantFrom('a', 'b'))),
      properties: described,
      additionalProperties: optional(fc.boolean()),
      items: optional(inner),
      prefixItems: optional(fc.array(inner, { minLength: 1, maxLength: 2 })),
      allOf: optional(fc.array(inner, { minLength: 1, maxLength: 2 })),
      anyOf: optional(fc.array(inner, { minLength: 1, maxLength: 2 })),
      oneOf: optional(fc.array(inner, { minLength: 1, maxLength: 2 })),
      not: optional(inner),
      contains: optional(inner),
      minimum: optional(small),
      exclusiveMinimum: optional(small),
      maximum: optional(small),
      exclusiveMaximum: optional(small),
      multipleOf: optional(fc.constantFrom(1, 2, 0.5)),
      minLength: optional(small),
      maxLength: optional(small),
      minItems: optional(small),
      maxProperties: optional(small),
      uniqueItems: optional(fc.boolean()),
      pattern: optional(fc.constantFrom('a', 'b')),
      propertyNames: optional(fc.constantFrom({ const: 'a' }, { maxLength: 1 })),
      dependentRequired: optional(fc.constantFrom({ a: ['b'] }, { b: ['a'] })),
      unevaluatedProperties: optional(fc.boolean()),
    },
    { requiredKeys: ['properties'] },
  );
  return {
    any: fc.oneof(
      { maxDepth: 2 },
      fc.constantFrom(true, true, true, false),
      object.map((one) => JSON.parse(JSON.stringify(one)) as SchemaValue),
    ),
  };
}).any;

/** Two versions of a schema that differ in one keyword, at the root or in a property: chance alone would hardly ever accept a payload. */
const versions = fc
  .tuple(schema, schema, schema, fc.nat(), fc.boolean())
  .filter((all) => all.slice(0, 3).every((one) => typeof one === 'object'))
  .map(([base, one, other, at, nested]): [SchemaValue, SchemaValue] => {
    const [from, to] = [one, other] as [object, object];
    const names = Object.keys(to).filter((name) => name !== 'properties');
    const name = names[at % Math.max(names.length, 1)] ?? 'properties';
    const [before, after] = [from, to].map((source) => {
      const picked = Object.entries(source).filter(([key]) => key === name);
      const changed = { properties: { a: true, b: true }, ...Object.fromEntries(picked) };
      return nested ? { ...(base as object), properties: { a: changed, b: true } } : changed;
    });
    return [before as SchemaValue, after as SchemaValue];
  });

describe('schemaChanges', function () {
  // Each run compiles two schemas, some milliseconds each on a machine of its own.
  this.timeout(15_000);

  it('finds something wherever a payload was accepted and no longer is', () => {
    let refused = 0;
    fc.assert(
      fc.property(
        versions,
        fc.array(payload, { minLength: 20, maxLength: 40 }),
        ([before, after], payloads) => {
          const [old, next] = [before, after].map((document) =>
            payloadCheckOf({ path: 's.json', document }),
          );
          const lost = payloads.filter(
            (one) => old?.(one) === undefined && next?.(one) !== undefined,
          );
          refused += lost.length === 0 ? 0 : 1;
          if (lost.length > 0)
            expect(
              schemaChanges(before, after),
              JSON.stringify([before, after, lost[0]]),
            ).not.to.deep.equal([]);
        },
      ),
      { numRuns: 120 },
    );
    expect(refused).to.be.above(5);
  });

  it('finds nothing between a schema and itself', () => {
    fc.assert(
      fc.property(schema, (one) => {
        expect(schemaChanges(one, JSON.parse(JSON.stringify(one)) as SchemaValue)).to.deep.equal(
          [],
        );
      }),
      { numRuns: 300 },
    );
  });
});

const word = fc.constantFrom('a', 'b', '*', '#', '');
const pattern = fc.array(word, { maxLength: 5 }).map((words) => words.join('.'));
const key = fc
  .array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 7 })
  .map((words) => words.join('.'));

describe('patternCovers and patternsOverlap', () => {
  const matched = (one: string, routingKey: string) => {
    const trie = new TopicTrie<number>();
    trie.add(one, 1);
    return trie.match(routingKey).size > 0;
  };

  it('agree with what the patterns match', () => {
    const seen = { covers: 0, not: 0, apart: 0 };
    fc.assert(
      fc.property(
        pattern,
        pattern,
        fc.array(key, { minLength: 200, maxLength: 200 }),
        (wide, narrow, keys) => {
          const covers = patternCovers(wide, narrow);
          const overlap = patternsOverlap(wide, narrow);
          expect(patternCovers(narrow, narrow)).to.equal(true);
          expect(patternsOverlap(narrow, wide)).to.equal(overlap);
          // Not to cover what it never meets, and to cover without meeting: neither can be.
          expect(covers === true && overlap === false, `${wide} ${narrow}`).to.equal(false);
          seen[covers === true ? 'covers' : overlap === true ? 'not' : 'apart'] += 1;
          for (const one of keys) {
            const [inWide, inNarrow] = [matched(wide, one), matched(narrow, one)];
            if (covers === true && inNarrow)
              expect(inWide, `${wide} covers ${narrow}: ${one}`).to.equal(true);
            if (overlap === false)
              expect(inWide && inNarrow, `${wide} and ${narrow}: ${one}`).to.equal(false);
          }
        },
      ),
      { numRuns: 150 },
    );
    expect(Math.min(seen.covers, seen.not, seen.apart)).to.be.above(5);
  });

  it('know patterns that look different and are the same, and give up on monstrous ones', () => {
    for (const [one, other] of [
      ['#.*', '*.#'],
      ['#.#', '#'],
      ['a.#.*', 'a.*.#'],
    ] as const) {
      expect(patternCovers(one, other)).to.equal(true);
      expect(patternCovers(other, one)).to.equal(true);
    }
    expect(patternCovers('a.*', 'a.#')).to.equal(false);
    expect(patternCovers('a.b', 'a.*')).to.equal(false);
    const monstrous = `#.a${'.*'.repeat(30)}`;
    expect(patternCovers(monstrous, `#${'.*'.repeat(31)}`)).to.be.oneOf([undefined, false]);
  });
});
