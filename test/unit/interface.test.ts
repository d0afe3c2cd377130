import { readFileSync } from 'node:fs';
import asyncApiSchema from '@asyncapi/specs/schemas/3.0.0.json' with { type: 'json' };
import { Ajv, type ValidateFunction } from 'ajv';
import { expect } from 'chai';
import ts from 'typescript';
import { parse } from 'yaml';
import { asyncapi } from '../../cli/asyncapi.ts';
import type { CommandIo } from '../../cli/check.ts';
import { asyncApiDocument, type DocumentOptions } from '../../cli/interface/asyncapi-document.ts';
import { type Shape, shapeAt } from '../../cli/interface/shape.ts';
import { typeDeclarations } from '../../cli/interface/typescript.ts';
import { types } from '../../cli/types.ts';
import { loadConfig } from '../../config/load.ts';
import type { WarrenConfig } from '../../contracts/warren-config.ts';

const yaml = `apps:
  - { id: shop, key: shop-key, secret: shop-secret }
  - { id: other, key: other-key, secret: other-secret }
events:
  - { app: shop, on: 'chat.*.#', when: data.visible, to: ['private-chat.{data.roomId}.{data.roomId}', 'user:{data.userId}', '{data.channel}'],
      as: 'said.{key.1}', data: { id: '{data.id}', text: 'says {data.text}', key: '{key}', tenant: '{headers.x}', first: '{data.items.0.id}' }, except: '{data.socketId}' }
  - { app: shop, on: '#', to: all }
  - { app: shop, on: order.paid, to: 'presence-cache-a.{data.a-b}', data: '{data.body}' }
  - { app: shop, on: order.paid, to: orders, as: 'it''s "paid" */ \`$', data: 'paid {data.n}' }
  - { app: other, on: order.paid, to: all }
  - { app: other, on: order.paid, to: all, as: order.paid, data: { n: '{data.n}' } }
  - { app: other, on: '#.a.#', to: 'b.{data.1}', as: 'c.{data.x}' }
  - { app: other, on: x, to: 'b.{data.1}', as: c.d }
  - { app: shop, on: member.joined, to: 'members.{data.team.id}', data: { who: '{data.user}', team: '{data.team.id}', tags: '{data.user.tags}', self: '{data}' } }
  - { app: shop, on: member.joined, to: raw, as: joined }
`;

/** The rules about member.joined name this schema. */
const schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  $id: 'https://example.com/member',
  type: 'object',
  required: ['user', 'team'],
  properties: {
    user: { $ref: '#/$defs/user' },
    team: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
    kind: { enum: ['guest', 1, null] },
    mood: { anyOf: [{ const: 'good' }, { type: 'boolean' }] },
    nested: { $ref: '#' },
  },
  $defs: {
    user: {
      type: 'object',
      required: ['name'],
      properties: {
        name: { type: 'string' },
        tags: { type: 'array', items: { type: ['string', 'null'] } },
      },
    },
  },
};

function config(): WarrenConfig {
  const loaded = loadConfig(yaml, { path: 'warren.yaml', production: false });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const events = loaded.config.events.map((rule) =>
    rule.on === 'member.joined'
      ? { ...rule, schema: { path: 'schemas/member.json', document: schema } }
      : rule,
  );
  return { ...loaded.config, events };
}

const options: DocumentOptions = {
  title: 'Shop',
  version: '1.2.3',
  brokerHost: 'mq.example.com',
  brokerProtocol: 'amqps',
  clientHost: 'events.example.com',
  clientProtocol: 'wss',
  exchange: 'domain.events',
};

function example(): CommandIo & { stdout(text: string): void; readonly out: string[] } {
  const out: string[] = [];
  return {
    out,
    stdout: (text) => out.push(text),
    stderr: (text) => out.push(`ERROR ${text}`),
    readFile: (path) => readFileSync(path, 'utf8'),
  };
}

const chat = 'examples/chat/warren.yaml';

