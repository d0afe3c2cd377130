import { expect } from 'chai';
import { loadConfigFiles } from '../../config/config-files.ts';
import { loadConfig } from '../../config/load.ts';
import { maxWork } from '../../config/payload-schema/budget.ts';
import { type PayloadCheck, payloadCheckOf } from '../../config/payload-schema/compile.ts';
import { formats } from '../../config/payload-schema/formats.ts';

const yaml = 'events:\n  - { on: a, to: x, schema: schemas/a.json }\n';

function load(schema: string | undefined, text = yaml) {
  const read: string[] = [];
  const result = loadConfig(text, {
    path: 'contracts/warren.yaml',
    production: false,
    readFile: (path) => {
      read.push(path);
      if (schema === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
      return schema;
    },
  });
  return { result, read };
}

/** `file:line:column path message / cure` of each problem, the place in warren.yaml left out where it is the key `schema`. */
function problems(schema: unknown, text = yaml): readonly string[] {
  const { result } = load(typeof schema === 'string' ? schema : JSON.stringify(schema), text);
  return result.ok ? [] : result.problems.map(({ path, message }) => `${path} ${message}`);
}

function check(document: object | boolean, payload: unknown): string | undefined {
  return checkOf(document)(payload);
}

function checkOf(document: object | boolean): PayloadCheck {
  const { result } = load(JSON.stringify(document));
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  const schema = result.config.events[0]?.schema;
  if (schema === undefined) throw new Error('no schema');
  return payloadCheckOf(schema);
}

/** Written as text: an object with the key `then` is taken for a promise by linters and by people. */
const conditional = JSON.parse('{"if":{"required":["a"]},"then":{"required":["b"]}}') as object;

const nested = (levels: number): unknown => {
  let value: unknown = {};
  for (let level = 0; level < levels; level += 1) value = { a: value };
  return value;
};

describe('schema files', () => {
  it('are read once from the directory of warren.yaml and shared by the rules that name them', () => {
    const text = `events:
  - { on: a, to: x, schema: schemas/a.json }
  - { on: b, to: x, schema: ./schemas/a.json }`;
    const { result, read } = load('{"type":"object"}', text);
    expect(read.map((path) => path.replace(process.cwd(), '.'))).to.deep.equal([
      './contracts/schemas/a.json',
    ]);
    if (!result.ok) throw new Error('refused');
    const [first, second] = result.config.events;
    expect(first?.schema).to.equal(second?.schema);
    expect(first?.schema).to.deep.equal({ path: 'schemas/a.json', document: { type: 'object' } });
    if (first?.schema === undefined || second?.schema === undefined) throw new Error('no schema');
    expect(payloadCheckOf(first.schema)).to.equal(payloadCheckOf(second.schema));
  });

  it('show a mistake in the file where it stands, and say whose schema it is', () => {
    const { result } = load('{\n\t"properties": {\n\t\t"id": { "type": "strnig" }\n\t}\n}\n');
    expect(result.ok ? [] : result.problems).to.deep.equal([
      {
        file: 'contracts/schemas/a.json',
        line: 3,
        column: 19,
        path: '#/properties/id/type',
        message: '"strnig" is not a type of JSON; did you mean "string"? (schema of events[0])',
        excerpt: `     3 |   "id": { "type": "strnig" }\n       | ${' '.repeat(18)}^`,
      },
    ]);
  });

  it('tell of a file that is not there, not JSON, too large or too deep', () => {
    const { result } = load(undefined);
    expect(result.ok ? [] : result.problems[0]).to.deep.include({
      file: 'contracts/warren.yaml',
      line: 2,
      path: 'events[0].schema',
      message: 'names a file that cannot be read (ENOENT)',
      cure: 'the path is taken from the directory of warren.yaml',
    });
    const bad = load('{\n  "type": "object",\n}').result;
    expect(bad.ok ? [] : bad.problems[0]).to.deep.include({
      file: 'contracts/schemas/a.json',
      line: 3,
      column: 1,
      message: 'is not JSON (schema of events[0])',
    });
    expect(problems('')).to.deep.equal([' is not JSON (schema of events[0])']);
    expect(problems(JSON.stringify({ title: 'x'.repeat(256 * 1024) }))[0]).to.match(
      /^events\[0\]\.schema names a file of 262156 bytes, at most 262144 are read/,
    );
    expect(problems(`${'['.repeat(65)}${']'.repeat(65)}`)).to.deep.equal([
      'events[0].schema names a file that nests deeper than 64 levels',
    ]);
    expect(problems('\uFEFF{}')).to.deep.equal([]);
  });

  it('refuse what is not a schema of 2020-12, all mistakes at once', () => {
    const document = {
      $schema: 'http://json-schema.org/draft-07/schema#',
      type: [],
      required: 'id',
      minLength: -1,
      multipleOf: 0,
      maximum: '3',
      enum: [],
      allOf: [],
      properties: { a: 3, b: { $id: 'inner' }, c: { uniqueItems: 'yes' } },
      $anchor: 'x',
      format: 'phone',
      patternProperties: { '(': true },
    };
    expect(
      problems(document).map((line) => line.replace(' (schema of events[0])', '')),
    ).to.deep.equal([
      '#/$schema "http://json-schema.org/draft-07/sche… is not the draft that is read here',
      '#/type is an empty list',
      '#/required must be a list of property names',
      '#/minLength must be a whole number from 0, not -1',
      '#/multipleOf must be a number above 0, not 0',
      '#/maximum must be a number, not "3"',
      '#/enum must be a list of values that is not empty',
      '#/allOf must be a list of schemas that is not empty',
      '#/properties/a must be a schema: an object, true or false',
      '#/properties/b/$id stands inside the schema, where it would turn references elsewhere',
      '#/properties/c/uniqueItems must be true or false, not "yes"',
      '#/$anchor is not available in payload schemas',
      '#/format "phone" is not a format that is checked here',
      '#/patternProperties/( has a bad pattern: missing closing ): `(`',
    ]);
  });

  it('warn of keywords that check nothing', () => {
    const { result } = load(
      '{ "requird": ["a"], "nullable": true, "x-owner": "chat", "title": "A", "$comment": "" }',
    );
    expect(result.ok).to.equal(true);
    const told = result.warnings.filter(({ file }) => file.endsWith('.json'));
    expect(told.map(({ column, path, message }) => `${column} ${path} ${message}`)).to.deep.equal([
      '3 #/requird is not a keyword of JSON Schema 2020-12, so it checks nothing; did you mean "required"? (schema of events[0])',
      '21 #/nullable is not a keyword of JSON Schema 2020-12, so it checks nothing; write type: ["string", "null"] (schema of events[0])',
    ]);
    expect(check({ type: 'string', nullable: true, $async: true, id: 'x' }, null)).to.equal(
      'the payload must be text',
    );
  });

  it('refuse patterns that could run for minutes, and names that lead out of the schema', () => {
    expect(problems({ pattern: '^(?!a)(.*)\\1$' })[0]).to.contain('#/pattern has a bad pattern');
    expect(problems({ pattern: 'a'.repeat(501) })[0]).to.contain('more than 500 characters');
    const text = '{"properties":{"__proto__":{"type":"string"}}}';
    expect(problems(text)[0]).to.contain('#/properties/__proto__ may not be a name in a schema');
  });

  it('refuse references that leave the file, lead nowhere or never end', () => {
    const first = (document: object) =>
      problems(document)[0]?.replace(' (schema of events[0])', '');
    expect(first({ $ref: 'https://example.com/a.json' })).to.equal(
      '#/$ref refers to another document or to an anchor, and only this file is read',
    );
    expect(first({ $ref: 'b.json#/$defs/a' })).to.contain('only this file is read');
    expect(first({ items: { $ref: '#/$defs/a' } })).to.equal(
      '#/items/$ref points at /$defs/a, where this file has no schema',
    );
    expect(first({ default: {}, $ref: '#/default' })).to.contain('has no schema');
    expect(first({ $ref: '#' })).to.equal(
      '# refers to itself without going deeper into the payload, which would never end',
    );
    const round = { anyOf: [{ type: 'string' }, { $ref: '#/$defs/b' }] };
    expect(first({ ...round, $defs: { b: { not: { $ref: '#' } } } })).to.contain('would never end');
    const chain = Object.fromEntries(
      Array.from({ length: 60 }, (_, at) => [`d${at}`, { items: { $ref: `#/$defs/d${at + 1}` } }]),
    );
    const $defs = { ...chain, d60: {} };
    expect(first({ $ref: '#/$defs/d0', $defs })).to.equal(
      '#/$defs/d50 begins a chain of more than 50 references',
    );
    const many = Array.from({ length: 501 }, () => ({}));
    expect(first({ allOf: many })).to.equal('#/allOf holds more than 500 schemas');
  });

  it('follow references within the file, odd names included', () => {
    const document = {
      $id: 'https://example.com/a.json',
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $defs: { 'a/b~c %"é': { type: 'string' } },
      properties: { a: { $ref: '#/$defs/a~1b~0c%20%25%22é' }, b: { $ref: '#' } },
    };
    expect(check(document, { a: 'x', b: { a: 'y' } })).to.equal(undefined);
    expect(check(document, { a: 'x', b: { a: 1 } })).to.equal('/b/a must be text');
  });

  it('count in what is watched and in the digest', () => {
    const settings = {
      configPath: '/w.yaml',
      configPathGiven: true,
      app: undefined,
      production: false,
    };
    const of = (schema: string) =>
      loadConfigFiles(settings, (path) => (path === '/w.yaml' ? yaml : schema));
    expect(of('{}').paths).to.deep.equal(['/w.yaml', '/schemas/a.json']);
    expect(of('{}').digest).to.equal(of('{}').digest);
    expect(of('{}').digest).not.to.equal(of('{ }').digest);
  });
});

describe('checking a payload', () => {
  const cases: readonly (readonly [object | boolean, unknown, string])[] = [
    [{ type: ['string', 'null'] }, 1, 'the payload must be text or null'],
    [{ required: ['id'] }, {}, 'the payload lacks the property "id"'],
    [{ properties: { a: { enum: ['x', 'y'] } } }, { a: 's3cret' }, '/a must be one of "x", "y"'],
    [{ items: { const: 1 } }, [1, 's3cret'], '/1 must be 1'],
    [
      { additionalProperties: false },
      { a: 1 },
      'the payload has the property "a", which the schema does not allow',
    ],
    [{ pattern: '^a' }, 's3cret', 'the payload must match the pattern ^a'],
    [{ format: 'date-time' }, 's3cret', 'the payload must be of the format date-time'],
    [{ minimum: 3 }, 2, 'the payload must be >= 3'],
    [{ maxLength: 3 }, 's3cret', 'the payload must have at most 3 characters'],
    [{ minItems: 1 }, [], 'the payload must have at least 1 items'],
    [
      { uniqueItems: true },
      [
        { a: 1, b: [2] },
        { b: [2], a: 1 },
      ],
      'the payload must not hold an item twice',
    ],
    [{ not: {} }, 1, 'the payload is what the schema excludes (not)'],
    [
      { contains: { type: 'string' } },
      [1],
      'the payload must hold at least 1 items of the kind that the schema asks for',
    ],
    [
      { propertyNames: { maxLength: 1 } },
      { ab: 1 },
      'the payload has the property "ab", whose name the schema does not allow',
    ],
    [
      { dependentRequired: { a: ['b'] } },
      { a: 1 },
      'the payload lacks the property "b", which "a" needs',
    ],
    [conditional, { a: 1 }, 'the payload lacks the property "b"'],
    [
      {
        oneOf: [{ properties: { kind: { const: 'a' } } }, { properties: { kind: { const: 'b' } } }],
      },
      { kind: 's3cret' },
      'the payload matches none of the alternatives (oneOf); the nearest fails as /kind must be "a"',
    ],
    [false, 1, 'the payload is not allowed by the schema'],
  ];
  for (const [document, payload, text] of cases) {
    it(`says: ${text}`, () => {
      expect(check(document, payload)).to.equal(text);
    });
  }

  it('finds nothing in a payload that holds, and alters none', () => {
    const document = {
      type: 'object',
      properties: {
        n: { type: 'number', multipleOf: 0.01 },
        d: { default: 7 },
        s: { type: 'string' },
      },
    };
    const payload = { n: 19.99, extra: '1' };
    expect(check(document, payload)).to.equal(undefined);
    expect(payload).to.deep.equal({ n: 19.99, extra: '1' });
    // No coercion either.
    expect(check(document, { n: '1' })).to.equal('/n must be a number');
  });

  it('sees only the own properties of a payload', () => {
    expect(check({ required: ['constructor'] }, {})).to.contain('lacks the property "constructor"');
    const hostile: unknown = JSON.parse('{"__proto__":{"id":1},"hasOwnProperty":1}');
    expect(check({ required: ['id'] }, hostile)).to.contain('lacks the property "id"');
    expect(
      check({ properties: { hasOwnProperty: {} }, additionalProperties: false }, hostile),
    ).to.contain('"__proto__", which the schema does not allow');
    const closed = {
      allOf: [conditional],
      unevaluatedProperties: false,
    };
    expect(check(closed, { constructor: 1 })).to.contain('"constructor", which');
    expect(({} as Record<string, unknown>)['id']).to.equal(undefined);
  });

  it('keeps its text short and free of control characters, whatever the keys', () => {
    const key = `\u001b[31m\n${'k'.repeat(10_000)}\ud800`;
    const text = check(
      { additionalProperties: { additionalProperties: false } },
      { [key]: { [key]: 1 } },
    );
    expect(text?.length).to.be.within(50, 400);
    expect(text).to.match(/^[^\p{Cc}\p{Cf}]*$/u);
    expect(text?.isWellFormed()).to.equal(true);
  });

  it('tells two patterns apart', () => {
    const document = { properties: { a: { pattern: '^a' }, b: { pattern: '^b' } } };
    expect(check(document, { a: 'a', b: 'b' })).to.equal(undefined);
    expect(check(document, { a: 'a', b: 'a' })).to.equal('/b must match the pattern ^b');
  });

  it('stays quick with patterns that backtrack elsewhere', () => {
    const text = check({ pattern: '^(a+)+$' }, `${'a'.repeat(100_000)}!`);
    expect(text).to.equal('the payload must match the pattern ^(a+)+$');
  });

  it('stays quick with a megabyte of items that must be unique', () => {
    const items = Array.from({ length: 100_000 }, (_, id) => ({ id }));
    expect(check({ uniqueItems: true }, items)).to.equal(undefined);
  });

  it('gives up where schema and payload together would take for ever', () => {
    const branch = (required: string) => ({
      allOf: [{ properties: { a: { $ref: '#' } } }],
      required: [required],
    });
    const spent = `the payload takes more than ${maxWork} steps to check`;
    const twice = checkOf({ anyOf: [branch('x'), branch('y')] });
    expect(twice(nested(63))).to.equal(spent);
    // Counted anew for each payload.
    expect(twice({ x: 1 })).to.equal(undefined);
    const choices = Array.from({ length: 5_000 }, (_, at) => at);
    const numbers = Array.from({ length: 200_000 }, () => 4_999);
    expect(check({ items: { enum: choices } }, numbers)).to.equal(spent);
  });

  it('follows a payload as deep as events may be', () => {
    const document = { properties: { a: { $ref: '#' } }, additionalProperties: false };
    expect(check(document, nested(63))).to.equal(undefined);
  });
});

describe('formats of payload schemas', () => {
  const samples: Readonly<Record<string, readonly [string, string]>> = {
    date: [
      '2024-02-29 2000-02-29 2023-12-31',
      '2023-02-29 1900-02-29 2024-00-01 2024-13-01 24-1-1',
    ],
    time: ['23:59:60Z 00:00:00.123+02:00', '24:00:00Z 12:00 12:00:00 12:60:00Z'],
    'date-time': [
      '2024-02-29T12:00:00Z 2024-01-01t00:00:00.5-05:30',
      '2024-02-30T12:00:00Z 2024-01-01',
    ],
    email: ['a@b.example a.b+c@x', '@b a@ a@-b a@b@c.d'],
    hostname: ['a a-b.example', '-a a..b a_b'],
    ipv4: ['1.2.3.4', '1.2.3 256.1.1.1'],
    ipv6: ['::1 2001:db8::1', '1.2.3.4 fe80::1%eth0 ::g'],
    uri: ['https://a.example/b?c=%20#d urn:isbn:1 mailto:a@b', '/a https://a.example/<b> a:%zz'],
    uuid: ['123e4567-e89b-12d3-a456-426614174000', '123e4567e89b12d3a456426614174000'],
  };
  for (const [name, [good, bad]] of Object.entries(samples)) {
    it(name, () => {
      const is = formats[name] ?? (() => undefined);
      expect(good.split(' ').filter((text) => !is(text))).to.deep.equal([]);
      expect(['', ...bad.split(' ')].filter((text) => is(text))).to.deep.equal([]);
    });
  }

  it('are all of these', () => {
    expect(Object.keys(formats).sort()).to.deep.equal(Object.keys(samples).sort());
  });
});
