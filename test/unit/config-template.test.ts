import { expect } from 'chai';
import { bigIntegersIn } from '../../config/big-integer.ts';
import { compileChannelTemplate, renderChannel } from '../../config/channel-template.ts';
import { fieldsOf, renderText } from '../../config/field.ts';
import { compileProjection, project } from '../../config/projection.ts';
import { compileTemplate } from '../../config/template.ts';
import type { DomainEvent } from '../../contracts/domain-event.ts';
import type { Refusal } from '../../contracts/errors.ts';
import type { Result } from '../../contracts/result.ts';

function event(payload: string, more: Partial<DomainEvent> = {}): DomainEvent {
  return {
    key: 'chat.message.posted',
    attributes: {},
    headers: {},
    data: JSON.parse(payload) as unknown,
    payload,
    ...more,
  };
}

/** The value, or the code of the refusal in brackets. */
function shown(result: Result<string, Refusal>): string {
  return result.ok ? result.value : `[${result.error.code}]`;
}

function text(source: string, subject: DomainEvent): string {
  const template = compileTemplate(source);
  if (!template.ok) throw new Error(template.error.message);
  return shown(renderText(fieldsOf(subject), template.value));
}

function channel(source: string, subject: DomainEvent): string {
  const template = compileChannelTemplate(source, 200);
  if (!template.ok) throw new Error(template.error.message);
  const rendered = renderChannel(fieldsOf(subject), template.value, 200);
  return rendered.ok ? rendered.value.name : `[${rendered.error.code}]`;
}

function projected(
  data: string | Readonly<Record<string, string>> | undefined,
  subject: DomainEvent,
): string {
  const projection = compileProjection(data);
  if (!projection.ok) throw new Error(projection.error[0]?.message);
  return shown(project(fieldsOf(subject), projection.value));
}

describe('compileTemplate', () => {
  it('knows data, event, headers and key', () => {
    const subject = event('{"a":{"b":[{"c":"deep"}]}}', {
      id: 'id-1',
      source: '/chat',
      type: 'MessagePosted',
      attributes: { subject: 'room-1' },
      headers: { 'x-tenant': 'acme' },
    });
    expect(
      text(
        '{data.a.b.0.c} {event.id} {event.source} {event.type} {event.key} {event.subject} {headers.x-tenant} {key} {key.2}',
        subject,
      ),
    ).to.equal(
      'deep id-1 /chat MessagePosted chat.message.posted room-1 acme chat.message.posted posted',
    );
  });

  it('takes doubled braces for braces', () => {
    expect(text('{{{data.a}}} {{data.a}}', event('{"a":1}'))).to.equal('{1} {data.a}');
  });

  const wrong: readonly (readonly [string, RegExp, number])[] = [
    ['{', /a { without }/, 0],
    ['a{data.x', /a { without }/, 1],
    ['a}b', /a } without {/, 1],
    ['{}', /empty \{\}/, 1],
    ['{roomId}', /does not know \{roomId\}/, 1],
    ['{Data.x}', /does not know/, 1],
    ['{ data.x }', /does not know/, 1],
    ['{data.}', /illegal part/, 1],
    ['{data..x}', /illegal part/, 1],
    ['{data.a b}', /illegal part/, 1],
    ['{data["x"]}', /does not know/, 1],
    ['{data.{x}}', /illegal part/, 1],
    ['{data.__proto__}', /may not name "__proto__"/, 1],
    ['{data.a.constructor.name}', /may not name "constructor"/, 1],
    ['{headers.prototype}', /may not name "prototype"/, 1],
    ['{event.__proto__}', /may not name/, 1],
    ['{event}', /needs one attribute/, 1],
    ['{event.a.b}', /needs one attribute/, 1],
    ['{headers}', /needs a header/, 1],
    ['{key.x}', /word position/, 1],
    ['{key.00}', /word position/, 1],
  ];
  for (const [source, message, offset] of wrong) {
    it(`refuses ${source}`, () => {
      const result = compileTemplate(source);
      expect(result.ok ? '' : result.error.message).to.match(message);
      expect(result.ok ? -1 : result.error.offset).to.equal(offset);
    });
  }
});

