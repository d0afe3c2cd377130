import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const script = fileURLToPath(new URL('../infra/scripts/arrows.mjs', import.meta.url));

type Tree = Readonly<Record<string, string>>;

/** A small Warren whose arrows are all as they should be. */
const sound: Tree = {
  'tsconfig.json':
    '{ "compilerOptions": { "module": "NodeNext", "allowImportingTsExtensions": true } }',
  'package.json':
    '{ "type": "module", "dependencies": { "amqplib": "*", "ioredis": "*", "ws": "*", "express": "*", "@opentelemetry/sdk-metrics": "*", "opossum": "*" } }',
  ...stub('amqplib'),
  ...stub('ioredis'),
  ...stub('ws'),
  ...stub('express'),
  ...stub('@opentelemetry/sdk-metrics'),
  ...stub('opossum'),
  'contracts/ids.ts': "import { createHash } from 'node:crypto'; export const id = createHash;",
  'contracts/frames.ts': "import type { id } from './ids.ts'; export type Frame = typeof id;",
  'runtime/clock.ts': 'export const now = () => 0;',
  'runtime/metrics.ts': "import '@opentelemetry/sdk-metrics'; export const metrics = 1;",
  'broker/port.ts':
    "import type { Frame } from '../contracts/frames.ts'; export type Port = Frame;",
  'broker/amqp/broker.ts':
    "import 'amqplib'; import type { Port } from '../port.ts'; export type Amqp = Port;",
  'broker/memory/broker.ts': "import type { Port } from '../port.ts'; export type Memory = Port;",
  'broker/redis/ingress.ts': "import 'ioredis'; export const ingress = 1;",
  'config/load.ts':
    "import type { Frame } from '../contracts/frames.ts'; export type Load = Frame;",
  'edge/socket/session.ts': "import { now } from '../../runtime/clock.ts'; export const at = now;",
  'edge/cluster/port.ts': 'export type Cluster = number;',
  'edge/cluster/rooms.ts':
    "import type { Cluster } from './port.ts'; export const rooms: Cluster = 1;",
  'edge/webhooks/webhooks.ts': "import 'opossum'; export const webhooks = 1;",
  'edge/channels/figures.ts':
    "import type { Cluster } from '../cluster/port.ts'; export type Figures = Cluster;",
  'edge/channels/subscribe.ts': "import { at } from '../socket/session.ts'; export const run = at;",
  'edge/api/publish.ts':
    "import 'express'; import { run } from '../channels/subscribe.ts'; export const api = run;",
  'edge/server.ts':
    "import 'ws'; import { api } from './api/publish.ts'; import type { Port } from '../broker/port.ts'; import type { Figures } from './channels/figures.ts'; import { rooms } from './cluster/rooms.ts'; import { webhooks } from './webhooks/webhooks.ts'; export const edge: [typeof api, number, number, Port?, Figures?] = [api, rooms, webhooks];",
  'router/consume.ts':
    "import type { Port } from '../broker/port.ts'; import type { Load } from '../config/load.ts'; export type Router = Port | Load;",
  'cli/main.ts': [
    "import '../broker/amqp/broker.ts';",
    "import '../broker/memory/broker.ts';",
    "void import('../broker/redis/ingress.ts');",
    "import '../edge/server.ts';",
    "import '../router/consume.ts';",
  ].join('\n'),
};

function stub(name: string): Tree {
  return {
    [`node_modules/${name}/package.json`]: `{ "name": "${name}", "main": "index.js" }`,
    [`node_modules/${name}/index.js`]: '',
  };
}

/** One forbidden import each: rule, the file that breaks it, what that file imports. */
const broken: readonly (readonly [string, string, string])[] = [
  ['contracts-import-nothing-of-ours', 'contracts/a.ts', '../edge/server.ts'],
  ['contracts-import-nothing-of-ours', 'contracts/b.ts', 'ws'],
  ['contracts-do-no-io', 'contracts/c.ts', 'node:fs'],
  ['runtime-imports-nothing-of-ours', 'runtime/a.ts', '../contracts/ids.ts'],
  ['config-knows-no-service', 'config/a.ts', '../broker/port.ts'],
  ['edge-not-router', 'edge/a.ts', '../router/consume.ts'],
  ['router-not-edge', 'router/a.ts', '../edge/server.ts'],
  ['broker-knows-no-service', 'broker/a.ts', '../config/load.ts'],
  ['adapters-only-from-roots', 'edge/b.ts', '../broker/amqp/broker.ts'],
  ['adapters-only-from-roots', 'router/b.ts', '../broker/memory/broker.ts'],
  ['adapters-do-not-mix', 'broker/memory/a.ts', '../amqp/broker.ts'],
  ['edge-sockets-know-no-use-case', 'edge/socket/a.ts', '../channels/subscribe.ts'],
  ['edge-cluster-and-webhooks-know-no-use-case', 'edge/cluster/a.ts', '../channels/subscribe.ts'],
  ['edge-cluster-and-webhooks-know-no-use-case', 'edge/webhooks/a.ts', '../socket/session.ts'],
  ['edge-use-cases-see-the-cluster-by-its-port', 'edge/channels/d.ts', '../cluster/rooms.ts'],
  ['edge-authorizer-and-tokens-know-no-use-case', 'edge/authorizer/a.ts', '../api/publish.ts'],
  ['edge-authorizer-and-tokens-know-no-use-case', 'edge/tokens/a.ts', '../channels/subscribe.ts'],
  ['opossum-in-edge-webhooks-and-authorizer-only', 'edge/f.ts', 'opossum'],
  ['edge-use-cases-know-no-door', 'edge/channels/a.ts', '../server.ts'],
  ['adapters-only-from-roots', 'router/d.ts', '../broker/redis/ingress.ts'],
  ['adapters-do-not-mix', 'broker/redis/a.ts', '../memory/broker.ts'],
  ['ioredis-in-one-place', 'cli/b.ts', 'ioredis'],
  ['ioredis-in-one-place', 'broker/amqp/a.ts', 'ioredis'],
  ['redis-is-loaded-where-it-is-wanted', 'cli/c.ts', '../broker/redis/ingress.ts'],
  ['amqplib-in-one-place', 'edge/c.ts', 'amqplib'],
  ['amqplib-in-one-place', 'broker/memory/b.ts', 'amqplib'],
  ['amqplib-in-one-place', 'cli/a.ts', 'amqplib'],
  ['ws-in-edge-doors-only', 'edge/channels/b.ts', 'ws'],
  ['ws-in-edge-doors-only', 'router/c.ts', 'ws'],
  ['express-in-api-only', 'edge/channels/c.ts', 'express'],
  ['otel-sdk-in-runtime-only', 'edge/e.ts', '@opentelemetry/sdk-metrics'],
  ['no-production-import-of-tests', 'edge/d.ts', '../test/support/x.ts'],
];