describe('asyncApiDocument', () => {
  let validate: ValidateFunction;

  before(function () {
    this.timeout(10_000);
    // It brings the meta schema of draft 7 along under the same name.
    const ajv = new Ajv({
      strict: false,
      validateFormats: false,
      meta: false,
      validateSchema: false,
    });
    validate = ajv.compile(asyncApiSchema);
  });

  function problemsOf(document: object): string[] {
    // Through JSON: what is written is checked.
    validate(JSON.parse(JSON.stringify(document)));
    return (validate.errors ?? []).map((error) => `${error.instancePath} ${error.message ?? ''}`);
  }

  it('meets the JSON Schema of AsyncAPI 3, and that schema finds mistakes in bindings', () => {
    const document = asyncApiDocument(config(), options);
    expect(problemsOf(document)).to.deep.equal([]);
    const text = JSON.stringify(document);
    expect(problemsOf(JSON.parse(text.replaceAll('"type":"topic"', '"type":"topiz"')))).to.not.be
      .empty;
    expect(problemsOf(JSON.parse(text.replaceAll('"GET"', '"FETCH"')))).to.not.be.empty;
  });

  it('refers to nothing that is not there', () => {
    const document = JSON.parse(JSON.stringify(asyncApiDocument(config(), options))) as Shape;
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]*)"/g)];
    expect(references.length).to.be.greaterThan(20);
    for (const [, reference = ''] of references) {
      const steps = reference.slice(2).split('/');
      const target = steps.reduce<unknown>(
        (at, step) => (at as Record<string, unknown> | undefined)?.[step],
        document,
      );
      expect(target, reference).to.be.an('object');
    }
  });

  it('is the same each time, and holds no secret', () => {
    const text = JSON.stringify(asyncApiDocument(config(), options));
    expect(JSON.stringify(asyncApiDocument(config(), options))).to.equal(text);
    expect(text).to.not.include('shop-secret');
  });

  it('tells what services publish and what clients of each app receive', () => {
    const document = JSON.parse(JSON.stringify(asyncApiDocument(config(), options)));
    const { channels, operations, servers } = document;
    expect(Object.keys(servers)).to.deep.equal(['broker', 'clients-shop', 'clients-other']);
    const events = channels['events-chat-any-all'];
    expect(events.address).to.equal('chat.{word2}.{words}');
    expect(events.bindings.amqp.exchange.name).to.equal('domain.events');
    expect(events['x-warren-pattern']).to.equal('chat.*.#');
    // Its condition may let any event pass, so nothing is required.
    expect(events.messages.event.payload).to.not.have.property('required');
    const room = channels['channel-shop-private-chat-roomId-roomId'];
    expect(room.address).to.equal('private-chat.{roomId}.{roomId}');
    expect(Object.keys(room.parameters)).to.deep.equal(['roomId']);
    const [said] = Object.values(room.messages) as { name: string; payload: object }[];
    expect(said?.name).to.equal('said.{key1}');
    expect(said?.payload).to.deep.include({ required: ['id', 'text', 'key', 'tenant', 'first'] });
    expect(room['x-warren-channel-kind']).to.equal('private');
    const [mapping] = operations['receive-events-chat-any-all']['x-warren-rules'];
    expect(mapping).to.include({ rule: 0, app: 'shop', when: 'data.visible' });
  });

  it('carries the schemas that rules name, once, and leads their references there', () => {
    const document = JSON.parse(JSON.stringify(asyncApiDocument(config(), options)));
    const name = 'schemas-member';
    const schemas = document.components.schemas;
    expect(Object.keys(schemas)).to.deep.equal([name]);
    expect(schemas[name]).to.not.have.any.keys('$id', '$schema');
    const reference = { $ref: `#/components/schemas/${name}` };
    expect(schemas[name].properties.user).to.deep.equal({ $ref: `${reference.$ref}/$defs/user` });
    expect(document.channels['events-member-joined'].messages.event.payload).to.deep.equal(
      reference,
    );
    const { payload } = document.channels['channel-shop-members-id'].messages['member-joined'];
    expect(payload.properties).to.deep.include({
      who: { $ref: `${reference.$ref}/$defs/user` },
      team: { type: 'integer' },
    });
    expect(document.channels['channel-shop-raw'].messages.joined.payload).to.deep.equal(reference);
  });
});

describe('warren asyncapi', () => {
  it('writes JSON, or the same as YAML', async () => {
    const [json, text] = [example(), example()];
    const given = { file: chat, title: 'Chat', version: '1.0.0', environment: {} };
    expect(await asyncapi({ ...given, yaml: false }, json)).to.equal(0);
    expect(await asyncapi({ ...given, yaml: true }, text)).to.equal(0);
    const document = JSON.parse(json.out.join('')) as { channels: object };
    expect(parse(text.out.join(''))).to.deep.equal(document);
    expect(document.channels).to.include.keys('events-chat-message-posted', 'channel-activity');
  });

  it('says nothing of the credentials of the broker, and refuses another kind of URL', async () => {
    const environment = { WARREN_BROKER_URL: 'amqps://user:hidden@mq.example.com/vhost' };
    const given = { file: chat, yaml: false, title: 'Chat', version: '1', environment };
    const io = example();
    expect(await asyncapi({ ...given, url: 'wss://events.example.com' }, io)).to.equal(0);
    expect(io.out.join('')).to.include('"host": "mq.example.com"').and.not.include('hidden');
    expect(await asyncapi({ ...given, url: 'https://events.example.com' }, io)).to.equal(1);
  });
});

