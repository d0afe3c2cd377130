import { expect } from 'chai';
import {
  formatProblem,
  formatProblems,
  type Problem,
  problemLines,
} from '../../config/problems.ts';
import { readSource } from '../../config/source.ts';

function problemsOf(text: string): readonly Problem[] {
  const source = readSource(text, 'warren.yaml');
  return source.ok ? [] : source.error;
}

const first = (text: string) => problemsOf(text)[0];

describe('readSource', () => {
  it('reads an empty file and one with comments only as an empty map', () => {
    for (const text of ['', '\n', '# nothing yet\n', '---\n']) {
      const source = readSource(text, 'warren.yaml');
      expect(source.ok && source.value.value, JSON.stringify(text)).to.deep.equal({});
    }
  });

  const mistakes: readonly (readonly [string, string, number, number, RegExp])[] = [
    ['a tab', 'events:\n\t- on: a', 2, 1, /indented with a tab/],
    ['an unquoted pattern', 'events:\n  - on: *.created', 2, 9, /starts with \*/],
    ['a lone star', 'events:\n  - on: *\n    to: x', 2, 9, /starts with \*/],
    ['an unquoted !', 'allow: !claims.admin', 1, 8, /starts with !/],
    ['a reserved character', 'a: @x', 1, 4, /reserved by YAML/],
    ['text behind a quote', "when: 'a' in data.b", 1, 11, /goes on after the end of a quoted/],
    ['text behind a template', 'to: {data.x}.y', 1, 13, /goes on after the }/],
    ['a second colon', 'when: data.a == "x: y": z', 1, 7, /another key/],
    ['a key given twice', 'a: 1\nb: 2\na: 3', 3, 1, /"a" twice; the first is on line 1/],
    ['two documents', 'a: 1\n---\nb: 2', 2, 1, /more than one document/],
    ['a list at the root', '- a', 1, 1, /must be a map of keys/],
    ['text at the root', 'hello', 1, 1, /must be a map of keys/],
    ['a key that is a list', '? [a]\n: b', 1, 3, /key that is not text/],
    ['no space behind the colon', 'a:1\nb: 2', 1, 1, /key without ": "/],
    ['an open quote', "a: 'x\nb: 1", 2, 5, /ends inside a quoted/],
    ['a tag', 'a: !!binary aGk=', 1, 4, /starts with !/],
  ];
  for (const [name, text, line, column, message] of mistakes) {
    it(`says where and what: ${name}`, () => {
      const problem = first(text);
      expect(problem?.message).to.match(message);
      expect([problem?.line, problem?.column]).to.deep.equal([line, column]);
    });
  }

  it('finds every duplicate key, each once', () => {
    const found = problemsOf('a: 1\na: 2\nb: { c: 1, d: 2 }\ne: { c: 1,\n  c: 2 }');
    expect(found.map((problem) => problem.line)).to.deep.equal([2, 5]);
  });

  const bombs: Readonly<Record<string, string>> = {
    aliases: [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      'b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]',
      'c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]',
      'd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]',
    ].join('\n'),
    'an alias within its own anchor': 'a: &a [*a]',
    brackets: '['.repeat(100_000),
    'closed brackets': 'a: '.concat('['.repeat(5_000), ']'.repeat(5_000)),
    braces: 'a: '.concat('{a: '.repeat(50_000)),
    dashes: '- '.repeat(100_000).concat('a'),
    'question marks': '? '.repeat(100_000).concat('a'),
    'nested blocks': Array.from({ length: 1_000 }, (_, at) => `${' '.repeat(at)}a:`).join('\n'),
    'colons on one line': 'a: '.repeat(50_000),
    'more than a mebibyte': `a: ${'x'.repeat(1024 * 1024)}`,
  };
  for (const [name, text] of Object.entries(bombs)) {
    it(`refuses in a sentence and in time: ${name}`, () => {
      const startedMs = performance.now();
      const found = problemsOf(text);
      expect(found).to.have.length(1);
      expect(found[0]?.message).to.match(/nests deeper|aliases|bytes/);
      expect(formatProblems(found).length).to.be.below(500);
      expect(performance.now() - startedMs).to.be.below(1_000);
    });
  }

  it('takes time in proportion to the number of keys', () => {
    const text = Array.from({ length: 20_000 }, (_, at) => `k${at}: 1`).join('\n');
    const startedMs = performance.now();
    expect(problemsOf(text)).to.deep.equal([]);
    expect(performance.now() - startedMs).to.be.below(10_000);
  });

  it('keeps hostile keys as own properties of a plain map', () => {
    const source = readSource('__proto__: { polluted: 1 }\nconstructor: 2', 'warren.yaml');
    expect(source.ok && Object.keys(source.value.value)).to.deep.equal([
      '__proto__',
      'constructor',
    ]);
    expect(({} as Record<string, unknown>)['polluted']).to.equal(undefined);
  });
});

describe('formatProblem', () => {
  it('points at the place, below the line', () => {
    const problem = first('events:\n  - on: *.created');
    expect(problem && formatProblem(problem)).to.equal(
      [
        'warren.yaml:2:9  holds a value that starts with *, which YAML takes for an alias',
        '     2 |   - on: *.created',
        '       |         ^',
        "    cure: put quotes around the value: on: '*.created'",
      ].join('\n'),
    );
  });

  it('never shows a secret, wherever on the line it stands', () => {
    for (const text of [
      'secret: *s3cr3t',
      "apps: [{ id: a, key: 'b, secret: s3cr3t }]",
      '"secret": !s3cr3t x',
      'secret: |\n  s3cr3t\n s3cr3t\n  @',
      "secret: 's3cr3t\n  s3cr3t",
    ]) {
      expect(formatProblems(problemsOf(text)), text)
        .to.not.equal('')
        .and.not.contain('s3cr3t');
    }
  });

  it('does not let the file drive the terminal', () => {
    const text = formatProblems(problemsOf('"\u009b31mred\u202e": 1\n"\u009b31mred\u202e": 2'));
    expect(text).to.not.match(/[\u0080-\u009f\u202e]/);
  });

  it('cuts a long line around the column', () => {
    const text = formatProblems(problemsOf(`a: [${'"x", '.repeat(100)} @]`));
    const [, line = '', caret = ''] = text.split('\n');
    expect(line.length).to.be.below(120);
    expect(line.charAt(caret.indexOf('^'))).to.equal('@');
  });
});

describe('problemLines', () => {
  const problem = (line: number): Problem => ({
    file: 'warren.yaml',
    line,
    column: 1,
    path: 'events',
    message: 'is wrong',
    excerpt: 'the line\n^',
    cure: 'write it right',
  });

  it('puts each problem on one line, cure included and excerpt left out', () => {
    expect(problemLines([problem(1)])).to.deep.equal([
      'warren.yaml:1:1  events is wrong (write it right)',
    ]);
  });

  it('shows fifty at most, and says how many more there are', () => {
    const problems = (count: number) => Array.from({ length: count }, (_, at) => problem(at + 1));
    expect(problemLines(problems(50))).to.have.length(50);
    expect(problemLines(problems(53)).slice(50)).to.deep.equal(['and 3 more']);
  });
});
