import { expect } from 'chai';
import { type CommandIo, check } from '../../cli/check.ts';
import { conditionVerdict } from '../../config/contract-changes/change.ts';
import { compareContracts } from '../../config/contract-changes/compare.ts';
import { schemaChanges } from '../../config/contract-changes/schema-changes.ts';
import { loadConfig } from '../../config/load.ts';
import type { WarrenConfig } from '../../contracts/warren-config.ts';

function configOf(text: string): WarrenConfig {
  const readFile = (path: string) => (path.endsWith('.json') ? '{"required":["id"]}' : 'secret');
  const result = loadConfig(text, { path: 'warren.yaml', production: false, readFile });
  if (result.ok) return result.config;
  throw new Error(result.problems.map((one) => `${one.path} ${one.message}`).join('\n'));
}

/** `verdict party subject: text` of each change. */
function changes(before: string, after: string): readonly string[] {
  return compareContracts(configOf(before), configOf(after)).map(
    ({ verdict, party, subject, text }) => `${verdict} ${party} ${subject}: ${text}`,
  );
}

const rule = (keys: string) => `events:\n  - { on: a.*, to: x, ${keys} }`;

describe('compareContracts', () => {
  const cases: readonly (readonly [string, string, string, readonly string[]])[] = [
    ['nothing', rule('as: e'), rule('as: e'), []],
    [
      'a rule that is gone',
      'events: [{ on: a, to: x }, { on: b, to: y }]',
      'events: [{ on: b, to: y }]',
      [
        'breaking listeners events[0] on a in the old file: the rule is gone: its channels no longer get these events',
      ],
    ],
    [
      'rules in another order',
      'events: [{ on: a, to: x }, { on: b, to: y }]',
      'events: [{ on: b, to: y }, { on: a, to: x }]',
      [],
    ],
    [
      'a narrower pattern',
      'events: [{ on: a.#, to: x }]',
      'events: [{ on: a.*, to: x }]',
      ['breaking listeners events[0] on a.*: the pattern no longer takes all events that it took'],
    ],
    [
      'a wider pattern',
      'events: [{ on: a.*, to: x }]',
      'events: [{ on: a.#, to: x }]',
      ['fine listeners events[0] on a.#: the pattern takes more events'],
    ],
    [
      'another name',
      rule('as: e'),
      rule('as: f'),
      ['breaking listeners events[0] on a.*: the event has another name in the browser'],
    ],
    [
      'a name where there was none',
      'events: [{ on: a, to: x }]',
      'events: [{ on: a, to: x, as: a }]',
      ['breaking listeners events[0] on a: the event has another name in the browser'],
    ],
    [
      'another channel',
      "events: [{ on: a, to: ['x', 'y'] }]",
      "events: [{ on: a, to: ['x', 'z'] }]",
      ['breaking listeners events[0] on a: no longer sent to y'],
    ],
    [
      'one channel more',
      'events: [{ on: a, to: x }]',
      "events: [{ on: a, to: ['x', 'z'] }]",
      ['fine listeners events[0] on a: also sent to z'],
    ],
    [
      'fields of the projection',
      rule("data: { a: '{data.a}', b: '{data.b}' }"),
      rule("data: { b: '{data.c}', d: '{data.d}' }"),
      [
        'breaking listeners events[0] on a.*: the field "a" is no longer sent',
        'check listeners events[0] on a.*: the field "b" is made from something else',
        'check publishers events[0] on a.*: reads {data.c}, which it did not: events without it are now dead-lettered',
        'check publishers events[0] on a.*: reads {data.d}, which it did not: events without it are now dead-lettered',
        'fine listeners events[0] on a.*: clients also get d',
      ],
    ],
    [
      'a projection of a whole payload',
      rule('as: e'),
      rule("as: e, data: { id: '{data.id}' }, schema: s.json"),
      [
        'breaking listeners events[0] on a.*: clients got the whole payload and now get only id',
        'breaking publishers s.json of events[0]: payloads were not checked and now must be what the schema asks for',
        'check publishers events[0] on a.*: reads {data.id}, which it did not: events without it are now dead-lettered',
      ],
    ],
    [
      'the whole payload instead of a projection',
      rule("data: { a: '{data.a}', b: '{data.c}' }"),
      rule(''),
      [
        'breaking listeners events[0] on a.*: the field "b" was made from other fields, and now the payload is sent as it is',
        'fine listeners events[0] on a.*: clients get the whole payload',
      ],
    ],
    [
      'conditions',
      'events: [{ on: a, to: x }, { on: b, to: x, when: data.a }, { on: c, to: x, when: data.a }]',
      'events: [{ on: a, to: x, when: data.a }, { on: b, to: x }, { on: c, to: x, when: data.b }]',
      [
        'breaking listeners events[0] on a: events now need a condition to be sent',
        'check listeners events[2] on c: the condition is another one',
        'fine listeners events[1] on b: events need no condition any more',
      ],
    ],
    [
      'a schema that is gone',
      rule('schema: s.json'),
      rule(''),
      ['fine publishers s.json of events[0]: payloads are no longer checked'],
    ],
    [
      'a new rule that demands something of events that were fine',
      'events: [{ on: a.#, to: x }]',
      "events: [{ on: a.#, to: x }, { on: a.b, to: 'y-{data.id}' }, { on: c, to: 'y-{data.id}' }]",
      [
        'check publishers events[1] on a.b: is a new rule for events that were taken already, and it needs {data.id}: without, they are now dead-lettered',
        'fine listeners events[1] on a.b: is a new rule',
        'fine listeners events[2] on c: is a new rule',
      ],
    ],
    [
      'who is taken off',
      "events: [{ on: a, disconnect: '{data.u}' }, { on: b, to: x, unsubscribe: { user: '{data.u}', channel: 'private-{data.r}' } }, { on: c, to: x }]",
      "events: [{ on: b, to: x, unsubscribe: { user: '{data.v}', channel: 'private-{data.r}' } }, { on: c, to: x, disconnect: '{data.u}' }]",
      [
        'check listeners events[0] on a in the old file: the rule is gone: these events no longer take anybody off',
        'check listeners events[0] on b: these events take other users off, or off other channels',
        'check publishers events[0] on b: reads {data.v}, which it did not: events without it are now dead-lettered',
        'check listeners events[1] on c: these events now take users off',
        'check publishers events[1] on c: reads {data.u}, which it did not: events without it are now dead-lettered',
      ],
    ],
    [
      'channel rules',
      `channels:
  - { name: 'private-a.{x}', allow: 'x in claims.a' }
  - { name: 'private-b.{x}', allow: 'true' }
  - { name: 'private-c.{x}', allow: 'x in claims.a' }
  - { name: 'private-d', allow: 'true' }`,
      `channels:
  - { name: 'private-a.special', allow: 'false' }
  - { name: 'private-a.{x}', allow: 'x in claims.a && claims.b' }
  - { name: 'private-c.{x}', allow: 'true' }
  - { name: 'private-{kind}', allow: 'claims.c' }`,
      [
        'breaking listeners channels[1] private-a.{x}: fewer may subscribe',
        'breaking listeners channels[1] private-b.{x} in the old file: the rule is gone: Warren no longer lets anybody subscribe to these channels',
        'check listeners channels[0] private-a.special: now comes before channels[1] private-a.{x} and decides for part of its channels',
        'check listeners channels[3] private-d in the old file: the rule is gone, and channels[3] private-{kind} decides now',
        'fine listeners channels[2] private-c.{x}: more may subscribe',
        'fine listeners channels[0] private-a.special: is a new rule',
        'fine listeners channels[3] private-{kind}: is a new rule',
      ],
    ],
    [
      'the road of a channel',
      "channels: [{ name: 'a', delivery: session }]",
      "channels: [{ name: 'a', delivery: edge }]",
      ['breaking listeners channels[0] a: sessions lose their continuity on these channels'],
    ],
    [
      'apps',
      `apps:
  - { id: a, key: ka, secret: s, clientEvents: true, allowedOrigins: ['https://a.example', 'https://b.example'] }
  - { id: b, key: kb, secret: s }
events: [{ app: b, on: a, to: x }]`,
      `apps:
  - { id: a, key: kc, secret: t, allowedOrigins: ['https://a.example'], limits: { connections: 5 } }
  - { id: c, key: kb, secret: s }`,
      [
        'breaking listeners app a: the key is another one: who connects with the old one is refused',
        'breaking listeners app a: client events are turned off',
        'breaking listeners app a: pages of https://b.example may no longer connect',
        'breaking listeners app b in the old file: the app is gone: nobody can connect to it or publish to it any more',
        'check listeners app a: limits.connections is another one',
        'fine listeners app c: is a new app',
      ],
    ],
    [
      'webhooks, without what stands behind a ?',
      "apps: [{ id: a, key: k, secret: s, webhooks: [{ url: 'https://a.example/?t=1', events: [channel_occupied, member_added] }, { url: 'https://b.example/' }] }]",
      "apps: [{ id: a, key: k, secret: s, webhooks: [{ url: 'https://a.example/?t=1', events: [member_added] }] }]",
      [
        'breaking listeners app a: the webhook https://a.example/ no longer reports channel_occupied',
        'breaking listeners app a: the webhook https://b.example/ is gone',
      ],
    ],
    [
      'tokens',
      'auth: { jwt: { secret: 0123456789abcdef0123456789abcdef, audience: a } }',
      'auth: { jwt: { secret: 9123456789abcdef0123456789abcdef, issuer: i } }',
      [
        'breaking listeners auth.jwt: tokens of another issuer are refused',
        'fine listeners auth.jwt: the audience of tokens is no longer checked',
      ],
    ],
  ];
  for (const [name, before, after, told] of cases) {
    it(`tells ${name}`, () => {
      expect(changes(before, after)).to.deep.equal(told);
    });
  }

  it('judges conditions by what was put beside them', () => {
    expect(conditionVerdict('a', 'a || b')).to.equal('fine');
    expect(conditionVerdict('a && b', 'a')).to.equal('fine');
    expect(conditionVerdict('a', 'a && b')).to.equal('breaking');
    expect(conditionVerdict('a || b', 'a')).to.equal('breaking');
    for (const [was, is] of [
      ['a', 'b'],
      ['a', 'a && b || c'],
      ['a || b', 'a || b && c'],
      ['a', 'a || b ? c : d'],
      ['a && b || c', 'a'],
    ] as const) {
      expect(conditionVerdict(was, is), `${was} to ${is}`).to.equal('check');
    }
  });
});