describe('renderText', () => {
  it('makes text of text, numbers and booleans, and of nothing else', () => {
    const subject = event('{"s":"a b","n":1.5,"z":0,"t":true,"e":"","x":null,"o":{},"l":[]}');
    expect(text('{data.s}|{data.n}|{data.z}|{data.t}|{data.e}|', subject)).to.equal(
      'a b|1.5|0|true||',
    );
    expect(text('{data.none}', subject)).to.equal('[missing_field]');
    expect(text('{data.s.length}', subject)).to.equal('[missing_field]');
    expect(text('{data.l.0}', subject)).to.equal('[missing_field]');
    for (const name of ['x', 'o', 'l']) {
      expect(text(`{data.${name}}`, subject), name).to.equal('[invalid_field]');
    }
  });

  it('reads own properties only', () => {
    const subject = event('{"a":[1]}', { headers: { a: 'x' } });
    for (const path of [
      'toString',
      'hasOwnProperty',
      'a.length',
      'a.map',
      'a.-1',
      'a.01',
      'a.1e0',
    ]) {
      expect(text(`{data.${path}}`, subject), path).to.equal('[missing_field]');
    }
    expect(text('{headers.toString}', subject)).to.equal('[missing_field]');
    expect(text('{event.toString}', subject)).to.equal('[missing_field]');
  });

  it('refuses lone surrogates', () => {
    expect(text('{data.a}', event('{"a":"\\ud800"}'))).to.equal('[invalid_field]');
  });
});

describe('renderChannel', () => {
  it('inserts one segment and never rewrites it', () => {
    const at = (value: unknown) =>
      channel('private-chat.{data.id}', event(JSON.stringify({ id: value })));
    expect(at('room-1')).to.equal('private-chat.room-1');
    expect(at(42)).to.equal('private-chat.42');
    expect(at('a_b-=@,;Z9')).to.equal('private-chat.a_b-=@,;Z9');
    for (const hostile of [
      '',
      'a.b',
      '.',
      '#',
      '*',
      '1.#',
      'a b',
      'a/b',
      'a:b',
      'é',
      '%2e',
      '+',
      '\n',
      '\0',
      1.5,
      1e21,
    ]) {
      expect(at(hostile), String(hostile)).to.equal('[invalid_segment]');
    }
    expect(at(null)).to.equal('[invalid_field]');
    expect(at(undefined)).to.equal('[missing_field]');
  });

  it('lets a variable alone be a whole channel name, if it is a legal one', () => {
    const at = (value: unknown) =>
      channel('{data.channel}', event(JSON.stringify({ channel: value })));
    expect(at('presence-room.1')).to.equal('presence-room.1');
    for (const hostile of ['', '#', '*', 'a b', 'private-', '#x', 'x'.repeat(201)]) {
      expect(at(hostile), hostile).to.equal('[invalid_channel]');
    }
    expect(at({})).to.equal('[invalid_field]');
  });

  it('does not let data change the kind of a channel', () => {
    const data = event('{"a":"private","b":"cache-x","c":"encrypted-x","d":"presence-x"}');
    expect(channel('{data.a}-news', data)).to.equal('[invalid_channel]');
    expect(channel('private-{data.b}', data)).to.equal('[invalid_channel]');
    expect(channel('private-{data.c}', data)).to.equal('[invalid_channel]');
    expect(channel('presence-{data.b}', data)).to.equal('[invalid_channel]');
    expect(channel('{data.d}.{data.a}', data)).to.equal('[invalid_channel]');
    expect(channel('private-chat.{data.b}', data)).to.equal('private-chat.cache-x');
  });

  it('addresses a user whose id is free text, as long as it stands alone', () => {
    const subject = event('{"id":"auth0|4 2","n":7,"e":"","long":"'.concat('x'.repeat(129), '"}'));
    expect(channel('user:{data.id}', subject)).to.equal('#server-to-user-auth0|4 2');
    expect(channel('user:{data.n}', subject)).to.equal('#server-to-user-7');
    expect(channel('user:acme-{data.n}', subject)).to.equal('#server-to-user-acme-7');
    expect(channel('user:acme-{data.id}', subject)).to.equal('[invalid_segment]');
    expect(channel('user:{data.e}', subject)).to.equal('[invalid_channel]');
    expect(channel('user:{data.long}', subject)).to.equal('[invalid_channel]');
  });

  it('refuses an id that JSON.parse has rounded: it is another room', () => {
    expect(channel('room-{data.id}', event('{"id":9007199254740993}'))).to.equal(
      '[unsafe_integer]',
    );
    expect(channel('room-{data.id}', event('{"id":9007199254740991}'))).to.equal(
      'room-9007199254740991',
    );
  });
});

