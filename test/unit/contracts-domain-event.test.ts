import { expect } from 'chai';
import {
  decodeDomainEvent,
  defaultEnvelopeLimits,
  type IncomingEvent,
} from '../../contracts/domain-event.ts';
import type { DeadLetterCode } from '../../contracts/errors.ts';
import { errorOf, okOf } from '../support/result.ts';

const bytes = (text: string) => Buffer.from(text, 'utf8');

/** Headers as an adapter hands them over: own keys, no prototype. */
function headers(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.assign(Object.create(null) as Record<string, unknown>, fields);
}

function incoming(rest: Partial<IncomingEvent> = {}): IncomingEvent {
  return {
    exchange: 'domain.events',
    routingKey: 'chat.message.posted',
    headers: headers({}),
    body: bytes('{"roomId":7}'),
    redelivered: false,
    ...rest,
  };
}

const decode = (rest: Partial<IncomingEvent> = {}) => decodeDomainEvent(incoming(rest));
const codeOf = (rest: Partial<IncomingEvent>) => errorOf(decode(rest)).code;

const envelope = {
  specversion: '1.0',
  id: 'e-1',
  source: '/chat',
  type: 'message.posted',
};
const structured = (fields: object, contentType = 'application/cloudevents+json') => ({
  contentType,
  body: bytes(JSON.stringify({ ...envelope, ...fields })),
});
const binary = (prefix: string, fields: Readonly<Record<string, unknown>> = {}) => ({
  headers: headers(
    Object.fromEntries(
      Object.entries({ ...envelope, ...fields }).map(([name, value]) => [prefix + name, value]),
    ),
  ),
});

/** Documents that would not survive a parse and a re-serialisation. */
const delicate = [
  '{"b":1,"a":1.0,"n":9007199254740993}',
  ' {\n\t"a" : "\\u00e9\\/" }\r\n',
  '{"a":1,"a":2}',
  '{"__proto__":{"admin":true}}',
  '1e400',
  '-0',
  '"日本😀\\ud800"',
  'null',
  '[]',
];

