/** Runs the shell scripts of infra/ the way make does, with settings of the test's own. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

export interface ScriptResult {
  /** Exit status; -1 when a signal ended it. */
  readonly code: number;
  /** Standard output and error, in the order in which they came. */
  readonly output: string;
}

/** Resolves when the script has ended, whatever its exit status. `env` is all that it sees of WARREN_* names. */
export function runScript(
  script: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ScriptResult> {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('WARREN_') && name !== 'CHAT_PORT',
  );
  return new Promise((resolve, reject) => {
    const child = spawn(script, args, {
      env: { ...Object.fromEntries(inherited), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.once('error', reject);
    child.once('close', (code) => resolve({ code: code ?? -1, output }));
  });
}

/** A zombie, which nobody has waited for yet, counts as ended. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    // No /proc on this system, or gone between the two looks; the next look tells.
    return true;
  }
}

/** Whether this process could listen there, on loopback. */
export function isFreePort(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}
