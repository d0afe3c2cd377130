import { expect } from 'chai';
import fc from 'fast-check';
import { memberText } from '../../contracts/json-member.ts';
import { hostileText } from '../support/arbitraries.ts';

const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\n', '\r'), maxLength: 3 });
/** Names that are written in several ways, or that stand inside of strings too. */
const name = fc.oneof(fc.constantFrom('data', 'dat', '__proto__', ''), hostileText);
const literal = (text: string) => fc.constantFrom(JSON.stringify(text), escaped(text));
const value = fc.oneof(
  fc.json(),
  fc.constantFrom('1.0', '-0', '1e400', '12345678901234567890', '"\\ud800"', '"\\u0064ata"'),
  hostileText.map((text) =>
    JSON.stringify({ data: `"data":${text}}`, list: [[{}], text] }, null, 1),
  ),
);
const member = fc
  .tuple(
    space,
    name.chain((text) => fc.tuple(fc.constant(text), literal(text))),
    space,
    space,
    value,
    space,
  )
  .map(([a, [text, written], b, c, content, d]) => ({
    name: text,
    content,
    text: `${a}${written}${b}:${c}${content}${d}`,
  }));

function escaped(text: string): string {
  let out = '"';
  for (let at = 0; at < text.length; at += 1) {
    out += `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return `${out}"`;
}

describe('memberText', () => {
  it('finds the last member of the name, as it was written', () => {
    fc.assert(
      fc.property(
        space,
        fc.array(member, { maxLength: 6 }),
        space,
        name,
        (a, members, b, wanted) => {
          const json = `${a}{${members.map(({ text }) => text).join(',')}${members.length === 0 ? b : ''}}${b}`;
          JSON.parse(json);
          const last = members.findLast((one) => one.name === wanted);
          expect(memberText(json, wanted)).to.equal(last?.content.trim());
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
