import { expect } from 'chai';
import { cacheAnswer } from '../../edge/api/cache-answer.ts';

const now = 1_000_000_000;
const frame = (data: unknown) =>
  Buffer.from(JSON.stringify({ event: 'e', channel: 'cache-a', data, id: 'x' }));

describe('cacheAnswer', () => {
  const at = (ageMs: number, body = frame('{"a":1.0}')) =>
    cacheAnswer({ body, publishedAtMs: now - ageMs }, now, 60);

  it('has the data as it was published, and the seconds that are left', () => {
    expect(at(0)).to.deep.equal({ data: '{"a":1.0}', ttl: 60 });
    expect(at(1_000)).to.deep.equal({ data: '{"a":1.0}', ttl: 59 });
    expect(at(59_999)?.ttl).to.equal(1);
  });

  it('is null without an event and after its time', () => {
    expect(cacheAnswer(undefined, now, 60)).to.equal(null);
    expect(at(60_000)).to.equal(null);
    expect(at(1_000_000)).to.equal(null);
  });

  it('promises no more than the whole time where the publisher was ahead', () => {
    expect(at(-5_000)?.ttl).to.equal(60);
  });

  it('is null for what is no frame', () => {
    for (const body of ['', 'x', 'null', '[]', '{}', '{"data":{}}', '{"__proto__":{"data":"x"}}']) {
      expect(at(0, Buffer.from(body)), body).to.equal(null);
    }
  });
});
