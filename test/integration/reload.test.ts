import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { WebSocket } from 'ws';
import { type ReloadableRole, Reloader, type ReloaderOptions } from '../../cli/reload.ts';
import { loadConfigFiles } from '../../config/config-files.ts';
import { watchFiles } from '../../config/file-watch.ts';
import type { WarrenConfig } from '../../contracts/warren-config.ts';
import { createLog } from '../../runtime/log.ts';
import { createMetrics, type Metrics } from '../../runtime/metrics.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly problems?: readonly string[];
  readonly warnings?: readonly string[];
  readonly parts?: readonly string[];
  readonly apps?: object;
}

const listing = (...apps: string[]) =>
  `apps:\n${apps.map((app) => `  - { id: ${app}, key: k-${app}, secretFile: secret }`).join('\n')}\n`;

describe('hot reload', () => {
  let directory: string;
  let file: string;
  let metrics: Metrics;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'warren-reload-'));
    file = join(directory, 'warren.yaml');
    writeFileSync(join(directory, 'secret'), 'one\n');
    metrics = createMetrics();
  });
  afterEach(async () => {
    await metrics.close();
    rmSync(directory, { recursive: true });
  });

  /** A reloader of an edge that keeps what it is given. */
  function start(
    text: string | undefined,
    options: {
      readonly reload?: (config: WarrenConfig) => void | Promise<void>;
      readonly given?: boolean;
      readonly roles?: ReloaderOptions['roles'];
    } = {},
  ) {
    if (text !== undefined) writeFileSync(file, text);
    const settings = {
      configPath: file,
      configPathGiven: options.given ?? true,
      app: undefined,
      production: false,
    };
    const files = loadConfigFiles(settings);
    if (!files.result.ok) throw new Error(JSON.stringify(files.result.problems));
    const taken: WarrenConfig[] = [];
    const lines: Line[] = [];
    const role: ReloadableRole = {
      readiness: () => ({ ready: true }),
      stop: () => Promise.resolve(),
      reload: options.reload ?? ((config) => void taken.push(config)),
    };
    const reloader = new Reloader({
      settings,
      started: files.result.config,
      files,
      roles: options.roles ?? [{ name: 'edge', role }],
      log: createLog('debug', {}, { write: (line) => lines.push(JSON.parse(line) as Line) }),
      metrics,
    });
    const ids = () => taken.map((config) => config.apps.map((app) => app.id).join(' '));
    return { reloader, taken, ids, lines, told: () => lines.map((line) => line.message) };
  }

  const gauge = async () =>
    /^warren_config_last_reload_successful(\{\})? (\d)/m.exec(await metrics.scrape())?.[2];

  it('hands a new configuration over, and says what became of the apps', async () => {
    const { reloader, ids, lines } = start(listing('a', 'b'));
    writeFileSync(file, listing('b', 'c'));
    await reloader.reload('change');
    expect(ids()).to.deep.equal(['b c']);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.deep.include({
      level: 'info',
      message: 'warren.yaml was reloaded',
      apps: { added: ['c'], removed: ['a'] },
    });
  });

  it('compares with what runs now: the text of the start is a change later on', async () => {
    const { reloader, ids } = start(listing('a'));
    writeFileSync(file, listing('b'));
    await reloader.reload('change');
    await reloader.reload('signal');
    writeFileSync(file, listing('a'));
    await reloader.reload('change');
    expect(ids()).to.deep.equal(['b', 'a']);
  });

  it('sees a secret file that has changed, and never logs a secret', async () => {
    const { reloader, taken, lines } = start(listing('a'));
    writeFileSync(join(directory, 'secret'), 'correct-horse\n');
    await reloader.reload('change');
    expect(taken.map((config) => config.apps[0]?.secret)).to.deep.equal(['correct-horse']);
    expect(JSON.stringify(lines)).to.contain('"changed":["a"]').and.not.contain('correct-horse');
  });

  it('sees a schema file that has changed, and refuses one with a mistake', async () => {
    const schema = join(directory, 'schema.json');
    writeFileSync(schema, '{"type":"object"}');
    const text = `${listing('a')}events: [{ on: x, to: y, schema: schema.json }]\n`;
    const { reloader, taken, lines } = start(text);
    expect(reloader.paths).to.include(schema);
    writeFileSync(schema, '{"type":"array"}');
    await reloader.reload('change');
    expect(taken.map((config) => config.events[0]?.schema?.document)).to.deep.equal([
      { type: 'array' },
    ]);
    writeFileSync(schema, '{"type":"arry"}');
    await reloader.reload('change');
    expect(taken).to.have.lengthOf(1);
    expect(lines.at(-1)?.problems?.[0]).to.contain('schema.json:1:9  #/type "arry" is not a type');
  });

  it('hands nothing over where the text is the same; a signal is answered all the same', async () => {
    const { reloader, taken, told } = start(listing('a'));
    writeFileSync(file, listing('a'));
    await reloader.reload('change');
    expect(told()).to.deep.equal([]);
    await reloader.reload('signal');
    expect(told()).to.deep.equal(['warren.yaml holds what is in use']);
    expect(taken).to.deep.equal([]);
  });

  it('keeps what runs where anything is wrong, tells all of it in one line, and recovers', async () => {
    const { reloader, ids, lines } = start(listing('a'));
    writeFileSync(file, `${listing('a', 'b', 'b')}evnts: []\n`);
    await reloader.reload('change');
    expect(ids()).to.deep.equal([]);
    expect(lines).to.have.length(1);
    expect(lines[0]).to.include({ level: 'error' });
    expect(lines[0]?.problems?.map((problem) => problem.slice(directory.length))).to.deep.equal([
      '/warren.yaml:4:11  apps[2].id "b" is the id of apps[1] already',
      '/warren.yaml:4:19  apps[2].key "k-b" is the key of apps[1] already',
      '/warren.yaml:5:1  evnts is not a known key; did you mean "events"?',
    ]);
    expect(await gauge()).to.equal('0');
    writeFileSync(file, listing('a', 'b'));
    await reloader.reload('change');
    expect(ids()).to.deep.equal(['a b']);
    expect(await gauge()).to.equal('1');
  });

  it('says that all is well again where the old text is put back', async () => {
    const { reloader, taken, told } = start(listing('a'));
    writeFileSync(file, 'apps: [');
    await reloader.reload('change');
    writeFileSync(file, listing('a'));
    await reloader.reload('change');
    expect(told()).to.deep.equal([
      'warren.yaml has problems: the configuration in use stays',
      'warren.yaml holds what is in use',
    ]);
    expect(taken).to.deep.equal([]);
    expect(await gauge()).to.equal('1');
  });

  it('takes a file that was there and is gone, or is empty, for a mistake', async () => {
    const { reloader, taken, lines } = start(listing('a'), { given: false });
    unlinkSync(file);
    await reloader.reload('change');
    writeFileSync(file, '');
    await reloader.reload('change');
    expect(lines.map((line) => line.problems?.[0]?.slice(directory.length))).to.deep.equal([
      '/warren.yaml  cannot be read (ENOENT) (WARREN_CONFIG names the file)',
      '/warren.yaml  lists no app any more, and the built-in one does not replace those that run (list one under apps; to turn an app off, set enabled: false)',
    ]);
    expect(taken).to.deep.equal([]);
  });

  it('takes up a default file that was not there at the start', async () => {
    const { reloader, ids } = start(undefined, { given: false });
    await reloader.reload('signal');
    writeFileSync(file, listing('a'));
    await reloader.reload('change');
    expect(ids()).to.deep.equal(['a']);
  });

  it('takes that file for a mistake too when it is gone again', async () => {
    const { reloader, lines } = start(undefined, { given: false });
    writeFileSync(file, listing('a'));
    await reloader.reload('change');
    unlinkSync(file);
    await reloader.reload('change');
    expect(lines.at(-1)?.problems?.[0]).to.contain('cannot be read (ENOENT)');
  });

  it('lets the built-in app go on where it runs already', async () => {
    const { reloader, ids } = start('');
    writeFileSync(file, 'channels: []');
    await reloader.reload('change');
    expect(ids()).to.deep.equal(['app-id']);
  });

  it('knows what to look at: the files that the last attempt asked for, whether they exist or not', async () => {
    const { reloader } = start(listing('a'));
    const names = () => reloader.paths.map((path) => path.slice(directory.length + 1));
    expect(names()).to.deep.equal(['warren.yaml', 'secret']);
    writeFileSync(file, listing('a').replace('secretFile: secret', 'secretFile: other'));
    await reloader.reload('change');
    expect(names()).to.deep.equal(['warren.yaml', 'other']);
  });

  it('says which parts need a restart, as long as they differ from what was started', async () => {
    const { reloader, lines } = start(listing('a'));
    const auth =
      'auth: { jwt: { secret: 0123456789abcdef0123456789abcdef, issuer: i, audience: a } }\n';
    writeFileSync(file, listing('a') + auth);
    await reloader.reload('change');
    writeFileSync(file, listing('b') + auth);
    await reloader.reload('change');
    writeFileSync(file, listing('b'));
    await reloader.reload('change');
    expect(lines.map((line) => line.parts)).to.deep.equal([
      undefined,
      ['auth'],
      undefined,
      ['auth'],
      undefined,
    ]);
  });

  it('passes the warnings of a new file on', async () => {
    const { reloader, lines } = start(listing('a'));
    writeFileSync(file, `${listing('a')}channels: [{ name: 'private-x', allow: 'true' }]\n`);
    await reloader.reload('change');
    expect(lines.at(-1)?.warnings?.[0]).to.contain('needs auth.jwt');
  });

  it('does one thing at a time: calls in the meantime come to one more', async () => {
    const finish: (() => void)[] = [];
    const { reloader, told } = start(listing('a'), {
      reload: () => new Promise((resolve) => finish.push(resolve)),
    });
    writeFileSync(file, listing('b'));
    const first = reloader.reload('change');
    writeFileSync(file, listing('c'));
    const others = [
      reloader.reload('signal'),
      reloader.reload('signal'),
      reloader.reload('change'),
    ];
    expect(finish).to.have.length(1);
    finish[0]?.();
    await first;
    await eventually(() => expect(finish).to.have.length(2));
    finish[1]?.();
    await Promise.all(others);
    expect(told()).to.deep.equal(['warren.yaml was reloaded', 'warren.yaml was reloaded']);
  });

  it('survives a role that fails, and tries again when it is asked', async () => {
    let broken = true;
    const { reloader, told } = start(listing('a'), {
      reload: () => {
        if (broken) throw new Error('no');
      },
    });
    writeFileSync(file, listing('b'));
    await reloader.reload('change');
    broken = false;
    await reloader.reload('signal');
    expect(told()).to.deep.equal([
      'a new configuration could not be taken up',
      'warren.yaml was reloaded',
    ]);
  });

  it('does nothing once it is stopped', async () => {
    const { reloader, taken, lines } = start(listing('a'));
    writeFileSync(file, listing('b'));
    reloader.stop();
    await reloader.reload('signal');
    expect([taken, lines]).to.deep.equal([[], []]);
  });

  it('follows a swapped link and a secret file by itself, and takes its first look for no change', async () => {
    writeFileSync(join(directory, 'v1'), listing('a'));
    symlinkSync('v1', file);
    const { reloader, ids, lines } = start(undefined);
    const clock = createManualClock();
    const stop = watchFiles({
      clock,
      periodMs: 1_000,
      paths: () => reloader.paths,
      changed: () => reloader.reload('change'),
    });
    let attempts = 0;
    const attempted = async () => {
      attempts += 1;
      await eventually(async () => {
        await clock.advanceAsync(1_000);
        const counted = (await metrics.scrape()).matchAll(
          /^warren_config_reloads_total\S* (\d+)/gm,
        );
        const sum = [...counted].reduce((total, [, count]) => total + Number(count), 0);
        expect(sum).to.equal(attempts);
      });
    };
    await attempted();
    expect([ids(), lines]).to.deep.equal([[], []]);
    writeFileSync(join(directory, 'v2'), listing('a', 'b'));
    symlinkSync('v2', `${file}.new`);
    renameSync(`${file}.new`, file);
    await attempted();
    expect(ids()).to.deep.equal(['a b']);
    writeFileSync(join(directory, 'secret'), 'two');
    await attempted();
    expect(ids()).to.deep.equal(['a b', 'a b']);
    stop();
  });
});