describe('project', () => {
  it('passes the payload byte for byte where there is no projection', () => {
    const payload = ' { "b" : 9007199254740993, "a":1.0 }\n';
    expect(projected(undefined, event(payload))).to.equal(payload);
  });

  it('keeps the JSON type of a variable alone, and makes text of a mixture', () => {
    const subject = event('{"id":7,"f":1.5,"t":true,"x":null,"s":"hi","o":{"k":[1,"2"]}}');
    expect(
      projected(
        {
          id: '{data.id}',
          f: '{data.f}',
          t: '{data.t}',
          x: '{data.x}',
          o: '{data.o}',
          mixed: 'no {data.id}',
          fixed: 'v1',
          'odd "key"': '{data.s}',
        },
        subject,
      ),
    ).to.equal(
      '{"id":7,"f":1.5,"t":true,"x":null,"o":{"k":[1,"2"]},"mixed":"no 7","fixed":"v1","odd \\"key\\"":"hi"}',
    );
  });

  it('makes JSON of one template too, so that text stays text', () => {
    expect(projected('{data.body}', event('{"body":"123"}'))).to.equal('"123"');
    expect(projected('{data}', event('[1,2]'))).to.equal('[1,2]');
    expect(projected('hello {data.name}', event('{"name":"Ann"}'))).to.equal('"hello Ann"');
    expect(projected({}, event('1'))).to.equal('{}');
  });

  it('refuses a field that is not there', () => {
    expect(projected({ a: '{data.a}' }, event('{}'))).to.equal('[missing_field]');
  });

  it('refuses integers of 2^53 or more wherever they hide', () => {
    for (const payload of [
      '{"a":9007199254740993}',
      '{"a":9007199254740992}',
      '{"a":-9007199254740993}',
      '{"a":{"deep":[{"b":12345678901234567890}]}}',
      `{"a":${'9'.repeat(300)}}`,
    ]) {
      expect(projected({ a: '{data.a}' }, event(payload)), payload).to.equal('[unsafe_integer]');
    }
  });

  it('lets pass what only looks like one', () => {
    for (const [payload, data] of [
      ['{"a":9007199254740991}', '{"a":9007199254740991}'],
      ['{"a":1e300}', '{"a":1e+300}'],
      ['{"a":12.5e20}', '{"a":1.25e+21}'],
      ['{"a":"9007199254740993"}', '{"a":"9007199254740993"}'],
      ['{"a":1,"b":9007199254740993}', '{"a":1}'],
      ['{"a":1e16,"b":"10000000000000000, \\"10000000000000000"}', '{"a":10000000000000000}'],
    ] as const) {
      expect(projected({ a: '{data.a}' }, event(payload)), payload).to.equal(data);
    }
  });

  it('looks through the payload once, however many large numbers there are', () => {
    const payload = `{"a":[${'1e300,'.repeat(40_000)}1]}`;
    const subject = event(payload);
    const startedMs = performance.now();
    expect(projected({ a: '{data.a}' }, subject)).to.contain('1e+300');
    expect(performance.now() - startedMs).to.be.below(1_000);
  });

  it('refuses numbers that JSON cannot hold and lone surrogates, in keys too', () => {
    expect(projected({ a: '{data.a}' }, event('{"a":1e400}'))).to.equal('[invalid_field]');
    expect(projected({ a: '{data.a}' }, event('{"a":{"b":"\\udfff"}}'))).to.equal(
      '[invalid_field]',
    );
    expect(projected({ a: '{data.a}' }, event('{"a":{"\\ud800":1}}'))).to.equal('[invalid_field]');
    expect(projected({ a: '{data.a}' }, event('{"a":"\\\\ud800 \\ud83d\\ude00"}'))).to.equal(
      '{"a":"\\\\ud800 😀"}',
    );
  });

  it('takes only plain values from AMQP headers', () => {
    const headers = { n: 5, s: 'x', b: Buffer.from('x'), t: { nested: 1 }, big: 2 ** 60, i: 5n };
    const subject = event('{}', { headers });
    expect(projected({ n: '{headers.n}', s: '{headers.s}' }, subject)).to.equal('{"n":5,"s":"x"}');
    expect(projected({ b: '{headers.b}' }, subject)).to.equal('[invalid_field]');
    expect(projected({ t: '{headers.t}' }, subject)).to.equal('[invalid_field]');
    expect(projected({ i: '{headers.i}' }, subject)).to.equal('[invalid_field]');
    expect(projected({ big: '{headers.big}' }, subject)).to.equal('[unsafe_integer]');
  });

  it('passes a key named __proto__ of the payload on as data', () => {
    expect(projected({ a: '{data.a}' }, event('{"a":{"__proto__":{"x":1}}}'))).to.equal(
      '{"a":{"__proto__":{"x":1}}}',
    );
    expect(({} as Record<string, unknown>)['x']).to.equal(undefined);
  });
});

describe('bigIntegersIn', () => {
  it('finds integers outside of strings as JSON.parse rounds them', () => {
    expect([
      ...bigIntegersIn(
        '[9007199254740993,-9007199254740993,1,"9007199254740995",1e16,90071992547409931.0]',
      ),
    ]).to.deep.equal([9007199254740992, -9007199254740992]);
  });
});
