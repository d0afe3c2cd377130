import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const root = fileURLToPath(new URL('../../', import.meta.url));
const skip = new URL('../support/skip.ts', import.meta.url).href;

const suite = `
import { createServer } from 'node:net';
import { skipBecause } from ${JSON.stringify(skip)};
describe('suite', () => {
  it('passes', () => {});
  it('fails', () => { throw new Error('as it should'); });
  it('is skipped', function () { skipBecause(this, 'no broker here'); });
  it.skip('is skipped in silence');
  it('leaves a timer', () => { setInterval(() => {}, 60_000); });
  it('leaves a server', (done) => { createServer().listen(0, '127.0.0.1', done); });
  it('closes in its own time', () => { setTimeout(() => {}, 200); });
  describe('inner', () => {
    before(function () { skipBecause(this, 'no browser here'); });
    it('is skipped with its suite', () => {});
  });
});
`;

/** Runs mocha as \`npm test\` does, with our configuration, on one file. */
async function runMocha(text: string): Promise<{ code: number | null; lines: string[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'warren-mocha-'));
  const file = join(directory, 'sample.test.mts');
  await writeFile(file, text);
  try {
    return await new Promise((resolve, reject) => {
      const child = spawn(process.execPath, ['node_modules/mocha/bin/mocha.js', file], {
        cwd: root,
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      child.on('error', reject);
      child.on('close', (code) =>
        resolve({ code, lines: Buffer.concat(chunks).toString('utf8').split('\n') }),
      );
    });
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('a run of mocha', function () {
  this.timeout(60_000);

  let outcome: Awaited<ReturnType<typeof runMocha>>;
  before(async () => {
    outcome = await runMocha(suite);
  });

  it('ends by itself and fails, although a test has left something open', () => {
    expect(outcome.code).to.be.above(0);
  });

  it('ends with its counts alone on a line; what was left open counts as a failure', () => {
    expect(outcome.lines).to.include('4 passed, 2 failed, 3 skipped');
  });

  it('lists the tests that were skipped, and why', () => {
    expect(outcome.lines).to.include.members([
      'skipped: suite is skipped (no broker here)',
      'skipped: suite is skipped in silence (no reason given)',
      'skipped: suite inner is skipped with its suite (no browser here)',
    ]);
  });

  it('names what was left open and the test that did it, and nothing that closed in time', () => {
    const leaks = outcome.lines.filter((line) => line.includes('first seen after'));
    expect(leaks.map((line) => line.trim())).to.have.members([
      '1 × TCPServerWrap, first seen after "suite leaves a server"',
      '1 × Timeout, first seen after "suite leaves a timer"',
    ]);
  });
});
