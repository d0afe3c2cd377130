import { expect } from 'chai';
import { isJsonObject, maxJsonDepth, nestsDeeperThan, own } from '../../contracts/json-guard.ts';

const nested = (depth: number) => Buffer.from('['.repeat(depth) + ']'.repeat(depth));

describe('nestsDeeperThan', () => {
  it('allows 64 levels and not one more', () => {
    expect(maxJsonDepth).to.equal(64);
    expect(nestsDeeperThan(nested(64), 64)).to.equal(false);
    expect(nestsDeeperThan(nested(65), 64)).to.equal(true);
  });

  it('counts objects and lists alike', () => {
    const mixed = (depth: number) => Buffer.from('{"a":['.repeat(depth) + ']}'.repeat(depth));
    expect(nestsDeeperThan(mixed(32), 64)).to.equal(false);
    expect(nestsDeeperThan(mixed(33), 64)).to.equal(true);
  });

  it('does not count brackets inside strings', () => {
    const text = (body: string) => nestsDeeperThan(Buffer.from(`["${body}"]`), 64);
    expect(text('['.repeat(1_000))).to.equal(false);
    expect(text(`\\"${'['.repeat(1_000)}`)).to.equal(false);
    expect(text(`é${'{'.repeat(1_000)}`)).to.equal(false);
  });

  it('is not fooled by an escaped backslash before the end of a string', () => {
    expect(nestsDeeperThan(Buffer.from(`["\\\\",${'['.repeat(64)}`), 64)).to.equal(true);
  });

  it('counts siblings once', () => {
    expect(nestsDeeperThan(Buffer.from(`[${'[],'.repeat(10_000)}[]]`), 2)).to.equal(false);
  });

  it('reads a million brackets without running out of stack', () => {
    expect(nestsDeeperThan(nested(1_000_000), 64)).to.equal(true);
  });

  it('reads what is not JSON, or nothing', () => {
    expect(nestsDeeperThan(Buffer.alloc(0), 64)).to.equal(false);
    expect(nestsDeeperThan(Buffer.from(']]]]"\\'), 64)).to.equal(false);
  });
});

describe('isJsonObject', () => {
  it('knows an object from a list, null and the rest', () => {
    expect(isJsonObject({})).to.equal(true);
    for (const value of [null, [], 'x', 1, true, undefined]) {
      expect(isJsonObject(value)).to.equal(false);
    }
  });
});

describe('own', () => {
  it('reads what the document holds, even where a name is special in JavaScript', () => {
    const document = JSON.parse('{"a":1,"__proto__":{"b":2}}') as Record<string, unknown>;
    expect(own(document, 'a')).to.equal(1);
    expect(own(document, '__proto__')).to.deep.equal({ b: 2 });
    expect(own(document, 'b')).to.equal(undefined);
  });

  it('does not read what every object has', () => {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
      expect(own({}, name)).to.equal(undefined);
    }
  });
});
