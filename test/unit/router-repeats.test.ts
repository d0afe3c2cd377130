import { expect } from 'chai';
import type { DomainEvent } from '../../contracts/domain-event.ts';
import { createRepeats, maxRemembered, rememberedMs, repeatKey } from '../../router/repeats.ts';
import { createManualClock } from '../support/manual-clock.ts';

const event = (id: string | undefined, source?: string): DomainEvent => ({
  key: 'k',
  attributes: {},
  headers: {},
  data: null,
  payload: 'null',
  ...(id === undefined ? {} : { id }),
  ...(source === undefined ? {} : { source }),
});

describe('repeatKey', () => {
  it('differs by id and source, and is absent without an id', () => {
    expect(repeatKey(event(undefined, '/s'))).to.equal(undefined);
    const keys = [
      event('a'),
      event('b'),
      event('a', '/s'),
      event('a', '/t'),
      event('","', 'x'),
      event('"', ',"x'),
      event('a'.repeat(500)),
      event('a'.repeat(501)),
    ].map(repeatKey);
    expect(new Set(keys).size).to.equal(keys.length);
    expect(repeatKey(event('a', '/s'))).to.equal(repeatKey(event('a', '/s')));
  });

  it('is short, however long the id is', () => {
    expect(repeatKey(event('x'.repeat(1_000_000)))?.length).to.be.below(101);
  });
});

describe('createRepeats', () => {
  const setUp = (maxRemembered = 3) => {
    const clock = createManualClock();
    const repeats = createRepeats(clock, { maxRemembered, rememberedMs: 1_000 });
    return { clock, repeats, follow: (key: string) => repeats.follow(key, Promise.resolve()) };
  };

  it('remembers as much as docs/delivery.md says', () => {
    expect([maxRemembered, rememberedMs]).to.deep.equal([50_000, 10 * 60_000]);
  });

  it('remembers what is done for its time, and no longer', async () => {
    const { clock, repeats, follow } = setUp();
    await follow('a');
    clock.advance(999);
    expect(repeats.seen('a')).to.equal(true);
    clock.advance(1);
    expect(repeats.seen('a')).to.equal(false);
  });

  it('remembers so many, and forgets the oldest first', async () => {
    const { repeats, follow } = setUp();
    for (const key of ['a', 'b', 'c', 'd']) await follow(key);
    expect(['a', 'b', 'c', 'd'].map((key) => repeats.seen(key))).to.deep.equal([
      false,
      true,
      true,
      true,
    ]);
  });

  it('gives the outcome of what is in hand, and forgets what failed', async () => {
    const { repeats } = setUp();
    let fail: (error: Error) => void = () => undefined;
    const handled = new Promise<void>((_, reject) => {
      fail = reject;
    });
    const followed = repeats.follow('a', handled).catch((error: unknown) => error);
    const seen = Promise.resolve(repeats.seen('a')).catch((error: unknown) => error);
    const error = new Error('away');
    fail(error);
    expect([await followed, await seen]).to.deep.equal([error, error]);
    expect(repeats.seen('a')).to.equal(false);
  });
});
