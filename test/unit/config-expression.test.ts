import { expect } from 'chai';
import { compileExpression, type Variables } from '../../config/expression.ts';

const variables: Variables = {
  data: 'any',
  claims: 'map',
  user: 'map',
  id: 'text',
};

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

const values = {
  data: {
    count: 5,
    id: 5,
    ids: [1, 5, 7],
    s: 'x',
    none: null,
    yes: true,
    thousand: numbers(1_000),
    more: numbers(1_001),
    hundred: numbers(100),
    people: [{ name: 'Ann', tags: ['a'] }],
    car: { constructor: 'Ferrari' },
    long: 'a'.repeat(10_001),
  },
  claims: { rooms: ['7'], sub: '7', level: 3 },
  user: { id: '7' },
  id: '7',
};

function test(source: string): boolean {
  const compiled = compileExpression(source, variables);
  if (!compiled.ok) throw new Error(`${source}: ${compiled.error.message}`);
  return compiled.value.test(values).ok;
}

function why(source: string): string {
  const compiled = compileExpression(source, variables);
  if (!compiled.ok) throw new Error(`${source}: ${compiled.error.message}`);
  const verdict = compiled.value.test(values);
  return verdict.ok ? 'yes' : (verdict.error ?? 'no');
}

function errorOf(source: string): string {
  const compiled = compileExpression(source, variables);
  if (compiled.ok) return '';
  return [compiled.error.message, compiled.error.cure].filter(Boolean).join(' — ');
}

