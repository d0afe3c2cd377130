import { expect } from 'chai';
import { delay, isoTime, systemClock } from '../../runtime/clock.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('delay', () => {
  it('resolves when the time has passed, and not before', async () => {
    const clock = createManualClock();
    let done = false;
    const waiting = delay(clock, 100).then(() => {
      done = true;
    });
    await clock.advanceAsync(99);
    expect(done).to.equal(false);
    await clock.advanceAsync(1);
    expect(done).to.equal(true);
    await waiting;
  });

  it('resolves at once when the signal aborts, and leaves no timer', async () => {
    const clock = createManualClock();
    const controller = new AbortController();
    const waiting = delay(clock, 100, controller.signal);
    expect(clock.pendingTimers).to.equal(1);
    controller.abort();
    await waiting;
    expect(clock.pendingTimers).to.equal(0);
  });

  it('sets no timer where the signal has aborted already', async () => {
    const clock = createManualClock();
    await delay(clock, 100, AbortSignal.abort());
    expect(clock.pendingTimers).to.equal(0);
  });

  it('leaves no listener on a signal that outlives it', async () => {
    const clock = createManualClock();
    const signal = new AbortController().signal;
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...given: Parameters<typeof add>) => {
      listeners += 1;
      add(...given);
    };
    signal.removeEventListener = (...given: Parameters<typeof remove>) => {
      listeners -= 1;
      remove(...given);
    };
    const waiting = delay(clock, 100, signal);
    expect(listeners).to.equal(1);
    clock.advance(100);
    await waiting;
    expect(listeners).to.equal(0);
  });
});

describe('systemClock', () => {
  it('calls after a while, unless it is cancelled', async () => {
    const calls: string[] = [];
    const cancel = systemClock.after(1, () => calls.push('cancelled'));
    cancel();
    // Unreferenced timers do not keep a process alive; this one does, until the other has fired.
    const alive = setInterval(() => undefined, 1_000);
    await new Promise<void>((resolve) => {
      systemClock.after(5, () => {
        calls.push('called');
        resolve();
      });
    });
    clearInterval(alive);
    expect(calls).to.deep.equal(['called']);
  });

  it('calls again and again until it is stopped', async () => {
    const alive = setInterval(() => undefined, 1_000);
    let calls = 0;
    await new Promise<void>((resolve) => {
      const stop = systemClock.every(1, () => {
        calls += 1;
        if (calls < 3) return;
        stop();
        resolve();
      });
    });
    clearInterval(alive);
    expect(calls).to.equal(3);
  });

  it('tells two times: one of the day, and one that never goes back', () => {
    expect(systemClock.now()).to.be.closeTo(Date.now(), 1_000);
    const before = systemClock.monotonicMs();
    expect(systemClock.monotonicMs()).to.be.at.least(before);
  });
});

describe('isoTime', () => {
  it('is the time in UTC', () => {
    expect(isoTime(0)).to.equal('1970-01-01T00:00:00.000Z');
  });
});
