/**
 * Runs the steps of `make check`, two at a time where there are two processors, and says which of them failed.
 * A step that passes is one line; one that fails shows what it said.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** npm scripts, longest first. */
const steps = ['test:fast', 'types', 'dead', 'arrows', 'lint', 'docs:check'];

const say = (line) => process.stdout.write(`${line}\n`);
const running = new Set();
let interrupted = false;

function run(step) {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const child = spawn('npm', ['run', '--silent', step], { stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    const chunks = [];
    const keep = (chunk) => chunks.push(chunk);
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const finish = (passed) => {
      running.delete(child);
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      const text = Buffer.concat(chunks).toString('utf8').trimEnd();
      say(`${passed ? 'passed' : 'FAILED'}  ${step}  (${seconds} s)`);
      if (!passed && !interrupted) say(`\n${text}\n`);
      resolve({ step, passed, text });
    };
    child.on('error', (error) => {
      chunks.push(Buffer.from(`${error.message}\n`));
      finish(false);
    });
    child.on('close', (code) => finish(code === 0));
  });
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => {
    interrupted = true;
    for (const child of running) child.kill(signal);
  });
}

const waiting = [...steps];
const results = [];
async function worker() {
  for (let step = waiting.shift(); step !== undefined && !interrupted; step = waiting.shift()) {
    results.push(await run(step));
  }
}
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, worker));

const failed = steps.filter((step) => results.every((one) => one.step !== step || !one.passed));
if (failed.length === 0) {
  // The count of tests, alone on its line, as the reporter prints it.
  say(
    results
      .find(({ step }) => step === 'test:fast')
      .text.split('\n')
      .at(-1),
  );
  say(`check passed: ${steps.join(', ')}`);
} else {
  say(`check failed: ${failed.join(', ')}. Run one alone with \`npm run ${failed[0]}\`.`);
  process.exitCode = 1;
}
