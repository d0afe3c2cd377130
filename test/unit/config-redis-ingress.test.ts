import { expect } from 'chai';
import { type CommandIo, check } from '../../cli/check.ts';
import { partsForRestart } from '../../cli/config-change.ts';
import { explain } from '../../cli/explain.ts';
import { type LoadOptions, loadConfig } from '../../config/load.ts';
import { problemLines } from '../../config/problems.ts';
import { redisEventOf } from '../../contracts/redis-event.ts';
import type { WarrenConfig } from '../../contracts/warren-config.ts';
import { explainEvent } from '../../router/explain.ts';
import { okOf } from '../support/result.ts';

function load(yaml: string, options: Partial<LoadOptions> = {}) {
  return loadConfig(yaml, { path: 'warren.yaml', production: false, ...options });
}

function configOf(yaml: string, options?: Partial<LoadOptions>): WarrenConfig {
  const result = load(yaml, options);
  if (result.ok) return result.config;
  throw new Error(problemLines(result.problems).join('\n'));
}

/** `path message` of each problem. */
function problemsOf(yaml: string, options?: Partial<LoadOptions>): string[] {
  const result = load(yaml, options);
  if (result.ok) throw new Error('expected problems');
  return result.problems.map(({ path, message }) => `${path} ${message}`);
}

const redisOf = (yaml: string, options?: Partial<LoadOptions>) =>
  configOf(yaml, options).ingress?.redis;

/** What becomes of a message that Redis publishes. */
function routed(yaml: string, channel: string, message: string) {
  const event = okOf(redisEventOf(Buffer.from(channel), Buffer.from(message), ''));
  const raw = { exchange: 'domain.events', redelivered: false, ...event };
  return explainEvent(raw, configOf(yaml));
}