const violations: Tree = {
  'test/support/x.ts': 'export const x = 1;',
  ...Object.fromEntries(
    broken.map(([, file, to]) => [file, `import '${to}'; export const y = 1;`]),
  ),
  'edge/cycle-a.ts': "import { b } from './cycle-b.ts'; export const a = () => b;",
  'edge/cycle-b.ts': "import { a } from './cycle-a.ts'; export const b = () => a;",
  'router/types-a.ts': "import type { B } from './types-b.ts'; export interface A { b: B }",
  'router/types-b.ts': "import type { A } from './types-a.ts'; export interface B { a: A }",
  'config/nobody-imports-this.ts': 'export const lonely = 1;',
};

interface Outcome {
  readonly code: number | null;
  readonly text: string;
}

/** Runs the check, as `npm run arrows` does, in a directory of its own. */
async function check(tree: Tree, nodeArguments: readonly string[] = []): Promise<Outcome> {
  const directory = await mkdtemp(join(tmpdir(), 'warren-arrows-'));
  try {
    for (const [path, text] of Object.entries(tree)) {
      await mkdir(join(directory, dirname(path)), { recursive: true });
      await writeFile(join(directory, path), text);
    }
    return await run(directory, [...nodeArguments, script]);
  } finally {
    await rm(directory, { recursive: true });
  }
}

function run(cwd: string, nodeArguments: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, nodeArguments, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, text: Buffer.concat(chunks).toString('utf8') }));
  });
}

describe('the check of the arrows', function () {
  this.timeout(60_000);

  it('passes a tree whose arrows are as they should be', async () => {
    const { code, text } = await check(sound);
    expect(text).to.match(/^arrows: \d+ modules, \d+ imports, 0 violations$/m);
    expect(code, text).to.equal(0);
  });

  it('fails where there is no module at all', async () => {
    const { code, text } = await check({ 'contracts/readme.md': '' });
    expect(text).to.include('no module was found');
    expect(code).to.equal(1);
  });

  it('fails where dependency-cruiser cannot use the compiler, sees no module, and finds all well', async () => {
    const pretence = [
      "const Module = require('node:module');",
      'const load = Module._load;',
      'Module._load = (name, ...rest) => {',
      '  const loaded = load(name, ...rest);',
      "  return name === 'typescript/package.json' ? { ...loaded, version: '7.0.2' } : loaded;",
      '};',
    ].join('\n');
    const { code, text } = await check({ ...sound, 'newer-compiler.cjs': pretence }, [
      '--require',
      './newer-compiler.cjs',
    ]);
    expect(text).to.match(/^arrows: (\d+) of \1 modules were not seen/m);
    expect(code).to.equal(1);
  });

  describe('fails and names', () => {
    let outcome: Outcome;
    before(async () => {
      outcome = await check({ ...sound, ...violations });
    });

    it('the number of violations', () => {
      expect(outcome.code, outcome.text).to.equal(1);
      expect(outcome.text).to.not.include('not seen');
    });

    for (const [rule, file, to] of broken) {
      it(`${file} importing ${to}`, () => {
        const lines = outcome.text
          .split('\n')
          .filter((line) => line.includes(`error ${rule}: ${file} → `));
        expect(lines, outcome.text).to.have.lengthOf.at.least(1);
        expect(lines.join()).to.include(to.replace(/^(\.\.\/)+|^node:/, ''));
      });
    }

    it('a cycle of imports, and one of types alone', () => {
      expect(outcome.text).to.match(/error no-cycles: .*edge\/cycle-a\.ts/);
      expect(outcome.text).to.match(/error no-cycles: .*router\/types-a\.ts/);
    });

    it('a module that nobody imports', () => {
      expect(outcome.text).to.include('error no-orphans: config/nobody-imports-this.ts');
    });

    it('a breach of every rule that there is', () => {
      const { forbidden } = createRequire(import.meta.url)('../.dependency-cruiser.cjs') as {
        forbidden: readonly { readonly name: string }[];
      };
      for (const { name } of forbidden) expect(outcome.text).to.include(`error ${name}: `);
    });

    it('nothing that is allowed', () => {
      const innocent = Object.keys(sound).filter((path) => path.endsWith('.ts'));
      for (const path of innocent) expect(outcome.text).to.not.include(`: ${path}`);
    });
  });
});
