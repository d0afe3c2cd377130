/** What untrusted parties send, for property tests. */
import fc from 'fast-check';

/** Characters and pieces on which codecs of names fail: separators, wildcards, escapes, look-alikes, edges of UTF-8. */
const hostileUnit = fc.constantFrom(
  ...[
    '.',
    '..',
    ':',
    '*',
    '#',
    '%',
    '%2E',
    '%2A',
    '%25',
    '+',
    '-',
    '_',
    '/',
    '\\',
    '"',
    ' ',
    '\u0000',
    '\n',
    '\u007f',
  ],
  ...[
    'a',
    'A',
    'b',
    '0',
    'private-',
    'cache-',
    '\u00e9',
    'e\u0301',
    '\ufeff',
    '\ufffd',
    '\uffff',
    '\u{10000}',
    '\u{10ffff}',
  ],
);

/** Non-empty, well-formed text; short texts that collide easily, and long ones around the limit of a routing key. */
export const hostileText: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 6, arbitrary: fc.string({ unit: hostileUnit, minLength: 1, maxLength: 3 }) },
    { weight: 2, arbitrary: fc.string({ unit: hostileUnit, minLength: 1, maxLength: 40 }) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(
          fc.constantFrom('x', 'é', '.', 'x.'),
          fc.integer({ min: 80, max: 260 }),
          fc.constantFrom('', 'a', 'b', '.'),
        )
        .map(([unit, count, end]) => unit.repeat(count) + end),
    },
  )
  .filter((text) => text !== '' && text.isWellFormed());

/** Bytes that may be anything: noise, JSON, JSON with one byte changed, JSON in another encoding. */
export function hostileBytes(json: fc.Arbitrary<unknown>): fc.Arbitrary<Buffer> {
  const text = json.map((value) => JSON.stringify(value) ?? '');
  const noise = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes));
  const spoilt = fc
    .tuple(text, fc.nat(), fc.integer({ min: 0, max: 255 }))
    .map(([document, at, byte]) => {
      const bytes = Buffer.from(document);
      if (bytes.length > 0) bytes[at % bytes.length] = byte;
      return bytes;
    });
  const deep = fc
    .tuple(fc.constantFrom('[', '{"a":'), fc.integer({ min: 1, max: 10_000 }))
    .map(([open, depth]) => Buffer.from(open.repeat(depth)));
  return fc.oneof(
    { weight: 4, arbitrary: text.map((document) => Buffer.from(document)) },
    { weight: 3, arbitrary: spoilt },
    { weight: 2, arbitrary: noise },
    { weight: 1, arbitrary: text.map((document) => Buffer.from(document, 'utf16le')) },
    { weight: 1, arbitrary: deep },
  );
}

/** Any JSON value, with the keys that trip up careless code. */
export const hostileJson: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    fc.constantFrom(null, true, false, 0, -0, 1.5, 1e21, 2 ** 53, '', 'x', '\ud800', '__proto__'),
    fc.string(),
    fc.double({ noNaN: true }),
    fc.array(tie('value'), { maxLength: 4 }),
    tie('object'),
  ),
  object: fc
    .array(
      fc.tuple(
        fc.oneof(
          fc.constantFrom('__proto__', 'constructor', 'toString', 'data', 'event', ''),
          fc.string(),
        ),
        tie('value'),
      ),
      { maxLength: 4 },
    )
    .map((entries) => Object.fromEntries(entries)),
})).value;

/** An object whose fields have the expected names and, mostly, the expected kinds: it gets past the first checks. */
export function nearly(
  fields: Readonly<Record<string, fc.Arbitrary<unknown>>>,
): fc.Arbitrary<unknown> {
  const model = Object.fromEntries(
    Object.entries(fields).map(([name, good]) => [
      name,
      fc.oneof({ weight: 4, arbitrary: good }, { weight: 1, arbitrary: hostileJson }),
    ]),
  );
  return fc.record(model, { requiredKeys: [] });
}