describe('ingress.redis', () => {
  it('is not there unless it is asked for', () => {
    expect(configOf('events: []')).to.not.have.property('ingress');
    expect(configOf('ingress: {}')).to.not.have.property('ingress');
    expect(configOf('ingress: {}').events).to.deep.equal([]);
  });

  it('takes every default', () => {
    expect(redisOf('ingress: { redis: {} }')).to.deep.equal({
      app: 'app-id',
      server: { host: '127.0.0.1', port: 6379, tls: false },
      prefix: '',
      channels: '*',
    });
  });

  it('reads the URL, TLS, user and password in it', () => {
    const server = (url: string) => redisOf(`ingress: { redis: { url: '${url}' } }`)?.server;
    expect(server('redis://cache')).to.deep.equal({ host: 'cache', port: 6379, tls: false });
    expect(server('rediss://u:p%40ss@cache:6380/1')).to.deep.equal({
      host: 'cache',
      port: 6380,
      tls: true,
      username: 'u',
      password: 'p@ss',
    });
    expect(server('redis://:pw@[::1]:1')).to.deep.equal({
      host: '::1',
      port: 1,
      tls: false,
      password: 'pw',
    });
  });

  it('reads REDIS_… where there is no URL, and only then', () => {
    const redis = { host: 'cache', port: '6380', password: 's3cret' };
    expect(redisOf('ingress: { redis: {} }', { redis })?.server).to.deep.equal({
      host: 'cache',
      port: 6380,
      tls: false,
      password: 's3cret',
    });
    const url = "ingress: { redis: { url: 'redis://other' } }";
    expect(redisOf(url, { redis })?.server).to.deep.equal({
      host: 'other',
      port: 6379,
      tls: false,
    });
    const broken = { port: 'soon', problems: ['REDIS_PASSWORD is set twice'] };
    expect(redisOf(url, { redis: broken })?.server.port).to.equal(6379);
    expect(configOf('events: []', { redis: broken }).events).to.deep.equal([]);
  });

  it('tells what is wrong with REDIS_… where it is used', () => {
    const problem = (redis: NonNullable<LoadOptions['redis']>) =>
      problemsOf('ingress: { redis: {} }', { redis });
    expect(problem({ port: '70000' })).to.deep.equal([
      'ingress.redis needs a port from 1 to 65535 in REDIS_PORT',
    ]);
    expect(problem({ host: 'tls://cache' })).to.deep.equal([
      'ingress.redis needs a host name or an address in REDIS_HOST',
    ]);
    expect(problem({ problems: ['REDIS_PASSWORD is set twice'] })).to.deep.equal([
      'ingress.redis cannot be used: REDIS_PASSWORD is set twice',
    ]);
  });

  it('reads the password from a file', () => {
    const readFile = (path: string) => {
      if (path.endsWith('secrets/redis')) return 's3cret\n';
      throw Object.assign(new Error(path), { code: 'ENOENT' });
    };
    const yaml = (url: string, file = 'secrets/redis') =>
      `ingress: { redis: { url: '${url}', passwordFile: ${file} } }`;
    expect(redisOf(yaml('redis://u@cache'), { readFile })?.server).to.deep.include({
      username: 'u',
      password: 's3cret',
    });
    expect(problemsOf(yaml('redis://:pw@cache'), { readFile })).to.deep.equal([
      'ingress.redis.passwordFile is given beside a password in "url"',
    ]);
    expect(problemsOf(yaml('redis://cache', 'other'), { readFile })).to.deep.equal([
      'ingress.redis.passwordFile cannot be read (ENOENT)',
    ]);
  });

  it('refuses what is no URL of a Redis, and shows nothing of it', () => {
    for (const url of [
      'cache:6379',
      'http://:hunter2@cache',
      'redis://',
      'redis://:hunter2@cache/a',
      'redis://cache?password=hunter2',
      'redis://:hunter2%@cache',
      'redis://cache:hunter2',
    ]) {
      const result = load(`ingress: { redis: { url: '${url}' } }`);
      if (result.ok) throw new Error(url);
      const [problem, ...more] = result.problems;
      expect(more).to.deep.equal([]);
      expect(problem?.path).to.equal('ingress.redis.url');
      expect(`${problem?.message} ${problem?.cure}`).to.not.include('hunter2');
    }
    const misplaced = load('ingress:\n  redis:\n    password: hunter2');
    if (misplaced.ok) throw new Error('expected a problem');
    expect(JSON.stringify(misplaced.problems)).to.not.include('hunter2');
  });

  it('needs to know whose channels, where there are several apps', () => {
    const apps = 'apps: [{ id: a, key: a, secret: s }, { id: b, key: b, secret: s }]\n';
    expect(problemsOf(`${apps}ingress: { redis: {} }`)).to.deep.equal([
      'ingress.redis has no "app", and there are several',
    ]);
    expect(redisOf(`${apps}ingress: { redis: { app: b } }`)?.app).to.equal('b');
    expect(problemsOf(`${apps}ingress: { redis: { app: c } }`)[0]).to.match(
      /^ingress.redis.app "c"/,
    );
  });

  it('is in use after a restart only, which the log of a reload says', () => {
    const before = configOf('events: []');
    const after = configOf('ingress: { redis: {} }');
    expect(partsForRestart('router', false, before, after)).to.include('ingress.redis');
    expect(partsForRestart('edge', true, before, after)).to.deep.equal([]);
  });
});

