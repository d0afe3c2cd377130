// Asks a URL once; exits 0 when the answer is 200, else 1 with the reason on standard output.

import { get } from 'node:http';

const url = process.argv[2];
const fail = (why) => {
  process.stdout.write(`${url}: ${why}\n`);
  process.exitCode = 1;
};
const request = get(url, { timeout: 2000 }, (response) => {
  response.resume();
  if (response.statusCode !== 200) fail(`HTTP ${response.statusCode}`);
  request.destroy();
});
request.on('timeout', () => request.destroy(new Error('no answer within 2 s')));
request.on('error', (error) => fail(error.code ?? error.message));