describe('decodeDomainEvent', () => {
  describe('plain JSON', () => {
    it('takes the routing key, the payload, and the AMQP properties that identify the event', () => {
      const event = okOf(decode({ messageId: 'm-1', type: 'message.posted' }));
      expect(event).to.include({
        key: 'chat.message.posted',
        id: 'm-1',
        type: 'message.posted',
        payload: '{"roomId":7}',
      });
      expect(event.data).to.deep.equal({ roomId: 7 });
      expect(Object.keys(event.attributes)).to.deep.equal([]);
    });

    it('gives an event without an id none', () => {
      for (const messageId of [undefined, '']) {
        const event = okOf(decode(messageId === undefined ? {} : { messageId }));
        expect(event).to.not.have.any.keys('id', 'source', 'type', 'partitionKey', 'traceparent');
      }
    });

    for (const text of delicate) {
      it(`carries ${JSON.stringify(text)} on byte for byte`, () => {
        expect(okOf(decode({ body: bytes(text) })).payload).to.equal(text);
      });
    }

    it('drops a byte order mark, on which browsers would choke', () => {
      expect(okOf(decode({ body: bytes('\ufeff{"a":1}') })).payload).to.equal('{"a":1}');
    });

    it('takes any content type, or none, for JSON', () => {
      for (const contentType of [
        'application/json',
        'text/plain',
        'application/octet-stream',
        '',
      ]) {
        expect(okOf(decode({ contentType })).payload).to.equal('{"roomId":7}');
      }
    });

    it('takes the content encodings that change nothing', () => {
      for (const contentEncoding of ['', 'identity', 'utf-8', 'UTF-8', 'utf8']) {
        expect(decode({ contentEncoding }).ok).to.equal(true);
      }
    });

    it('is not misled by headers with special names', () => {
      const odd = JSON.parse(
        '{"__proto__":{"x":1},"constructor":"c","ce-":"x","toString":1}',
      ) as Record<string, unknown>;
      const event = okOf(decode({ headers: headers(odd) }));
      expect(Object.keys(event.attributes)).to.deep.equal([]);
      expect(event.headers['constructor']).to.equal('c');
      expect(({} as Record<string, unknown>)['x']).to.equal(undefined);
    });
  });

  for (const prefix of ['cloudEvents:', 'cloudEvents_', 'ce-']) {
    describe(`CloudEvents in binary mode, with the prefix ${prefix}`, () => {
      it('takes the attributes from the headers and the payload from the body', () => {
        const event = okOf(
          decode({ ...binary(prefix, { partitionkey: 'room-7', subject: 's', extension: 7 }) }),
        );
        expect(event).to.include({
          id: 'e-1',
          source: '/chat',
          type: 'message.posted',
          partitionKey: 'room-7',
          payload: '{"roomId":7}',
        });
        expect({ ...event.attributes }).to.deep.equal({
          ...envelope,
          partitionkey: 'room-7',
          subject: 's',
          extension: 7,
        });
      });

      it('prefers the attributes to the AMQP properties', () => {
        const event = okOf(decode({ ...binary(prefix), messageId: 'm-1', type: 't' }));
        expect(event).to.include({ id: 'e-1', type: 'message.posted' });
      });

      it('carries the payload on byte for byte', () => {
        for (const text of delicate) {
          expect(okOf(decode({ ...binary(prefix), body: bytes(text) })).payload).to.equal(text);
        }
      });

      it('refuses an envelope that lacks an attribute or has one of the wrong kind', () => {
        for (const name of ['id', 'source', 'type', 'specversion']) {
          for (const value of [undefined, '', 7, null, {}, Buffer.from('x')]) {
            const error = errorOf(decode(binary(prefix, { [name]: value })));
            expect(error.code).to.equal('invalid_cloudevent');
            expect(error.text).to.include(name);
          }
        }
        expect(codeOf(binary(prefix, { specversion: '0.3' }))).to.equal('invalid_cloudevent');
        for (const name of ['partitionkey', 'subject', 'time', 'traceparent', 'tracestate']) {
          expect(codeOf(binary(prefix, { [name]: 7 })), name).to.equal('invalid_cloudevent');
        }
      });

      it('ignores attributes whose names CloudEvents does not allow', () => {
        const odd = { 'x.y': 1, ['__proto__']: 2, 'a-b': 3, '': 4, é: 5, [`${'x'.repeat(65)}`]: 6 };
        const event = okOf(decode(binary(prefix, odd)));
        expect(Object.keys(event.attributes).sort()).to.deep.equal(Object.keys(envelope).sort());
      });

      it('takes attribute names in any case', () => {
        const raw = binary(prefix);
        raw.headers[`${prefix}PartitionKey`] = 'room-7';
        expect(okOf(decode(raw)).partitionKey).to.equal('room-7');
      });
    });
  }

  describe('CloudEvents in structured mode', () => {
    it('takes attributes and data from the body', () => {
      const event = okOf(decode(structured({ data: { roomId: 7 }, partitionkey: 'room-7' })));
      expect(event).to.include({
        id: 'e-1',
        source: '/chat',
        type: 'message.posted',
        partitionKey: 'room-7',
        payload: '{"roomId":7}',
      });
      expect(event.data).to.deep.equal({ roomId: 7 });
      expect(event.attributes).to.not.have.any.keys('data', 'data_base64');
    });

    it('knows the content type with parameters and in any case', () => {
      for (const type of [
        'application/cloudevents+json; charset=utf-8',
        'Application/CloudEvents+JSON',
        ' application/cloudevents+json ;x',
      ]) {
        expect(okOf(decode(structured({ data: 1 }, type))).payload, type).to.equal('1');
      }
    });

    it('takes missing data for null', () => {
      expect(okOf(decode(structured({}))).payload).to.equal('null');
    });

    it('reads data in base64 and carries its bytes on', () => {
      for (const text of delicate) {
        const data_base64 = bytes(text).toString('base64');
        expect(okOf(decode(structured({ data_base64 }))).payload).to.equal(text);
      }
    });

    it('refuses base64 that is none, or that holds no JSON', () => {
      for (const data_base64 of [7, null, {}, '%%%', 'a b', 'YQ===', 'é']) {
        expect(codeOf(structured({ data_base64 })), String(data_base64)).to.equal(
          'invalid_cloudevent',
        );
      }
      const encode = (content: Buffer) => structured({ data_base64: content.toString('base64') });
      expect(codeOf(encode(bytes('no json')))).to.equal('invalid_json');
      expect(codeOf(encode(Buffer.from([0xff])))).to.equal('invalid_utf8');
      expect(codeOf(encode(bytes('['.repeat(65) + ']'.repeat(65))))).to.equal('too_deep');
    });

    it('refuses an envelope that is no object or lacks an attribute', () => {
      const contentType = 'application/cloudevents+json';
      for (const text of ['[]', 'null', '7', '"x"', '{}']) {
        expect(codeOf({ contentType, body: bytes(text) })).to.equal('invalid_cloudevent');
      }
      for (const name of Object.keys(envelope)) {
        expect(codeOf(structured({ [name]: undefined }))).to.equal('invalid_cloudevent');
        expect(codeOf(structured({ [name]: 7 }))).to.equal('invalid_cloudevent');
      }
    });

    it('takes no attribute from a prototype that the envelope brings along', () => {
      const body = bytes(`{"__proto__":${JSON.stringify(envelope)},"data":1}`);
      const contentType = 'application/cloudevents+json';
      expect(codeOf({ contentType, body })).to.equal('invalid_cloudevent');
      const event = okOf(decode(structured({ constructor: 'x' })));
      expect(event.attributes['constructor']).to.equal('x');
      expect(event.attributes['toString']).to.equal(undefined);
    });
  });

  describe('trace context', () => {
    const valid = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

    it('is carried on from the headers, with its state', () => {
      const event = okOf(decode({ headers: headers({ traceparent: valid, tracestate: 'a=b' }) }));
      expect(event).to.include({ traceparent: valid, tracestate: 'a=b' });
    });

    it('is carried on from the CloudEvents extension, and the header comes first', () => {
      const other = valid.replace('4bf9', '0000');
      expect(okOf(decode(structured({ traceparent: valid }))).traceparent).to.equal(valid);
      expect(
        okOf(
          decode({
            ...structured({ traceparent: other }),
            headers: headers({ traceparent: valid }),
          }),
        ).traceparent,
      ).to.equal(valid);
    });

    it('is dropped, with its state, where it is not valid: the event goes on without it', () => {
      const odd: readonly unknown[] = [
        '',
        'x',
        valid.toUpperCase(),
        valid.slice(0, -1),
        `${valid}0`,
        `${valid}\n`,
        ` ${valid}`,
        valid.replace(/^00/, 'ff'),
        valid.replace(/-[0-9a-f]{32}-/, `-${'0'.repeat(32)}-`),
        valid.replace(/-[0-9a-f]{16}-/, `-${'0'.repeat(16)}-`),
        7,
        null,
        {},
        Buffer.from(valid),
      ];
      for (const traceparent of odd) {
        const event = okOf(decode({ headers: headers({ traceparent, tracestate: 'a=b' }) }));
        expect(event, String(traceparent)).to.not.have.any.keys('traceparent', 'tracestate');
      }
    });
  });

  describe('refusals', () => {
    const reachable: readonly (readonly [DeadLetterCode, string, Partial<IncomingEvent>])[] = [
      ['too_large', 'a body over the limit', { body: Buffer.alloc(1024 * 1024 + 1, 0x20) }],
      ['unsupported_encoding', 'a compressed body', { contentEncoding: 'gzip' }],
      ['too_deep', '65 levels', { body: bytes('['.repeat(65) + ']'.repeat(65)) }],
      ['too_deep', 'a million brackets', { body: bytes('['.repeat(1_000_000)) }],
      ['invalid_utf8', 'Latin-1', { body: Buffer.from([0x22, 0xe9, 0x22]) }],
      [
        'invalid_utf8',
        'an encoded surrogate',
        { body: Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]) },
      ],
      ['invalid_json', 'nothing', { body: Buffer.alloc(0) }],
      ['invalid_json', 'text', { body: bytes('hello') }],
      ['invalid_json', 'a truncated document', { body: bytes('{"a":') }],
      ['invalid_json', 'two documents', { body: bytes('{}{}') }],
      ['invalid_json', 'NaN', { body: bytes('NaN') }],
      ['invalid_cloudevent', 'an envelope without attributes', structured({ id: '' })],
    ];
    for (const [code, what, raw] of reachable) {
      it(`${code} for ${what}`, () => {
        const error = errorOf(decode(raw));
        expect(error.code).to.equal(code);
        expect(error.text).to.have.length.within(1, 200);
      });
    }

    it('a body of exactly the limit is accepted', () => {
      const body = Buffer.alloc(defaultEnvelopeLimits.maxBytes, 0x20);
      body[0] = 0x37;
      expect(decode({ body }).ok).to.equal(true);
      expect(decodeDomainEvent(incoming({ body }), { maxBytes: 10 }).ok).to.equal(false);
    });

    it('one refused event leaves nothing behind for the next', () => {
      expect(decode({ body: Buffer.from([0x22, 0xe6, 0x97]) }).ok).to.equal(false);
      expect(okOf(decode({ body: bytes('"日"') })).payload).to.equal('"日"');
    });

    it('never repeat the payload', () => {
      const secret = 'a-secret-value';
      for (const body of [bytes(`{"x":"${secret}"`), bytes(`${secret}`)]) {
        expect(errorOf(decode({ body })).text).to.not.include(secret);
      }
    });
  });
});