describe('schemaChanges', () => {
  const cases: readonly (readonly [
    string,
    object | boolean,
    object | boolean,
    readonly string[],
  ])[] = [
    ['remarks', { title: 'a', 'x-y': 1 }, { $comment: 'b' }, []],
    [
      'required',
      { required: ['a'] },
      { required: ['b', 'a'] },
      ['breaking  must have the property "b"'],
    ],
    ['what a part required already', { allOf: [{ required: ['a'] }] }, { required: ['a'] }, []],
    [
      'types',
      { type: ['string', 'null'] },
      { type: 'string' },
      ['breaking  must be text, was text or null'],
    ],
    [
      'whole numbers',
      { type: 'number' },
      { type: 'integer' },
      ['breaking  must be a whole number, was a number'],
    ],
    ['numbers', { type: 'integer' }, { type: ['number', 'string'] }, []],
    ['values', { enum: ['a', 'b'] }, { enum: ['b', 'c'] }, ['breaking  may no longer be "a"']],
    ['const', { const: 'a' }, { enum: ['a', 'b'], type: 'string' }, []],
    ['new values', { type: 'string' }, { enum: ['a'] }, ['breaking  must be one of "a"']],
    [
      'places',
      { properties: { 'a/b': { items: { type: 'number' } } } },
      { properties: { 'a/b': { items: { type: 'number', minimum: 1 } } } },
      ['breaking /a~1b/* must be >= 1, was unbounded'],
    ],
    [
      'closed objects',
      { properties: { a: {}, b: {} } },
      { properties: { a: {} }, additionalProperties: false },
      [
        'breaking  may no longer have the property "b"',
        'breaking  may have no other properties than the described ones',
      ],
    ],
    ['a new optional property', { properties: {} }, { properties: { a: { type: 'string' } } }, []],
    ['opened objects', { additionalProperties: false }, {}, []],
    [
      'limits',
      { maxLength: 5, minItems: 2 },
      { maxLength: 4, minItems: 1 },
      ['breaking  must have at most 4 characters, was at most 5'],
    ],
    [
      'limits of another type',
      { type: 'integer' },
      { type: ['integer', 'string'], maxLength: 4 },
      [],
    ],
    ['exclusive bounds', { exclusiveMinimum: 0 }, { minimum: 0 }, []],
    [
      'inclusive bounds',
      { maximum: 0 },
      { exclusiveMaximum: 0 },
      ['breaking  must be < 0, was <= 0'],
    ],
    ['multiples', { multipleOf: 6 }, { multipleOf: 3 }, []],
    ['patterns', { pattern: 'a' }, { pattern: 'b' }, ['check  must match the pattern b, was a']],
    [
      'new patterns',
      {},
      { type: 'string', format: 'uuid' },
      ['breaking  must be text, was anything', 'breaking  must match the format uuid'],
    ],
    ['references', { $ref: '#/$defs/a', $defs: { a: { type: 'string' } } }, { type: 'string' }, []],
    [
      'what references lead to',
      { items: { $ref: '#/$defs/a' }, $defs: { a: { type: 'string' } } },
      { items: { $ref: '#/$defs/a' }, $defs: { a: { type: 'number' } } },
      ['breaking /* must be a number, was text'],
    ],
    [
      'recursive schemas',
      { anyOf: [{ type: 'null' }, { properties: { next: { $ref: '#' } }, required: ['a'] }] },
      { anyOf: [{ type: 'null' }, { properties: { next: { $ref: '#' } }, required: ['a'] }] },
      [],
    ],
    [
      'parts under allOf',
      { allOf: [{ type: 'object' }, { required: ['a'] }] },
      { allOf: [{ type: 'object' }, { required: ['a', 'b'] }] },
      ['breaking  must have the property "b"'],
    ],
    [
      'one part more under allOf',
      { allOf: [{ type: 'object' }] },
      { allOf: [{ type: 'object' }, { required: ['a'] }] },
      ['check  has another part under allOf'],
    ],
    [
      'a part under allOf that was said beside it',
      { required: ['a'], allOf: [{ type: 'object' }] },
      { allOf: [{ required: ['a'] }, { type: 'object' }] },
      [],
    ],
    [
      'more alternatives',
      { anyOf: [{ type: 'null' }] },
      { anyOf: [{ type: 'string' }, { type: 'null' }] },
      [],
    ],
    [
      'other alternatives',
      { anyOf: [{ type: 'null' }] },
      { anyOf: [{ type: 'string' }] },
      ['check  must be text, was null'],
    ],
    [
      'oneOf',
      { oneOf: [{ type: 'null' }] },
      { oneOf: [{ type: 'string' }] },
      ['check  has another rule under oneOf'],
    ],
    [
      'the same oneOf',
      { oneOf: [{ $ref: '#/$defs/a' }], $defs: { a: {} } },
      { oneOf: [{ $ref: '#/$defs/b' }], $defs: { b: { title: 'b' } } },
      [],
    ],
    ['not', {}, { not: { type: 'null' } }, ['check  has another rule under not']],
    ['nothing', true, false, ['breaking  is no longer allowed']],
    [
      'first items',
      { prefixItems: [{}] },
      { prefixItems: [{}, { type: 'null' }] },
      ['check  has other rules for its first items'],
    ],
    [
      'unevaluated',
      { unevaluatedProperties: false, properties: { a: {} } },
      { unevaluatedProperties: false },
      ['check  has unevaluatedProperties, which depends on all the rest'],
    ],
    [
      'property patterns',
      {},
      { patternProperties: { a: false } },
      ['check  has other patterns for properties'],
    ],
  ];
  for (const [name, before, after, told] of cases) {
    it(`sees ${name}`, () => {
      const found = schemaChanges(before as never, after as never);
      expect(found.map((one) => `${one.verdict} ${one.pointer} ${one.tightened}`)).to.deep.equal(
        told,
      );
    });
  }

  it('gives up on what is too large, and says so', () => {
    const $defs = Object.fromEntries(
      Array.from({ length: 40 }, (_, at) => [
        `d${at}`,
        {
          anyOf: [
            { $ref: `#/$defs/d${at + 1}` },
            { properties: { a: { $ref: `#/$defs/d${at + 1}` } } },
          ],
        },
      ]),
    );
    const [before, after] = ['string', 'number'].map((type) => ({
      $ref: '#/$defs/d0',
      $defs: { ...$defs, d40: { type } },
    }));
    const found = schemaChanges(before as never, after as never);
    expect(found.map(({ tightened }) => tightened)).to.deep.equal([
      'is too large a schema to be compared',
    ]);
  });
});

