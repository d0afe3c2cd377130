import { expect } from 'chai';
import { parseChannelData, parseUserData } from '../../contracts/pusher/identity.ts';
import { errorOf, okOf } from '../support/result.ts';

const member = (text: string, maxBytes = 100) => parseChannelData(text, maxBytes);
const user = (text: string, maxWatched = 3) => parseUserData(text, 100, maxWatched);

describe('parseChannelData', () => {
  it('reads user_id and user_info', () => {
    expect(okOf(member('{"user_id":"a","user_info":{"n": 1}}'))).to.deep.equal({
      userId: 'a',
      info: '{"n":1}',
    });
    for (const text of ['{"user_id":"a"}', '{"user_id":"a","user_info":null}']) {
      expect(okOf(member(text)).info, text).to.equal(null);
    }
    expect(okOf(member('{"user_id":"a","user_info":"x"}')).info).to.equal('"x"');
  });

  it('makes the same text of a number as the client does, which looks itself up under it', () => {
    for (const [number, text] of [
      ['10', '10'],
      ['0', '0'],
      ['-3', '-3'],
      ['1.50', '1.5'],
      ['12345678901234567890', '12345678901234567000'],
    ] as const) {
      expect(okOf(member(`{"user_id":${number}}`)).userId, number).to.equal(text);
    }
  });

  it('refuses what is no id', () => {
    for (const id of [
      '""',
      'null',
      'true',
      '{}',
      '["a"]',
      '"\\ud800"',
      '1e999',
      `"${'x'.repeat(129)}"`,
    ]) {
      expect(errorOf(member(`{"user_id":${id}}`)), id).to.match(/user_id must be/);
    }
    expect(errorOf(member('{}'))).to.match(/user_id must be/);
    expect(errorOf(member('{"__proto__":{"user_id":"a"}}'))).to.match(/user_id must be/);
    expect(okOf(member(`{"user_id":"${'x'.repeat(128)}"}`)).userId).to.have.length(128);
  });

  it('refuses what is no JSON object, however deep', () => {
    for (const text of ['', 'x', '1', 'null', '[]', '"{}"', '['.repeat(100_000)]) {
      expect(errorOf(member(text)), text.slice(0, 5)).to.match(/not a JSON object/);
    }
  });

  it('bounds user_info in bytes of its JSON', () => {
    const text = (info: string) => JSON.stringify({ user_id: 'a', user_info: info });
    expect(member(text('x'.repeat(8)), 10).ok).to.equal(true);
    expect(errorOf(member(text('x'.repeat(9)), 10))).to.match(/11 bytes, at most 10/);
    expect(errorOf(member(text('é'.repeat(5)), 10))).to.match(/12 bytes/);
  });
});

describe('parseUserData', () => {
  it('reads id, user_info and watchlist, each watched user once', () => {
    expect(okOf(user('{"id":"7","user_info":{"n":1},"watchlist":["a",2,"a"]}'))).to.deep.equal({
      userId: '7',
      info: '{"n":1}',
      watchlist: ['a', '2'],
      watchlistOverflow: 0,
    });
    expect(okOf(user('{"id":"7"}')).watchlist).to.deep.equal([]);
  });

  it('wants the id as text, since pusher-js throws on anything else', () => {
    for (const id of ['7', 'null', '""', `"${'x'.repeat(129)}"`]) {
      expect(errorOf(user(`{"id":${id}}`)), id).to.equal(
        'user_data.id must be text, of 1 to 128 characters',
      );
    }
  });

  it('cuts a long watchlist and says by how much', () => {
    const { watchlist, watchlistOverflow } = okOf(
      user('{"id":"7","watchlist":["a","b","c","d","e"]}'),
    );
    expect(watchlist).to.deep.equal(['a', 'b', 'c']);
    expect(watchlistOverflow).to.equal(2);
  });

  it('refuses a watchlist that is none', () => {
    for (const list of ['{}', '"a"', '[null]', '[""]', '[{}]']) {
      expect(errorOf(user(`{"id":"7","watchlist":${list}}`)), list).to.match(/watchlist/);
    }
  });
});