describe('the rule that Redis brings', () => {
  const alone = 'ingress: { redis: {} }';
  const shipped = '{"event":"Shipped","data":{"id":1.0},"socket":"1.2"}';

  it('sends a plain message to the channel of that name', () => {
    const { outcome, publications } = routed(alone, 'chat', '{ "message": "hi" }');
    expect(outcome).to.equal('routed');
    expect(publications).to.have.length(1);
    expect(publications[0]).to.deep.include({
      builtIn: 'ingress.redis',
      channel: 'chat',
      event: 'App\\Events\\MessageSent',
      data: '{ "message": "hi" }',
    });
  });

  it('sends a broadcast as it stands, without the socket that it names', () => {
    const { publications } = routed(alone, 'private-chat.1', shipped);
    expect(publications).to.have.length(1);
    expect(publications[0]).to.deep.include({
      channel: 'private-chat.1',
      event: 'Shipped',
      data: '{"id":1.0}',
      except: '1.2',
    });
  });

  it('leaves alone what no client could subscribe to', () => {
    expect(routed(alone, 'horizon:supervisors', '{}').outcome).to.equal('unmatched');
  });

  it('refuses what would forge the protocol', () => {
    const forged = '{"event":"pusher:error","data":{},"socket":null}';
    const { outcome, refusal } = routed(alone, 'chat', forged);
    expect(outcome).to.equal('refused');
    expect(refusal?.code).to.equal('invalid_event_name');
    expect(refusal?.text).to.match(/^ingress\.redis\.as: /);
  });

  it('gives way to a rule of the file that begins with redis, for the keys that it matches', () => {
    const yaml = `events: [{ on: redis.chat, to: elsewhere, as: said }]\n${alone}`;
    const chat = routed(yaml, 'chat', '{}');
    expect(chat.publications.map(({ channel }) => channel)).to.deep.equal(['elsewhere']);
    expect(chat.rules.map(({ outcome }) => outcome)).to.deep.equal(['matched', 'overridden']);
    const other = routed(yaml, 'news', '{}');
    expect(other.publications.map(({ channel }) => channel)).to.deep.equal(['news']);
    const never = `events: [{ on: redis.*, when: 'false', to: x }]\n${alone}`;
    expect(routed(never, 'chat', '{}').outcome).to.equal('unmatched');
  });

  it('stays beside rules about everything', () => {
    for (const on of ['#', '*.chat']) {
      const yaml = `events: [{ on: '${on}', to: log, as: logged }]\n${alone}`;
      const { publications } = routed(yaml, 'chat', '{}');
      expect(publications.map(({ channel }) => channel)).to.deep.equal(['log', 'chat']);
    }
  });

  it('is not there without Redis', () => {
    expect(routed('events: []', 'chat', '{}').outcome).to.equal('unmatched');
  });
});

describe('commands', () => {
  async function run(yaml: string, command: (io: CommandIo) => Promise<number>) {
    const out = { stdout: '', stderr: '' };
    const code = await command({
      stdout: (text) => {
        out.stdout += text;
      },
      stderr: (text) => {
        out.stderr += text;
      },
      readFile: () => yaml,
    });
    return { code, ...out };
  }
  const yaml = 'ingress: { redis: {} }';

  it('check says that Redis is at most once', async () => {
    const { code, stdout } = await run(yaml, (io) =>
      check({ file: 'w.yaml', json: false, environment: {} }, io),
    );
    expect(code).to.equal(0);
    expect(stdout).to.include('0 event rules').and.include(', Redis\n');
    expect(stdout).to.include('note: ingress.redis takes messages at most once');
    const json = await run(yaml, (io) =>
      check({ file: 'w.yaml', json: true, environment: {} }, io),
    );
    expect(JSON.parse(json.stdout).notes).to.have.length(1);
    const broken = await run(yaml, (io) =>
      check({ file: 'w.yaml', json: false, environment: { REDIS_PORT: 'x' } }, io),
    );
    expect(broken.code).to.equal(1);
    expect(broken.stderr).to.include('REDIS_PORT');
  });

  it('explain takes a key of Redis for a plain message', async () => {
    const { code, stdout } = await run(yaml, (io) =>
      explain(
        { key: 'redis.chat', data: '{}', headers: [], config: 'w', json: false, environment: {} },
        io,
      ),
    );
    expect(code, stdout).to.equal(0);
    expect(stdout).to.include('→ chat  (app app-id, by ingress.redis)');
  });
});