describe('warren check --against', () => {
  const files: Readonly<Record<string, string>> = {
    'new.yaml':
      'apps: [{ id: a, key: k, secret: s }]\nevents: [{ on: a, to: x, as: f, schema: s.json }]',
    'old/warren.yaml':
      'apps: [{ id: a, key: k, secretFile: gone }]\nevents: [{ on: a, to: x, as: e, schema: s.json }]',
    'unsure.yaml':
      'apps: [{ id: a, key: k, secret: s }]\nevents: [{ on: a, to: x, as: e, except: "{data.s}" }]',
    'bad.yaml': 'evnts: []',
    [`${process.cwd()}/s.json`]: '{"required":["id"]}',
    [`${process.cwd()}/old/s.json`]: '{}',
  };

  async function run(file: string, against: string, json = false) {
    const out = { stdout: '', stderr: '' };
    const io: CommandIo = {
      stdout: (text) => {
        out.stdout += text;
      },
      stderr: (text) => {
        out.stderr += text;
      },
      readFile: (path) => {
        const text = files[path];
        if (text === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
        return text;
      },
    };
    return { code: await check({ file, against, json, environment: {} }, io), ...out };
  }

  it('shows what breaks, for whom, and what it was; secrets of the older file are not needed', async () => {
    expect(await run('new.yaml', 'old/warren.yaml')).to.deep.equal({
      code: 5,
      stderr: '',
      stdout: `new.yaml against old/warren.yaml: 2 breaking changes

BREAKS those who listen
  events[0] on a
    - the event has another name in the browser
        was  e
        now  f

BREAKS those who publish
  s.json of events[0]
    - the payload must have the property "id"
`,
    });
  });

  it('exits 6 where only people can decide, 0 where nothing breaks, and 1 where a file is not good', async () => {
    const unsure = await run('unsure.yaml', 'old/warren.yaml');
    expect(unsure.code).to.equal(6);
    expect(unsure.stdout).to.match(
      /^unsure.yaml against old\/warren.yaml: no breaking change for sure, 1 to check by hand\n/,
    );
    const same = await run('new.yaml', 'new.yaml');
    expect(same.code).to.equal(0);
    expect(same.stdout).to.match(
      /^new.yaml against new.yaml: compatible, nothing has changed\n\nnote: both files use the same s.json/,
    );
    expect((await run('bad.yaml', 'new.yaml')).code).to.equal(1);
    const bad = await run('new.yaml', 'bad.yaml');
    expect(bad.code).to.equal(1);
    expect(bad.stderr)
      .to.contain('bad.yaml:1:1  evnts is not a known key')
      .and.contain('the older file');
    expect((await run('-', '-')).code).to.equal(1);
  });

  it('prints the same as JSON', async () => {
    const { code, stdout } = await run('new.yaml', 'old/warren.yaml', true);
    expect(code).to.equal(5);
    const parsed = JSON.parse(stdout) as { changes: readonly object[] };
    expect(parsed).to.deep.include({ ok: true, compatible: 'no', notes: [] });
    expect(parsed.changes[0]).to.deep.equal({
      verdict: 'breaking',
      party: 'listeners',
      subject: 'events[0] on a',
      text: 'the event has another name in the browser',
      was: 'e',
      is: 'f',
    });
    const bad = await run('new.yaml', 'bad.yaml', true);
    expect(bad.code).to.equal(1);
    expect(JSON.parse(bad.stdout)).to.deep.include({ ok: false, against: 'bad.yaml' });
  });
});
