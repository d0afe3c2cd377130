import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import { ConfirmedBuffer, type ConfirmedBufferLimits } from '../../edge/confirmed-buffer.ts';
import { createManualClock } from '../support/manual-clock.ts';

interface Call {
  readonly text: string;
  confirm(): void;
  reject(): void;
}

const limits: ConfirmedBufferLimits = {
  maxWaiting: 5,
  maxWaitingBytes: 1_000,
  maxUnconfirmed: 3,
  republishMs: 1_000,
};

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** A broker that answers when the test says so. */
function harness(overrides: Partial<ConfirmedBufferLimits> = {}) {
  const clock = createManualClock();
  const calls: Call[] = [];
  const heard: string[] = [];
  const parts = {
    bytes: (report: Buffer) => report.length,
    publish: (report: Buffer) =>
      new Promise<void>((resolve, reject) => {
        calls.push({
          text: report.toString(),
          confirm: resolve,
          reject: () => reject(new BrokerError('broker_unavailable', 'away')),
        });
      }),
  };
  const buffer = new ConfirmedBuffer(
    parts,
    clock,
    { ...limits, ...overrides },
    {
      interrupted: () => heard.push('interrupted'),
      restored: (dropped) => heard.push(`restored ${dropped}`),
      dropped: (reports) => heard.push(`dropped ${reports}`),
    },
  );
  const push = (...texts: string[]) => {
    for (const text of texts) buffer.push(Buffer.from(text));
  };
  const published = () => calls.map(({ text }) => text);
  return { clock, calls, heard, buffer, push, published };
}

describe('ConfirmedBuffer', () => {
  it('publishes in order, and no more at a time than it may leave unconfirmed', async () => {
    const { calls, push, published, buffer } = harness();
    push('a', 'b', 'c', 'd', 'e');
    expect(published()).to.deep.equal(['a', 'b', 'c']);
    calls[1]?.confirm();
    await turn();
    expect(published()).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(buffer.size).to.equal(4);
  });

  it('publishes again, in order, what was not confirmed, and nothing before that', async () => {
    const { calls, push, published, clock, heard } = harness();
    push('a', 'b', 'c', 'd');
    calls[0]?.reject();
    calls[1]?.confirm();
    await turn();
    push('e');
    await clock.advanceAsync(10_000);
    expect(published()).to.deep.equal(['a', 'b', 'c']);
    calls[2]?.reject();
    await clock.advanceAsync(999);
    expect(published()).to.deep.equal(['a', 'b', 'c']);
    await clock.advanceAsync(1);
    expect(published().slice(3)).to.deep.equal(['a', 'c', 'd']);
    for (const call of calls.slice(3)) call.confirm();
    await turn();
    expect(published().slice(6)).to.deep.equal(['e']);
    expect(heard).to.deep.equal(['interrupted', 'restored 0']);
  });

  it('says once per episode that the broker is away, and what was dropped when it is back', async () => {
    const { calls, push, heard, clock, buffer, published } = harness();
    const failAll = async () => {
      for (const call of calls) call.reject();
      await turn();
    };
    push('a');
    await failAll();
    push('b', 'c', 'd', 'e', 'f', 'g');
    expect(buffer.size).to.equal(5);
    for (let round = 0; round < 3; round += 1) {
      await clock.advanceAsync(1_000);
      await failAll();
    }
    const before = published().length;
    await clock.advanceAsync(1_000);
    expect(published().slice(before)).to.deep.equal(['c', 'd', 'e']);
    for (const call of calls) call.confirm();
    await turn();
    for (const call of calls) call.confirm();
    await turn();
    expect(heard).to.deep.equal(['interrupted', 'dropped 1', 'dropped 1', 'restored 2']);
    expect(buffer.size).to.equal(0);
  });

  it('drops the oldest beyond its bytes', async () => {
    const { calls, push, heard, published, clock } = harness({ maxWaitingBytes: 10 });
    push('1234');
    calls[0]?.reject();
    await turn();
    push('5678', '90');
    expect(heard).to.deep.equal(['interrupted']);
    push('x');
    expect(heard).to.deep.equal(['interrupted', 'dropped 1']);
    await clock.advanceAsync(1_000);
    expect(published().slice(1)).to.deep.equal(['5678', '90', 'x']);
  });

  it('resolves once everything is confirmed', async () => {
    const { calls, push, buffer } = harness();
    await buffer.emptied();
    push('a', 'b');
    let emptied = false;
    const waiting = buffer.emptied().then(() => {
      emptied = true;
    });
    calls[0]?.confirm();
    await turn();
    expect(emptied).to.equal(false);
    calls[1]?.confirm();
    await waiting;
  });

  it('drops and counts what is left when it is closed, and all that comes later', async () => {
    const { calls, push, buffer, heard, clock } = harness();
    push('a', 'b');
    calls[0]?.reject();
    calls[1]?.reject();
    await turn();
    buffer.close();
    buffer.close();
    push('c');
    expect(heard).to.deep.equal(['interrupted', 'dropped 2', 'dropped 1']);
    expect(clock.pendingTimers).to.equal(0);
    await buffer.emptied();
  });
});
