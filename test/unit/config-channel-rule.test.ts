import { expect } from 'chai';
import fc from 'fast-check';
import { type ChannelRuleName, compileChannelRuleName } from '../../config/channel-rule.ts';

function compile(source: string): ChannelRuleName {
  const name = compileChannelRuleName(source, 200);
  if (!name.ok) throw new Error(`${source}: ${name.error.message}`);
  return name.value;
}

const match = (source: string, channel: string) => {
  const parameters = compile(source).match(channel);
  return parameters === undefined ? undefined : { ...parameters };
};

describe('compileChannelRuleName', () => {
  it('matches whole names and yields the parameters as text', () => {
    expect(match('private-chat.{room}', 'private-chat.42')).to.deep.equal({ room: '42' });
    expect(match('presence-{a}.x.{b}', 'presence-1.x.2')).to.deep.equal({ a: '1', b: '2' });
    expect(match('private-fixed', 'private-fixed')).to.deep.equal({});
    expect(match('private-{room}', 'private-encrypted-x')).to.deep.equal({ room: 'encrypted-x' });
  });

  it('is anchored at both ends, and a parameter is neither empty nor across a dot', () => {
    for (const channel of [
      'private-chat.',
      'private-chat.1.2',
      'xprivate-chat.1',
      'private-chat.1.',
      'private-chatx1',
      'Private-chat.1',
      'private-chat',
      '',
    ]) {
      expect(match('private-chat.{room}', channel), channel).to.equal(undefined);
    }
  });

  it('takes nothing in a name for a regular expression', () => {
    for (const source of ['private-a.b', 'private-a=@,;b']) {
      expect(match(source, source)).to.deep.equal({});
      expect(match(source, source.replace('.', 'x').replace(';', ''))).to.equal(undefined);
    }
  });

  it('gives the earlier parameter the shorter text where a name can be read in two ways', () => {
    expect(match('private-{a}-{b}', 'private-x-y-z')).to.deep.equal({ a: 'x', b: 'y-z' });
    expect(match('private-{a}-{b}-c', 'private-x-y-c-c')).to.deep.equal({ a: 'x', b: 'y-c' });
    expect(match('private-{a}-{b}', 'private---')).to.deep.equal(undefined);
    expect(match('private-{a}-{b}', 'private----')).to.deep.equal({ a: '-', b: '-' });
  });

  it('puts the parameters on an object that inherits nothing', () => {
    const parameters = compile('private-{toString}').match('private-x');
    expect(Object.getPrototypeOf(parameters)).to.equal(null);
  });

  it('reaches public channels only with a name of public ones, and only where that is asked for', () => {
    const name = compileChannelRuleName('{kind}-{x}', 200, true);
    if (!name.ok) throw new Error(name.error.message);
    expect(name.value.public).to.equal(true);
    expect({ ...name.value.match('cache-x') }).to.deep.equal({ kind: 'cache', x: 'x' });
    for (const channel of ['private-x', 'presence-x', 'private-encrypted-x', '#server-to-user-x']) {
      expect(name.value.match(channel), channel).to.equal(undefined);
    }
    expect(name.value.covers(compile('private-{x}'))).to.equal(false);
    expect(compile('private-{x}').public).to.equal(false);
  });

  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /can never be a channel name/],
    ['chat.{room}', /public channel/],
    ['{kind}-chat', /public channel/],
    ['private-', /can never be a channel name/],
    ['private chat', /can never be a channel name/],
    ['#server-to-user-{id}', /channel of a user/],
    ['private-{a}{b}', /side by side/],
    ['private-{a}.{a}', /twice/],
    ['private-{user}', /which the condition has already/],
    ['private-{in}', /a word of CEL/],
    ['private-{data.id}', /not a name/],
    ['private-{}', /not a name/],
    ['private-{a', /a { without }/],
    ['private-a}', /a } without {/],
    ['private-{__proto__}', /not a name/],
    ['private-*', /can never be a channel name/],
  ];
  for (const [source, message] of wrong) {
    it(`refuses ${source || 'an empty name'}`, () => {
      const result = compileChannelRuleName(source, 200);
      expect(result.ok ? '' : result.error.message).to.match(message);
    });
  }

  it('matches exactly what the regular expression would', () => {
    const piece = fc.constantFrom('a', '-', 'ab', '.', 'x.', '=');
    const pattern = fc.array(fc.oneof(piece, fc.constant('{}')), { maxLength: 6 });
    const name = fc.string({ unit: fc.constantFrom('a', 'b', 'x', '-', '.', '='), maxLength: 14 });
    fc.assert(
      fc.property(pattern, name, (pieces, tail) => {
        let count = 0;
        const source = `private-x${pieces
          .map((one) => (one === '{}' ? `{p${count++}}` : one))
          .join('')}`;
        const compiled = compileChannelRuleName(source, 200);
        fc.pre(compiled.ok);
        if (!compiled.ok) return;
        const oracle = new RegExp(
          `^${source
            .split(/\{p\d+\}/)
            .map((literal) => literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
            .join('([^.]+?)')}$`,
        );
        const channel = `private-x${tail}`;
        const expected = oracle.exec(channel);
        const found = compiled.value.match(channel);
        expect(found && Object.values(found)).to.deep.equal(expected?.slice(1));
      }),
      { numRuns: 3_000 },
    );
  });

  it('takes time in proportion to the name, however many parameters there are', () => {
    const compiled = compile(
      `private-${'{p}'.replace('p', 'p0')}${Array.from({ length: 20 }, (_, at) => `-{p${at + 1}}`).join('')}.x`,
    );
    const startedMs = performance.now();
    for (let round = 0; round < 1_000; round += 1) {
      expect(compiled.match(`private-${'-'.repeat(190)}`)).to.equal(undefined);
    }
    expect(performance.now() - startedMs).to.be.below(500);
  });
});

describe('covers', () => {
  const covers = (earlier: string, later: string) => compile(earlier).covers(compile(later));

  it('is true only where every name of the later rule is one of the earlier', () => {
    expect(covers('private-{x}', 'private-{y}')).to.equal(true);
    expect(covers('private-{x}', 'private-a-{y}')).to.equal(true);
    expect(covers('private-{x}', 'private-a.{y}')).to.equal(false);
    expect(covers('private-a-{x}', 'private-{x}')).to.equal(false);
    expect(covers('private-{x}-a', 'private-{x}')).to.equal(false);
    expect(covers('private-{a}.{b}', 'private-x.{b}')).to.equal(true);
  });
});
