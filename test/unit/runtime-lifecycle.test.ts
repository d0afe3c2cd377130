import { EventEmitter } from 'node:events';
import { expect } from 'chai';
import { type Role, runUntilSignal } from '../../runtime/lifecycle.ts';
import { createLog } from '../../runtime/log.ts';
import { createManualClock } from '../support/manual-clock.ts';

interface Stop {
  readonly drainMs: number;
  finish(): void;
  fail(error: Error): void;
}

/** A role whose stop the test ends by hand. */
function createRole() {
  const stops: Stop[] = [];
  const role: Role = {
    readiness: () => ({ ready: true }),
    stop: (drainMs) =>
      new Promise((resolve, reject) => {
        stops.push({ drainMs, finish: resolve, fail: reject });
      }),
  };
  return { role, stops };
}

function run(roles: readonly Role[], drainMs = 1_000) {
  const clock = createManualClock();
  const signals = new EventEmitter();
  const exits: number[] = [];
  const lines: string[] = [];
  const hangups: number[] = [];
  let code: number | undefined;
  const ended = runUntilSignal(roles, {
    drainMs,
    clock,
    log: createLog('debug', {}, { write: (line) => lines.push(line) }),
    signals: signals as unknown as NodeJS.Process,
    exit: (exitCode) => exits.push(exitCode),
    hangup: () => hangups.push(clock.now()),
  }).then((result) => {
    code = result;
  });
  return {
    clock,
    exits,
    lines,
    hangups,
    ended,
    signal: (name: 'SIGTERM' | 'SIGINT' | 'SIGHUP') => signals.emit(name, name),
    listeners: () =>
      ['SIGTERM', 'SIGINT', 'SIGHUP'].reduce((sum, name) => sum + signals.listenerCount(name), 0),
    code: () => code,
  };
}

describe('runUntilSignal', () => {
  it('does nothing until a signal comes', async () => {
    const { role, stops } = createRole();
    const process = run([role]);
    await process.clock.advanceAsync(3_600_000);
    expect(stops).to.deep.equal([]);
    expect(process.code()).to.equal(undefined);
    expect(process.clock.pendingTimers).to.equal(0);
  });

  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    it(`stops every role on ${name}, with the time to drain, and ends with 0 when all have stopped`, async () => {
      const [edge, router] = [createRole(), createRole()];
      const process = run([edge.role, router.role], 1_234);
      process.signal(name);
      await process.clock.advanceAsync(0);
      expect([...edge.stops, ...router.stops].map(({ drainMs }) => drainMs)).to.deep.equal([
        1_234, 1_234,
      ]);

      router.stops[0]?.finish();
      await process.clock.advanceAsync(0);
      expect(process.code(), 'one is still draining').to.equal(undefined);

      edge.stops[0]?.finish();
      await process.ended;
      expect(process.code()).to.equal(0);
      expect(process.exits).to.deep.equal([]);
      expect(process.clock.pendingTimers).to.equal(0);
      expect(process.listeners()).to.equal(0);
    });
  }

  it('ends with 1, and says why, where a role failed to stop; the others stop all the same', async () => {
    const [edge, router] = [createRole(), createRole()];
    const process = run([edge.role, router.role]);
    process.signal('SIGTERM');
    await process.clock.advanceAsync(0);
    edge.stops[0]?.fail(new Error('the listener would not close'));
    router.stops[0]?.finish();
    await process.ended;
    expect(process.code()).to.equal(1);
    expect(process.lines.join('')).to.include('the listener would not close');
  });

  it('takes a role that throws at once for one that failed', async () => {
    const { role, stops } = createRole();
    const broken: Role = {
      readiness: () => ({ ready: true }),
      stop: () => {
        throw new Error('broken');
      },
    };
    const process = run([broken, role]);
    process.signal('SIGTERM');
    await process.clock.advanceAsync(0);
    stops[0]?.finish();
    await process.ended;
    expect(process.code()).to.equal(1);
  });

  it('exits at once, with 130, on a second signal of either kind', async () => {
    const { role, stops } = createRole();
    const process = run([role]);
    process.signal('SIGTERM');
    expect(process.exits).to.deep.equal([]);
    process.signal('SIGINT');
    expect(process.exits).to.deep.equal([130]);
    await process.clock.advanceAsync(0);
    expect(stops, 'nobody is stopped twice').to.have.lengthOf(1);
    stops[0]?.finish();
    await process.ended;
  });

  it('exits with 1 five seconds after the drain where a role does not stop', async () => {
    const { role, stops } = createRole();
    const process = run([role], 1_000);
    process.signal('SIGTERM');
    await process.clock.advanceAsync(5_999);
    expect(process.exits).to.deep.equal([]);
    await process.clock.advanceAsync(1);
    expect(process.exits).to.deep.equal([1]);
    stops[0]?.finish();
    await process.ended;
  });

  it('hands every SIGHUP over, but none once it stops', async () => {
    const { role, stops } = createRole();
    const process = run([role]);
    process.signal('SIGHUP');
    process.signal('SIGHUP');
    expect([process.hangups.length, stops.length]).to.deep.equal([2, 0]);
    process.signal('SIGTERM');
    process.signal('SIGHUP');
    await process.clock.advanceAsync(0);
    expect([process.hangups.length, process.exits.length, stops.length]).to.deep.equal([2, 0, 1]);
    stops[0]?.finish();
    await process.ended;
    expect(process.listeners()).to.equal(0);
  });

  it('leaves SIGHUP to its default where nobody takes it', () => {
    const signals = new EventEmitter();
    void runUntilSignal([], {
      drainMs: 0,
      clock: createManualClock(),
      log: createLog('silent'),
      signals: signals as unknown as NodeJS.Process,
      exit: () => undefined,
    });
    expect(signals.listenerCount('SIGHUP')).to.equal(0);
    expect(signals.listenerCount('SIGTERM')).to.equal(1);
  });

  it('ends at once where there is nothing to stop', async () => {
    const process = run([]);
    process.signal('SIGTERM');
    await process.ended;
    expect(process.code()).to.equal(0);
  });
});