describe('shapeAt', () => {
  it('follows references, lists and tuples, and knows nothing beyond', () => {
    expect(shapeAt(schema, ['user', 'name'])).to.deep.equal({ type: 'string' });
    expect(shapeAt(schema, ['nested', 'nested', 'user', 'tags', '3'])).to.deep.equal({
      type: ['string', 'null'],
    });
    for (const path of [['user', 'constructor'], ['user', '__proto__', 'x'], ['other']]) {
      expect(shapeAt(schema, path)).to.deep.equal({});
    }
    const circle = { properties: { a: { $ref: '#/properties/a' } } };
    expect(shapeAt(circle, ['a', 'b'])).to.deep.equal({});
    expect(shapeAt({ prefixItems: [{ type: 'null' }] }, ['0'])).to.deep.equal({ type: 'null' });
  });
});

describe('typeDeclarations', () => {
  const usage = `
import type { WarrenChannelName, WarrenData, WarrenEchoChannel, WarrenEvents, WarrenPusherChannel } from './warren';
declare const room: WarrenPusherChannel<'private-chat.{roomId}.{roomId}'>;
declare const members: WarrenEchoChannel<'members.{id}'>;
room.bind('said.hello', (data) => { const text: string = data.text; return text; });
members.listen('.member.joined', ({ who, team, tags }) => {
  const name: string = who.name;
  const id: number = team;
  const tag: string | null | undefined = tags[0];
  return [name, id, tag];
});
const joined: WarrenData<'raw', 'joined'> = { user: { name: 'a' }, team: { id: 1 }, kind: 'guest', mood: true };
const paid: WarrenEvents['orders']["it's \\"paid\\" */ \`$"] = 'paid 1';
const channel: WarrenChannelName<'private-chat.{roomId}.{roomId}'> = 'private-chat.1.1';
export { joined, paid, channel };
`;
  const mistakes = [
    `room.bind('other', () => undefined);`,
    `room.bind('said.x', (data) => data.nothing);`,
    `members.listen('member.joined', () => undefined);`,
    `const wrong: WarrenData<'raw', 'joined'> = { user: { name: 1 }, team: { id: 1 } };`,
    `const elsewhere: WarrenChannelName<'members.{id}'> = 'teams.1';`,
  ];

  function compile(files: Readonly<Record<string, string>>): string[] {
    const settings: ts.CompilerOptions = {
      strict: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      types: [],
      lib: ['lib.es2022.d.ts'],
    };
    const host = ts.createCompilerHost(settings);
    const { getSourceFile, fileExists, readFile } = host;
    host.getSourceFile = (name, version) => {
      const text = files[name];
      return text === undefined
        ? getSourceFile.call(host, name, version)
        : ts.createSourceFile(name, text, version);
    };
    host.fileExists = (name) => name in files || fileExists.call(host, name);
    host.readFile = (name) => files[name] ?? readFile.call(host, name);
    const program = ts.createProgram(Object.keys(files), settings, host);
    return ts
      .getPreEmitDiagnostics(program)
      .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
  }

  it('compile under tsc --strict, and tell mistakes of listeners', function () {
    this.timeout(30_000);
    const declarations = typeDeclarations(config(), { app: 'shop', source: 'warren.yaml' });
    const others = typeDeclarations(config(), { app: 'other', source: 'warren.yaml' });
    const files = { '/warren.d.ts': declarations, '/other.d.ts': others, '/usage.ts': usage };
    expect(compile(files)).to.deep.equal([]);
    const wrong = compile({ ...files, '/usage.ts': `${usage}\n${mistakes.join('\n')}` });
    expect(wrong).to.have.length(mistakes.length);
  });

  it('are the same each time, and know the app where there is one', async () => {
    const io = example();
    expect(await types({ file: chat, environment: {} }, io)).to.equal(0);
    const first = io.out.join('');
    expect(first).to.include('"private-chat.{room}": {').and.not.include('examples/');
    expect(await types({ file: chat, environment: {} }, io)).to.equal(0);
    expect(io.out.join('')).to.equal(first + first);
    expect(await types({ file: chat, app: 'nobody', environment: {} }, io)).to.equal(1);
    expect(io.out.at(-1)).to.include('give one of app-id');
  });
});