describe('startWarren', () => {
  it('looks at warren.yaml until it is stopped, or never', async function () {
    this.timeout(30_000);
    const { prepare, startWarren } = await import('../../cli/serve.ts');
    const directory = mkdtempSync(join(tmpdir(), 'warren-reload-'));
    const file = join(directory, 'warren.yaml');
    writeFileSync(file, 'apps: [{ id: a, key: k, secret: s }]');
    const timers: number[] = [];
    for (const reloadMs of ['0', '1000']) {
      const preparation = prepare({
        WARREN_BROKER_URL: 'memory:',
        WARREN_CONFIG: file,
        WARREN_METRICS_PORT: '0',
        WARREN_LOG_LEVEL: 'silent',
        WARREN_RELOAD_MS: reloadMs,
      });
      if (!preparation.ok) throw new Error(preparation.text);
      const clock = createManualClock();
      const warren = await startWarren(preparation.prepared, ['router'], clock);
      timers.push(clock.pendingTimers);
      await warren.stop(0);
      timers.push(clock.pendingTimers);
    }
    rmSync(directory, { recursive: true });
    expect(timers).to.deep.equal([0, 0, 1, 0]);
  });
});

describe('reload of a running edge', () => {
  it('closes the sockets of apps that are gone or disabled, and leaves the others with their new key', async function () {
    this.timeout(30_000);
    const { prepare, startWarren } = await import('../../cli/serve.ts');
    const directory = mkdtempSync(join(tmpdir(), 'warren-reload-'));
    const file = join(directory, 'warren.yaml');
    const app = (id: string, key: string, keys = '') =>
      `  - { id: ${id}, key: ${key}, secret: s, ${keys} }\n`;
    writeFileSync(file, `apps:\n${app('kept', 'ka')}${app('gone', 'kb')}${app('off', 'kc')}`);
    const preparation = prepare({
      WARREN_BROKER_URL: 'memory:',
      WARREN_CONFIG: file,
      WARREN_HOST: '127.0.0.1',
      WARREN_PORT: '0',
      WARREN_METRICS_PORT: '0',
      WARREN_LOG_LEVEL: 'silent',
      WARREN_RELOAD_MS: '0',
    });
    if (!preparation.ok) throw new Error(preparation.text);
    const warren = await startWarren(preparation.prepared, ['router', 'edge']);
    const opened: WebSocket[] = [];
    const open = (key: string) => {
      const url = `ws://127.0.0.1:${warren.port}/app/${key}?protocol=7&client=test&version=1`;
      const webSocket = new WebSocket(url);
      opened.push(webSocket);
      const seen: { greeted: boolean; code: number | undefined } = {
        greeted: false,
        code: undefined,
      };
      webSocket.on('message', (data) => {
        seen.greeted ||= String(data).includes('pusher:connection_established');
      });
      webSocket.on('close', (code) => {
        seen.code = code;
      });
      return seen;
    };
    try {
      const [kept, gone, off] = [open('ka'), open('kb'), open('kc')];
      await eventually(() =>
        expect([kept, gone, off].map(({ greeted }) => greeted)).to.deep.equal([true, true, true]),
      );
      writeFileSync(file, 'apps: [');
      await warren.reload('signal');
      writeFileSync(file, `apps:\n${app('kept', 'fresh')}${app('off', 'kc', 'enabled: false')}`);
      await warren.reload('signal');
      const [old, fresh] = [open('ka'), open('fresh')];
      await eventually(() => {
        expect([gone.code, off.code, old.code]).to.deep.equal([4001, 4003, 4001]);
        expect(fresh.greeted).to.equal(true);
      });
      expect([kept.code, fresh.code]).to.deep.equal([undefined, undefined]);
    } finally {
      for (const webSocket of opened) webSocket.terminate();
      await warren.stop(0);
      rmSync(directory, { recursive: true });
    }
  });
});

