import { expect } from 'chai';
import { createLog, type Log, type LogLevel } from '../../runtime/log.ts';

function capture(level: LogLevel = 'debug', fields: object = {}) {
  const lines: string[] = [];
  const log = createLog(level, fields, { write: (line) => lines.push(line) });
  return {
    log,
    lines,
    parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe('createLog', () => {
  it('writes one JSON object per line: time, level, message, and fields beside them', () => {
    const { log, lines, parsed } = capture('info', { role: 'edge' });
    log.info({ port: 6001 }, 'listening');
    expect(lines[0]).to.match(/^\{.*\}\n$/);
    const [line] = parsed();
    expect(line).to.include({ level: 'info', role: 'edge', port: 6001, message: 'listening' });
    expect(line?.['time']).to.match(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(line).to.have.all.keys('level', 'time', 'role', 'port', 'message');
  });

  const levels = ['debug', 'info', 'warn', 'error'] as const;
  for (const [at, level] of levels.entries()) {
    it(`at level ${level} leaves out what is less severe`, () => {
      const { log, parsed } = capture(level);
      for (const each of levels) log[each]({}, each);
      expect(parsed().map((line) => line['level'])).to.deep.equal(levels.slice(at));
    });
  }

  it('at level silent writes nothing', () => {
    const { log, lines } = capture('silent');
    for (const each of levels) log[each]({}, each);
    expect(lines).to.deep.equal([]);
  });

  it('keeps one line one line, whatever the fields hold', () => {
    const { log, lines, parsed } = capture();
    log.warn({ channel: 'a\r\n{"level":"error"}\u001b[31m' }, 'odd name');
    expect(lines).to.have.lengthOf(1);
    for (const control of ['\r', '\n', '\u001b']) {
      expect(lines[0]?.trimEnd()).to.not.include(control);
    }
    expect(parsed()[0]?.['level']).to.equal('warn');
  });

  it('shows an error with type, message, stack and cause', () => {
    const { log, parsed } = capture();
    log.error({ err: new TypeError('outer', { cause: new Error('inner') }) }, 'failed');
    const err = parsed()[0]?.['err'] as Record<string, unknown>;
    expect(err).to.include({ type: 'TypeError', message: 'outer: inner' });
    expect(err['stack']).to.include('runtime-log.test.ts').and.include('caused by: Error: inner');
  });

  describe('never writes', () => {
    const hidden = 'correct-horse-battery';
    const names = [
      'secret',
      'appSecret',
      'clientSecret',
      'token',
      'accessToken',
      'bearer_token',
      'password',
      'auth',
      'authorization',
      'Authorization',
      'proxy-authorization',
      'cookie',
      'set-cookie',
      'sessionId',
      'session_id',
      'payload',
      'data',
      'userData',
      'user_data',
      'channelData',
      'channel_data',
      'body',
    ];
    const ways: readonly (readonly [string, (log: Log, fields: object) => void])[] = [
      ['as a field', (log, fields) => log.info(fields, 'x')],
      ['one level down', (log, fields) => log.info({ request: fields }, 'x')],
      ['four levels down', (log, fields) => log.info({ a: { b: { c: { d: fields } } } }, 'x')],
      ['in a list', (log, fields) => log.info({ list: [1, fields] }, 'x')],
      ['as a field of a child', (log, fields) => log.child(fields).info({}, 'x')],
      ['in a child of a child', (log, fields) => log.child({}).child({ a: fields }).info({}, 'x')],
      [
        'on an error',
        (log, fields) => log.error({ err: Object.assign(new Error('no'), fields) }, 'x'),
      ],
      [
        'inside an error',
        (log, fields) =>
          log.error({ err: Object.assign(new Error('no'), { config: fields }) }, 'x'),
      ],
      ['by way of toJSON', (log, fields) => log.info({ request: { toJSON: () => fields } }, 'x')],
    ];
    for (const [where, write] of ways) {
      it(`a secret, a token or a payload ${where}`, () => {
        for (const name of names) {
          const { log, lines } = capture();
          write(log, { [name]: hidden, other: 'shown' });
          expect(lines, name).to.have.lengthOf(1);
          expect(lines[0], name).to.not.include(hidden);
          expect(lines[0], name).to.include('shown').and.include('[redacted]');
        }
      });
    }

    it('a secret that was given at creation', () => {
      const { log, lines } = capture('info', { token: hidden });
      log.info({}, 'x');
      expect(lines[0]).to.not.include(hidden);
    });

    it('the credentials of a URL, in a field or in the text of an error', () => {
      const { log, lines } = capture();
      const url = `amqp://user:${hidden}@broker:5672/vhost`;
      log.warn({ url, err: new Error(`cannot reach ${url}`) }, 'x');
      expect(lines[0]).to.not.include(hidden);
      expect(lines[0]).to.include('amqp://[redacted]@broker:5672/vhost');
    });

    it('bytes', () => {
      const { log, lines } = capture();
      log.info({ frame: Buffer.from(hidden), view: new Uint8Array(3) }, 'x');
      expect(lines[0]).to.include('"frame":"[21 bytes]"').and.include('"view":"[3 bytes]"');
    });
  });

  it('leaves names alone that only resemble secret ones', () => {
    const { log, parsed } = capture();
    const fields = {
      metadata: 'a',
      database: 'b',
      author: 'c',
      socketId: 'd',
      bodyBytes: 1,
      key: 'e',
    };
    log.info(fields, 'x');
    expect(parsed()[0]).to.include(fields);
  });

  it('survives what cannot be written out', () => {
    const { log, lines } = capture();
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    log.info({ cycle, big: 7n, nothing: undefined, call: () => 1, symbol: Symbol('x') }, 'odd');
    log.info({ list: Array.from({ length: 100_000 }, (_, n) => n) }, 'long');
    expect(lines).to.have.lengthOf(2);
    expect(lines[1]).to.have.length.below(2_000);
  });
});