describe('compileExpression', () => {
  it('does with JSON numbers what a newcomer expects', () => {
    for (const source of [
      'data.count > 3',
      '3 < data.count && data.count <= 5',
      'data.id == 5',
      '5 == data.id',
      'data.id != 6',
      'data.id == 5.0',
      'data.id in [1, 5]',
      'data.id in [1, "5", 5]',
      '5 in data.ids',
      'data.id in data.ids',
      'data.ids == [1, 5, 7]',
      'data.count + 1 == 6',
      '1 + data.count == 6',
      'data.count - 1 == 4 && data.count * 2 == 10',
      'data.count / 2 == 2.5',
      'data.count % 2 == 1',
      '-data.count == -5',
      'data.ids[1] == 5',
      'size(data.ids) == 3',
      'size(data.ids) + 2 == data.count',
      'string(data.id) == "5"',
      'int("5") == data.id',
      'claims.level >= 3',
    ]) {
      expect(test(source), source).to.equal(true);
    }
    expect(test('data.id == "5"')).to.equal(false);
  });

  it('compares text of channel names with claims and the user', () => {
    for (const source of [
      'id == user.id',
      'id == claims.sub',
      'id in claims.rooms',
      'claims.rooms.exists(room, room == id)',
      "id.startsWith('7') && !id.contains('.')",
      'int(id) == 7',
    ]) {
      expect(test(source), source).to.equal(true);
    }
  });

  it('takes true for a yes and nothing else', () => {
    expect(test('data.yes')).to.equal(true);
    for (const source of ['data.count', 'data.s', 'data.none', 'data.ids', 'data.people[0]']) {
      expect(why(source), source).to.equal('yields neither true nor false');
    }
  });

  it('takes every error for a no', () => {
    for (const source of [
      'data.missing',
      '!data.missing',
      'data.missing == false',
      'data.missing.deeper',
      'claims.missing == id',
      'data.ids[9] == 1',
      'data.s.missing == 1',
      'data.__proto__ == null',
      'data.constructor == null',
      'int(data.s) == 1',
      'data.s + 1 == 2',
      'data.car.constructor == "Ferrari"',
    ]) {
      expect(test(source), source).to.equal(false);
      expect(why(source), source).to.not.equal('no');
    }
    expect(test('has(data.count) && !has(data.missing)')).to.equal(true);
    expect(test('data.missing || data.yes')).to.equal(true);
  });

  it('gives a code for logs that repeats nothing of the data', () => {
    const compiled = compileExpression('bool(data.s)', variables);
    const verdict = compiled.ok ? compiled.value.test(values) : undefined;
    expect(verdict).to.deep.include({ ok: false, code: 'bool_conversion_error' });
  });

  const refused: readonly (readonly [string, RegExp])[] = [
    ['', /ends where a value belongs/],
    ['data.x ==', /ends where a value belongs/],
    ['data.x = 1', /== compares/],
    ['data.x === 1', /== compares/],
    ['data.x and data.y', /&& \|\| !/],
    ['not data.x', /&& \|\| !/],
    ['room == 1', /does not know "room"/],
    ['claim.x', /did you mean "claims"/],
    ['id == 5', /int\(id\) == 5/],
    ['"text"', /yields text, it must yield true or false/],
    ['1 + 1', /yields a number/],
    ['id', /yields text/],
    ['data.s.nope()', /no matching overload/],
    [`${'('.repeat(21)}true${')'.repeat(21)}`, /too large/],
    [Array(120).fill('data.yes').join(' && '), /too large/],
    [`id in [${Array(21).fill('"a"').join(',')}]`, /too large/],
    ['data.s.matches("a")', /minutes.*re2\(/],
    ['id.matches("a")', /minutes/],
    ['[id].exists(x, x.matches("a"))', /minutes/],
    ['matches(id, "a")', /minutes/],
    ['re2(data.s, data.s)', /pattern that is not a literal/],
    ['re2(data.s, "(a")', /bad pattern/],
    ['re2(data.s, "(?=a)")', /bad pattern/],
    [`re2(data.s, "${'a'.repeat(501)}")`, /more than 500/],
    ['duration(data.s) > duration("1h")', /duration on something else/],
    ['atMost(data.ids, 5) == data.ids', /atMost/],
    ['data.ids.all(a, data.ids.all(b, data.ids.all(c, a == b && b == c)))', /nests loops 3 deep/],
  ];
  for (const [source, message] of refused) {
    it(`refuses ${source.slice(0, 60) || 'nothing at all'}`, () => {
      expect(errorOf(source)).to.match(message);
    });
  }

  it('matches regular expressions in linear time', () => {
    expect(test("re2(data.s, '^x$') && !re2(data.s, 'y')")).to.equal(true);
    expect(why("re2(data.long, 'a')")).to.contain('more than 10000 characters');
    const hostile = { ...values, data: { s: `${'a'.repeat(9_999)}!` } };
    const compiled = compileExpression("re2(data.s, '^(a+)+$')", variables);
    const startedMs = performance.now();
    expect(compiled.ok && compiled.value.test(hostile).ok).to.equal(false);
    expect(performance.now() - startedMs).to.be.below(1_000);
  });

  it('bounds what a loop may walk, and more tightly where loops nest', () => {
    expect(test('data.thousand.all(n, n >= 0)')).to.equal(true);
    expect(why('data.more.all(n, n >= 0)')).to.contain('more than 1000');
    expect(why('data.more.map(n, n + 1).size() > 1')).to.contain('more than 1000');
    expect(why('data.more.filter(n, n > 1).exists(n, n == 2)')).to.contain('more than 1000');
    expect(why('(data.more).exists_one(n, n == 1)')).to.contain('more than 1000');
    expect(why('cel.bind(list, data.more, list.exists(n, n == 1))')).to.contain('more than 1000');
    expect(test('data.hundred.all(n, data.hundred.exists(m, m == n))')).to.equal(true);
    expect(why('data.hundred.all(n, data.thousand.exists(m, m == n))')).to.contain('more than 100');
    expect(why('data.thousand.all(n, data.ids.exists(m, m == n))')).to.contain('more than 100');
    expect(test('data.people.exists(p, p.tags.exists(t, t == "a"))')).to.equal(true);
    // A search is a loop as well, but alone it is linear.
    expect(test('1000 in data.more')).to.equal(true);
    expect(why('data.ids.all(n, n in data.more)')).to.contain('more than 1000');
    expect(test('data.ids.all(n, n in data.thousand)')).to.equal(true);
  });

  it('evaluates hundreds of thousands of times a second', () => {
    const compiled = compileExpression('data.count > 3 && id in claims.rooms', variables);
    if (!compiled.ok) throw new Error(compiled.error.message);
    const startedMs = performance.now();
    for (let round = 0; round < 50_000; round += 1) compiled.value.test(values);
    expect(performance.now() - startedMs).to.be.below(1_000);
  });
});
