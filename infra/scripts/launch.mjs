// Starts a command that outlives this script and its terminal, and prints its pid.
// Usage: launch.mjs LOG DIRECTORY COMMAND [ARGUMENT…]
// Node does it because `detached` is setsid(2) on every Unix, and macOS has no setsid command.

import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';

// Ctrl-C reaches the whole foreground group; dying between the start and the pid would leave a process
// that nobody knows of. So the signal shows in the exit status only: 130, after the pid was printed.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    process.exitCode = 130;
  });
}

const [log, directory, command, ...args] = process.argv.slice(2);
const output = openSync(log, 'w');
const child = spawn(command, args, {
  cwd: directory,
  detached: true,
  stdio: ['ignore', output, output],
});
child.once('error', (error) => {
  process.stderr.write(`cannot start ${command}: ${error.message}\n`);
  process.exitCode = 1;
});
child.once('spawn', () => {
  process.stdout.write(`${child.pid}\n`);
  child.unref();
});
