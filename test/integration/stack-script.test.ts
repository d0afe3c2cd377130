import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { isRunning, projectRoot, runScript } from '../support/scripts.ts';

/** Stands in for `warren serve all` and for the chat service: ready at once on the port it is told. */
const stub = (portVariable: string) => `#!/usr/bin/env node
require('node:http')
  .createServer((request, response) => response.end('ok'))
  .listen(Number(process.env['${portVariable}']), '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
console.log('env', Object.keys(process.env).filter((name) => name.startsWith('WARREN_')).sort().join(' '));
`;

async function freePort(): Promise<string> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return String(port);
}

describe('stack.sh', function () {
  this.timeout(120_000);

  let root: string;
  let script: string;
  let runDirectory: string;
  let env: Record<string, string>;
  const strangers: ChildProcess[] = [];

  beforeEach(async () => {
    // A project of its own, with the real scripts and stubs in place of what they start.
    root = await mkdtemp(join(tmpdir(), 'warren-stack-'));
    script = join(root, 'infra/scripts/stack.sh');
    runDirectory = join(root, '.run');
    await cp(join(projectRoot, 'infra'), join(root, 'infra'), { recursive: true });
    await cp(join(projectRoot, 'package.json'), join(root, 'package.json'));
    await mkdir(join(root, 'bin'));
    await mkdir(join(root, 'dist/examples/chat'), { recursive: true });
    await mkdir(runDirectory);
    await writeFile(join(root, 'dist/package.json'), '{"type":"commonjs"}');
    await writeFile(join(root, 'bin/package.json'), '{"type":"commonjs"}');
    await writeFile(join(root, 'bin/warren'), stub('WARREN_PORT'));
    await chmod(join(root, 'bin/warren'), 0o755);
    await writeFile(join(root, 'dist/examples/chat/main.js'), stub('CHAT_PORT'));
    env = {
      WARREN_PORT: await freePort(),
      WARREN_METRICS_PORT: await freePort(),
      CHAT_PORT: await freePort(),
    };
    const broker = process.env['WARREN_BROKER_URL'];
    if (broker?.startsWith('amqp')) env['WARREN_BROKER_URL'] = broker;
  });

  afterEach(async () => {
    await runScript(script, ['down'], env);
    for (const stranger of strangers.splice(0)) {
      if (stranger.exitCode === null && stranger.signalCode === null) {
        stranger.kill('SIGKILL');
        await once(stranger, 'exit');
      }
    }
    await rm(root, { recursive: true, force: true });
  });

  async function recorded(name: string): Promise<number> {
    return Number(
      /^pid=(\d+)$/m.exec(await readFile(join(runDirectory, `${name}.pid`), 'utf8'))?.[1],
    );
  }

  /** A process that nothing here started, whose command line even looks like Warren's. */
  async function stranger(): Promise<number> {
    const child = spawn(
      process.execPath,
      ['-e', 'console.log("here"); process.stdin.resume()', 'serve all'],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    strangers.push(child);
    await once(child.stdout, 'data');
    return child.pid ?? 0;
  }

  it('starts both, says so when they run already, and leaves nothing running', async () => {
    const up = await runScript(script, ['up'], env);
    expect(up.code, up.output).to.equal(0);
    expect(up.output).to.include(`Open http://127.0.0.1:${env['CHAT_PORT']}/`);
    const pids = [await recorded('warren'), await recorded('chat')];
    expect(pids.map(isRunning)).to.deep.equal([true, true]);

    const again = await runScript(script, ['up'], env);
    expect(again.code, again.output).to.equal(0);
    expect(again.output).to.include('already running').and.not.include('starting');
    expect([await recorded('warren'), await recorded('chat')]).to.deep.equal(pids);
    expect((await runScript(script, ['status'], env)).code).to.equal(0);

    const down = await runScript(script, ['down'], env);
    expect(down.code, down.output).to.equal(0);
    expect(pids.map(isRunning)).to.deep.equal([false, false]);
    expect((await runScript(script, ['status'], env)).code).to.equal(3);
  });

  it('passes on no WARREN_* name that Warren itself would refuse', async () => {
    const up = await runScript(script, ['up'], { ...env, WARREN_RUN_DIR: runDirectory });
    expect(up.code, up.output).to.equal(0);
    const log = await readFile(join(runDirectory, 'warren.log'), 'utf8');
    expect(log)
      .to.match(/env .*WARREN_CONFIG/)
      .and.not.include('WARREN_RUN_DIR');
  });

  it('shows the log of what does not start, and leaves no half of it running', async () => {
    await writeFile(
      join(root, 'dist/examples/chat/main.js'),
      'console.error("no such room"); process.exitCode = 1;',
    );
    const up = await runScript(script, ['up'], env);
    expect(up.code, up.output).to.equal(1);
    expect(up.output).to.include('no such room');
    expect((await runScript(script, ['status'], env)).output).to.include('warren: not running');
  });

  it('names the variable to change when a port is taken', async () => {
    const server = createServer().listen(Number(env['CHAT_PORT']), '127.0.0.1');
    await once(server, 'listening');
    try {
      const up = await runScript(script, ['up'], env);
      expect(up.code, up.output).to.equal(1);
      expect(up.output).to.include(`port ${env['CHAT_PORT']} is taken`).and.include('CHAT_PORT=');
    } finally {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
    expect((await runScript(script, ['status'], env)).output).to.include('warren: not running');
  });

  it('never signals a process that took over the number of an ended one', async () => {
    const pid = await stranger();
    // Same number and a fitting command line; only the moment of its start tells them apart.
    await writeFile(join(runDirectory, 'warren.pid'), `pid=${pid}\nstarted=1\nword=serve all\n`);
    const down = await runScript(script, ['down'], env);
    expect(down.code, down.output).to.equal(0);
    expect(down.output).to.include('warren had already ended');
    expect(isRunning(pid)).to.equal(true);
  });

  it('never signals a process whose command line is another', async () => {
    const pid = await stranger();
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    // starttime, the 22nd field (proc(5)); without /proc the record cannot be made up, and any will do.
    const started = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '1';
    await writeFile(
      join(runDirectory, 'chat.pid'),
      `pid=${pid}\nstarted=${started}\nword=examples/chat/main.js\n`,
    );
    await runScript(script, ['down'], env);
    expect(isRunning(pid)).to.equal(true);
  });

  it('trusts no pid file that holds a bare number', async () => {
    const pid = await stranger();
    await writeFile(join(runDirectory, 'warren.pid'), `${pid}\n`);
    await runScript(script, ['down'], env);
    expect(isRunning(pid)).to.equal(true);
  });
});
