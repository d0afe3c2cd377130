import { expect } from 'chai';
import { AnswerCache, answerKey } from '../../edge/authorizer/answer-cache.ts';
import { Gate } from '../../edge/authorizer/gate.ts';
import { createManualClock } from '../support/manual-clock.ts';

describe('AnswerCache', () => {
  it('keeps an answer until its time', () => {
    const cache = new AnswerCache<string>(10);
    cache.set('a', 'yes', 100);
    expect([cache.get('a', 99), cache.get('a', 100), cache.size]).to.deep.equal([
      'yes',
      undefined,
      0,
    ]);
  });

  it('forgets the oldest beyond its bound', () => {
    const cache = new AnswerCache<number>(3);
    for (let at = 0; at < 1_000; at += 1) cache.set(String(at), at, 10_000);
    expect([cache.size, cache.get('996', 0), cache.get('997', 0)]).to.deep.equal([
      3,
      undefined,
      997,
    ]);
  });

  it('knows apart what differs in any part', () => {
    const keys = [
      ['a', 'b', null, {}],
      ['a', 'b', 'null', {}],
      ['a', 'b', null, { c: 1 }],
      ['ab', '', null, {}],
    ].map(answerKey);
    expect(new Set(keys).size).to.equal(4);
    expect(keys.every((key) => key.length === 44)).to.equal(true);
  });
});

describe('Gate', () => {
  it('lets in as many as it holds, then in the order of arrival', async () => {
    const gate = new Gate(createManualClock(), 1, 2);
    const order: string[] = [];
    const enter = (name: string) =>
      gate.enter(1_000).then((entered) => order.push(`${name} ${entered}`));
    const all = ['a', 'b', 'c', 'd'].map(enter);
    await Promise.all([all[0], all[3]]);
    expect(order).to.deep.equal(['a true', 'd false']);
    gate.leave();
    await all[1];
    gate.leave();
    await all[2];
    expect(order.slice(2)).to.deep.equal(['b true', 'c true']);
  });

  it('turns away who has waited for too long, and leaves no timer behind', async () => {
    const clock = createManualClock();
    const gate = new Gate(clock, 1, 5);
    await gate.enter(100);
    const [late, patient] = [gate.enter(100), gate.enter(1_000)];
    await clock.advanceAsync(100);
    expect(await late).to.equal(false);
    gate.leave();
    expect(await patient).to.equal(true);
    gate.leave();
    expect(await gate.enter(1)).to.equal(true);
    expect(clock.pendingTimers).to.equal(0);
  });
});