describe('warren serve', () => {
  const main = fileURLToPath(new URL('../../cli/main.ts', import.meta.url));

  for (const [cause, reloadMs] of [
    ['SIGHUP', '0'],
    ['a change', '20'],
  ] as const) {
    it(`reloads warren.yaml on ${cause}, and goes on`, async function () {
      this.timeout(30_000);
      const directory = mkdtempSync(join(tmpdir(), 'warren-reload-'));
      const file = join(directory, 'warren.yaml');
      writeFileSync(join(directory, 'secret'), 'one');
      writeFileSync(file, listing('a'));
      // Nothing listens there: a router waits for its broker, and reloads all the same.
      const child = spawn(process.execPath, ['--import', 'tsx', main, 'serve', 'router'], {
        env: {
          ...process.env,
          WARREN_BROKER_URL: 'amqp://127.0.0.1:1',
          WARREN_CONFIG: file,
          WARREN_METRICS_PORT: '0',
          WARREN_DRAIN_MS: '0',
          WARREN_RELOAD_MS: reloadMs,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exited = once(child, 'exit');
      const lines: Line[] = [];
      createInterface({ input: child.stdout }).on('line', (line) =>
        lines.push(JSON.parse(line) as Line),
      );
      const line = (message: string) =>
        eventually(() => {
          const found = lines.find((one) => one.message === message);
          if (found === undefined) throw new Error(`no "${message}" in ${JSON.stringify(lines)}`);
          return found;
        }, 20_000);
      try {
        await line('warren is up');
        writeFileSync(`${file}.new`, `${listing('a')}events: [{ on: x, to: y }]\n`);
        renameSync(`${file}.new`, file);
        if (cause === 'SIGHUP') child.kill('SIGHUP');
        await line('warren.yaml was reloaded');
        await line('new event rules and sources wait for the broker');
        const restart = lines.filter(({ parts }) => parts !== undefined);
        expect(restart).to.deep.equal([]);
        child.kill('SIGTERM');
        expect(await exited).to.deep.equal([0, null]);
      } finally {
        child.kill('SIGKILL');
        await exited;
        rmSync(directory, { recursive: true });
      }
    });
  }
});
