import { expect } from 'chai';
import fc from 'fast-check';
import { compileChannelTemplate, renderChannel } from '../../config/channel-template.ts';
import { fieldsOf, renderText } from '../../config/field.ts';
import { compileProjection, project } from '../../config/projection.ts';
import { compileTemplate } from '../../config/template.ts';
import { parseChannel } from '../../contracts/channel.ts';
import type { DomainEvent } from '../../contracts/domain-event.ts';
import type { AppId } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { topicWords } from '../../contracts/topic-pattern.ts';

function event(data: unknown, more: Partial<DomainEvent> = {}): DomainEvent {
  const payload = JSON.stringify(data) ?? 'null';
  return { key: 'a.b', attributes: {}, headers: {}, data, payload, ...more };
}

/** Names and pieces that have broken routers: wildcards, separators, prefixes, escapes, prototypes, encodings. */
const hostileText = [
  '#',
  '*',
  '.',
  '..',
  '1.admin',
  '1.#',
  'a.*',
  'private-',
  'presence-',
  'cache-',
  'encrypted-x',
  'cache-x',
  'private-x',
  'presence-x',
  'private-encrypted-cache-x',
  '#server-to-user-1',
  'user:1',
  'socket:1.2',
  '{data.secret}',
  '{{',
  '__proto__',
  'constructor',
  'toString',
  '%2e',
  '%23',
  ':',
  '+',
  '',
  ' ',
  ' 1',
  '1\n',
  '\0',
  '\u202e1',
  '１',
  'é',
  'e\u0301',
  '\ud800',
  'pusher:subscribe',
  '";x',
  'x'.repeat(300),
];

const anyText = fc.oneof(
  fc.constantFrom(...hostileText),
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('a', 'Z', '0', '-', '_', '=', '@', ',', ';', '.', '#', '*') }),
);
const anyValue = fc.oneof(
  { weight: 4, arbitrary: anyText },
  { weight: 1, arbitrary: fc.jsonValue() },
  { weight: 1, arbitrary: fc.double() },
);

const mixedTemplates = [
  'private-chat.{data.a}',
  'private-{data.a}',
  'presence-room.{data.a}.{data.b}',
  'presence-{data.a}-{data.b}',
  '{data.a}.news',
  '{data.a}-{data.b}',
  'chat-{data.a}{data.b}',
  'private-encrypted-{data.a}',
  'cache-{data.a}',
  'private-x.{headers.h}.{key.0}',
];

