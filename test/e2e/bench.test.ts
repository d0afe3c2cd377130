/** The benchmark in its short form: it runs, loses nothing, and prints its figures. How good they are is not for a test to say. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { listenerOf } from '../../bench/processes.ts';
import { brokerUrl } from '../support/broker.ts';
import { skipBecause } from '../support/skip.ts';

const main = fileURLToPath(new URL('../../bench/broadcast.ts', import.meta.url));

describe('the benchmark of a broadcast', function () {
  this.timeout(90_000);

  it('measures Warren and a bare edge in turn, with every delivery accounted for', async function () {
    const port = Number(new URL(brokerUrl).port || 5672);
    if (process.platform !== 'linux' || listenerOf(port) === undefined) {
      skipBecause(this, 'the CPU time of the broker cannot be read here');
    }
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', main], {
      env: {
        ...process.env,
        WARREN_BROKER_URL: brokerUrl,
        SUBSCRIBERS: '20',
        DELIVERIES: '2000',
        PAIRS: '1',
        SECONDS: '0.5',
      },
    });
    expect(stdout).to.match(
      /warren +\d+\.\d+ µs of CPU per delivery \(edge .*, router .*, broker /,
    );
    expect(stdout).to.match(/bare ws +\d+\.\d+ µs/);
    expect(stdout.match(/p50 \d+ ms, p99 \d+ ms/g)).to.have.length(4);
  });
});
