// Says whether an AMQP 0-9-1 broker answers and lets the user in. It speaks the handshake itself,
// because an open port proves little (a container's proxy accepts long before the broker is up) and
// because it must work before any package is installed.
//
// The URLs come on standard input, so that a password is in no process list.
//   amqp-probe.mjs          tries each URL in turn; prints the product of the first that lets us in
//   amqp-probe.mjs where    prints "host port loopback|remote" per URL, and contacts nobody
// Exit codes: 0 yes · 2 bad URL · 3 nobody listens · 4 somebody listens, but no AMQP came · 5 AMQP, but refused

import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { parseBrokerUrls } from './amqp-url.mjs';

const ANSWER_MS = 5000;
const HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1');
const FRAME_END = 0xce;

const shortString = (text) => {
  const bytes = Buffer.from(text);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
};

const longString = (text) => {
  const bytes = Buffer.from(text);
  const size = Buffer.alloc(4);
  size.writeUInt32BE(bytes.length);
  return Buffer.concat([size, bytes]);
};

/** A method frame on channel 0 (AMQP 0-9-1 §2.3.5). */
function methodFrame(classId, methodId, ...args) {
  const payload = Buffer.concat([Buffer.from([0, classId, 0, methodId]), ...args]);
  const head = Buffer.alloc(7);
  head[0] = 1;
  head.writeUInt32BE(payload.length, 3);
  return Buffer.concat([head, payload, Buffer.from([FRAME_END])]);
}

/** A server property of Connection.Start, found by its encoded name; '' when it is absent. */
function serverProperty(payload, name) {
  const at = payload.indexOf(Buffer.concat([shortString(name), Buffer.from('S')]));
  if (at < 0) return '';
  const start = at + name.length + 2;
  return payload.toString('utf8', start + 4, start + 4 + payload.readUInt32BE(start));
}

function probe(target) {
  return new Promise((resolve) => {
    const where = `${target.host}:${target.port}`;
    const socket = target.tls
      ? tls.connect({
          host: target.host,
          port: target.port,
          servername: net.isIP(target.host) ? '' : target.host,
        })
      : net.connect({ host: target.host, port: target.port });
    let buffer = Buffer.alloc(0);
    let product = '';
    let connected = false;

    const finish = (code, text) => {
      socket.destroy();
      resolve({ code, text: `${text}` });
    };
    const refused = (why) =>
      finish(5, `${product} at ${where} refuses user ${target.user}: ${why}`);
    const silent = (why) =>
      product === ''
        ? finish(4, `${where} accepts connections but speaks no AMQP: ${why}`)
        : refused(why);

    /** What to answer to the methods of class connection (AMQP 0-9-1 §2.2.4), by method id. */
    const steps = {
      // start
      10: (payload) => {
        product =
          `${serverProperty(payload, 'product') || 'an AMQP broker'} ${serverProperty(payload, 'version')}`.trim();
        // With this capability a wrong password gets a reason instead of a closed socket.
        const capabilities = Buffer.concat([
          shortString('capabilities'),
          Buffer.from('F'),
          longString(
            Buffer.concat([shortString('authentication_failure_close'), Buffer.from('t\x01')]),
          ),
        ]);
        socket.write(
          methodFrame(
            10,
            11,
            longString(capabilities),
            shortString('PLAIN'),
            longString(`\0${target.user}\0${target.password}`),
            shortString('en_US'),
          ),
        );
      },
      // tune
      30: (payload) => {
        // Tune-ok repeats the broker's own limits; then open the vhost.
        socket.write(methodFrame(10, 31, payload.subarray(4, 12)));
        socket.write(
          methodFrame(10, 40, shortString(target.vhost), shortString(''), Buffer.from([0])),
        );
      },
      // open-ok
      41: () => {
        // A polite close, so that the broker logs no complaint.
        socket.write(methodFrame(10, 50, Buffer.from([0, 200]), shortString(''), Buffer.alloc(4)));
      },
      // close-ok
      51: () => finish(0, `${product} at ${where}`),
      // close, with the reason
      50: (payload) => refused(payload.toString('utf8', 7, 7 + payload[6])),
    };

    socket.setTimeout(ANSWER_MS, () => silent(`no answer within ${ANSWER_MS / 1000} s`));
    socket.on(target.tls ? 'secureConnect' : 'connect', () => {
      connected = true;
      socket.write(HEADER);
    });
    socket.on('error', (error) => {
      if (connected) return silent(error.message);
      const nobody = [
        'ECONNREFUSED',
        'ENOTFOUND',
        'EAI_AGAIN',
        'EHOSTUNREACH',
        'ENETUNREACH',
        'ETIMEDOUT',
      ];
      finish(nobody.includes(error.code) ? 3 : 4, `${where}: ${error.code ?? error.message}`);
    });
    socket.on('close', () => silent('the connection was closed'));
    socket.on('data', (chunk) => {
      buffer = Buffer.concat([buffer, chunk]);
      if (product === '' && buffer[0] !== 1) return silent('unexpected bytes');
      while (buffer.length >= 8) {
        const size = buffer.readUInt32BE(3);
        if (size > 1 << 20) return silent('an oversized frame');
        if (buffer.length < size + 8) return;
        if (buffer[7 + size] !== FRAME_END) return silent('a frame without an end');
        const payload = buffer.subarray(7, 7 + size);
        const isConnectionMethod = buffer[0] === 1 && size >= 4 && payload.readUInt16BE(0) === 10;
        if (isConnectionMethod) steps[payload.readUInt16BE(2)]?.(payload);
        buffer = buffer.subarray(8 + size);
      }
    });
  });
}

let targets;
try {
  targets = parseBrokerUrls(readFileSync(0, 'utf8').trim());
  if (targets.length === 0) throw new Error('no URL given');
} catch (error) {
  process.stdout.write(`the broker URL is wrong: ${error.message}\n`);
  process.exit(2);
}

if (process.argv[2] === 'where') {
  for (const { host, port, loopback } of targets) {
    process.stdout.write(`${host} ${port} ${loopback ? 'loopback' : 'remote'}\n`);
  }
} else {
  let answer = { code: 3, text: '' };
  for (const target of targets) {
    const next = await probe(target);
    // The most telling failure wins: a refusal says more than an absence.
    if (next.code === 0 || next.code >= answer.code) answer = next;
    if (answer.code === 0) break;
  }
  process.stdout.write(`${answer.text}\n`);
  process.exitCode = answer.code;
}