describe('channel templates', () => {
  it('yield a channel of the form that was written, or none, whatever the data', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...mixedTemplates),
        anyValue,
        anyValue,
        anyText,
        (source, a, b, h) => {
          const compiled = compileChannelTemplate(source, 200);
          if (!compiled.ok || compiled.value.kind !== 'mixed') throw new Error(source);
          const subject = event({ a, b }, { headers: { h }, key: `${h}.x` });
          const rendered = renderChannel(fieldsOf(subject), compiled.value, 200);
          if (!rendered.ok) return;
          const { name } = rendered.value;
          // Literal text stands where it was written, and each value is one segment between.
          const form = source
            .split(/\{[^}]*\}/)
            .map((literal) => literal.replace(/[.]/g, '\\.'))
            .join('[A-Za-z0-9_\\-=@,;]+');
          expect(name).to.match(new RegExp(`^${form}$`));
          // As many words as the template has, so no word is added or swallowed.
          const dots = (text: string) => text.split('.').length;
          expect(dots(name)).to.equal(dots(source.replace(/\{[^}]*\}/g, 'x')));
          // The kind is the author's, so data cannot move an event to where other rules guard, or none.
          const { kind, cache, encrypted } = compiled.value.skeleton;
          expect(parseChannel(name)).to.deep.nested.include({
            'value.kind': kind,
            'value.cache': cache,
            'value.encrypted': encrypted,
          });
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it('yield routing keys of two words without a wildcard, whole names and users included', () => {
    const sources = [...mixedTemplates, '{data.a}', 'user:{data.a}', 'user:t-{data.a}', '{key}'];
    fc.assert(
      fc.property(fc.constantFrom(...sources), anyValue, anyValue, (source, a, b) => {
        const compiled = compileChannelTemplate(source, 200);
        if (!compiled.ok) throw new Error(source);
        const subject = event(
          { a, b },
          { headers: { h: a }, key: typeof a === 'string' ? a : 'k' },
        );
        const rendered = renderChannel(fieldsOf(subject), compiled.value, 200);
        if (!rendered.ok) return;
        const words = topicWords(channelKey('app' as AppId, rendered.value.name));
        expect(words).to.have.length(2);
        expect(words[0]).to.equal('app');
        expect(words[1]).to.match(/^[A-Za-z0-9_\-=@,;:%+]+$/);
        // A channel of a user comes from a template that says so.
        if (rendered.value.kind === 'server-to-user') {
          expect(
            source.startsWith('user:') || source === '{data.a}' || source === '{key}',
          ).to.equal(true);
        }
      }),
      { numRuns: 20_000 },
    );
  });

  it('never yield the same channel for two different values', () => {
    const compiled = compileChannelTemplate('private-chat.{data.a}', 200);
    if (!compiled.ok) throw new Error('not reached');
    const at = (a: string) => {
      const rendered = renderChannel(fieldsOf(event({ a })), compiled.value, 200);
      return rendered.ok ? rendered.value.name : undefined;
    };
    fc.assert(
      fc.property(anyText, anyText, (a, b) => {
        fc.pre(a !== b);
        const [left, right] = [at(a), at(b)];
        expect(left === undefined || left !== right).to.equal(true);
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('templates', () => {
  it('insert values as they are: a value is never read as a template, nor anything else', () => {
    const compiled = compileTemplate('<{data.a}>');
    if (!compiled.ok) throw new Error('not reached');
    fc.assert(
      fc.property(anyText, (a) => {
        const rendered = renderText(fieldsOf(event({ a, secret: 'hidden' })), compiled.value);
        expect(rendered.ok ? rendered.value : 'refused').to.equal(
          a.isWellFormed() ? `<${a}>` : 'refused',
        );
      }),
    );
  });

  it('compile or say why, and never throw', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '{{',
      '}}',
      'data',
      '.',
      'x',
      '0',
      'event',
      'key',
      'headers',
      ' ',
      '__proto__',
      '[',
      '"',
      'é',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const source = pieces.join('');
        const compiled = compileTemplate(source);
        if (!compiled.ok) {
          expect(compiled.error.message).to.not.equal('');
          expect(compiled.error.offset).to.be.within(0, source.length);
          return;
        }
        // Rendering what has compiled yields text or a refusal.
        renderText(fieldsOf(event({ x: 'y' })), compiled.value);
      }),
      { numRuns: 5_000 },
    );
  });

  it('reach nothing but own properties', () => {
    const subject = event(
      { a: { b: 'c' }, l: [1] },
      { headers: Object.create(null) as Record<string, unknown> },
    );
    const step = fc.constantFrom(
      'a',
      'b',
      'l',
      '0',
      'toString',
      'valueOf',
      'length',
      'hasOwnProperty',
      '__defineGetter__',
    );
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 5 }), (path) => {
        const compiled = compileTemplate(`{data.${path.join('.')}}`);
        if (!compiled.ok) return;
        const rendered = renderText(fieldsOf(subject), compiled.value);
        const text = rendered.ok ? rendered.value : rendered.error.code;
        expect(['c', '1', 'missing_field', 'invalid_field']).to.include(text);
      }),
    );
    expect(({} as Record<string, unknown>)['x']).to.equal(undefined);
  });
});

describe('projections', () => {
  it('yield JSON that reads as what was published, or nothing', () => {
    const projection = compileProjection({ whole: '{data}', a: '{data.a}', text: '<{data.s}>' });
    if (!projection.ok) throw new Error('not reached');
    fc.assert(
      fc.property(fc.jsonValue(), anyText, (a, s) => {
        const data: unknown = JSON.parse(JSON.stringify({ a, s }));
        const projected = project(fieldsOf(event(data)), projection.value);
        if (!projected.ok) return;
        expect(JSON.parse(projected.value)).to.deep.equal({
          whole: data,
          a: (data as { a: unknown }).a,
          text: `<${s}>`,
        });
        expect(projected.value.isWellFormed()).to.equal(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('never hand on an integer of another value than was published', () => {
    const projection = compileProjection({ n: '{data.n}' });
    if (!projection.ok) throw new Error('not reached');
    const big = fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n });
    fc.assert(
      fc.property(big, fc.array(big), (n, others) => {
        const payload = `{"others":[${others.join(',')}],"n":${n}}`;
        const subject = { ...event(null), data: JSON.parse(payload) as unknown, payload };
        const projected = project(fieldsOf(subject), projection.value);
        const safe = n < 2n ** 53n && n > -(2n ** 53n);
        expect(projected.ok ? projected.value : projected.error.code).to.equal(
          safe ? `{"n":${n}}` : 'unsafe_integer',
        );
      }),
      { numRuns: 2_000 },
    );
  });
});
