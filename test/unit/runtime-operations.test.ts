import { connect } from 'node:net';
import { expect } from 'chai';
import type { Readiness } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { type Operations, startOperations } from '../../runtime/operations.ts';

describe('startOperations', () => {
  let operations: Operations;
  let readiness: Readiness;
  let scrape: () => Promise<string>;
  let lines: string[];

  const start = (port = 0) =>
    startOperations({
      host: '127.0.0.1',
      port,
      metrics: { scrape: () => scrape() },
      readiness: () => readiness,
      log: createLog('debug', {}, { write: (line) => lines.push(line) }),
    });

  beforeEach(async () => {
    readiness = { ready: true };
    scrape = () => Promise.resolve('warren_sockets 1\n');
    lines = [];
    operations = await start();
  });
  afterEach(() => operations.close());

  const ask = (path: string, method = 'GET') =>
    fetch(`http://127.0.0.1:${operations.port}${path}`, { method });

  it('takes a free port where 0 is asked for, and says which', () => {
    expect(operations.port).to.be.within(1, 65_535);
  });

  it('serves the metrics as Prometheus expects them', async () => {
    const answer = await ask('/metrics');
    expect(answer.status).to.equal(200);
    expect(answer.headers.get('content-type')).to.equal('text/plain; version=0.0.4; charset=utf-8');
    expect(await answer.text()).to.equal('warren_sockets 1\n');
  });

  it('is live whatever the process waits for', async () => {
    for (const state of [{ ready: true }, { ready: false, reason: 'draining' }] as const) {
      readiness = state;
      for (const path of ['/healthz', '/up']) {
        const answer = await ask(path);
        expect(answer.status, path).to.equal(200);
        expect(await answer.json()).to.deep.equal({ status: 'ok' });
      }
    }
  });

  it('is ready, or answers 503 with the reason', async () => {
    const ready = await ask('/readyz');
    expect(ready.status).to.equal(200);
    expect(await ready.json()).to.deep.equal({ status: 'ready' });
    readiness = { ready: false, reason: 'the broker is away' };
    const answer = await ask('/readyz');
    expect(answer.status).to.equal(503);
    expect(await answer.json()).to.deep.equal({
      status: 'not ready',
      reason: 'the broker is away',
    });
  });

  it('is not answered from a cache', async () => {
    expect((await ask('/readyz')).headers.get('cache-control')).to.equal('no-store');
  });

  it('ignores a query', async () => {
    expect((await ask('/readyz?verbose=1')).status).to.equal(200);
  });

  it('answers HEAD like GET, without a body', async () => {
    const answer = await ask('/metrics', 'HEAD');
    expect(answer.status).to.equal(200);
    expect(answer.headers.get('content-length')).to.equal('17');
    expect(await answer.text()).to.equal('');
  });

  it('answers 404 for other paths and says what there is', async () => {
    for (const path of ['/', '/metrics/', '/apps/1/events', '//metrics', '/%00']) {
      const answer = await ask(path);
      expect(answer.status, path).to.equal(404);
      expect(await answer.text()).to.include('/metrics');
    }
  });

  it('answers 405 for other methods', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const answer = await ask('/metrics', method);
      expect(answer.status, method).to.equal(405);
      expect(answer.headers.get('allow')).to.equal('GET, HEAD');
    }
  });

  it('answers 500 where the figures cannot be had, logs it, and goes on', async () => {
    scrape = () => Promise.reject(new Error('no figures today'));
    const answer = await ask('/metrics');
    expect(answer.status).to.equal(500);
    expect(await answer.text()).to.not.include('no figures today');
    expect(lines.join('')).to.include('no figures today');
    expect((await ask('/healthz')).status).to.equal(200);
  });

  it('survives bytes that are no HTTP', async () => {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(operations.port, '127.0.0.1', () =>
        socket.end('\u0016\u0003\u0001 nonsense\r\n\r\n'),
      );
      socket.on('error', reject);
      socket.on('close', () => resolve());
      socket.resume();
    });
    expect((await ask('/healthz')).status).to.equal(200);
  });

  it('says which address it could not have', async () => {
    const { port } = operations;
    const failure = await start(port).then(
      () => undefined,
      (error: unknown) => error as Error,
    );
    expect(failure?.message).to.include(`127.0.0.1:${port}`).and.include('EADDRINUSE');
  });

  it('closes at once, open connections included, and any number of times', async () => {
    const closed = new Promise<void>((resolve) => {
      const socket = connect(operations.port, '127.0.0.1', () => {
        socket.write('GET /metrics HTTP/1.1\r\n');
        void operations.close();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
    });
    await closed;
    await Promise.all([operations.close(), operations.close()]);
    const refused = await ask('/healthz').catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(Error);
  });
});
