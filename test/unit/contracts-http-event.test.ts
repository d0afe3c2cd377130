import { expect } from 'chai';
import fc from 'fast-check';
import { decodeDomainEvent } from '../../contracts/domain-event.ts';
import { type HttpEventRequest, parseHttpEvent } from '../../contracts/http-event.ts';
import { errorOf, okOf } from '../support/result.ts';

function parse(body: string | Buffer, given: Partial<HttpEventRequest> = {}) {
  return parseHttpEvent(
    { appId: 'a', key: 'k.x', id: undefined, headers: {}, body: Buffer.from(body), ...given },
    () => 'new-id',
  );
}

const structured = { 'content-type': 'application/cloudevents+json; charset=utf-8' };
const cloudEvent = {
  specversion: '1.0',
  id: 'e1',
  source: '/s',
  type: 'chat.posted',
  data: { n: 1 },
};
const binary = { 'ce-specversion': '1.0', 'ce-id': 'e1', 'ce-source': '/s', 'ce-type': 't' };

describe('parseHttpEvent', () => {
  it('takes plain JSON byte for byte, with the id of the query or a new one', () => {
    const body = '{ "n": 1.0 }';
    const { id, message } = okOf(parse(body));
    expect(id).to.equal('new-id');
    expect({ ...message, body: message.body.toString() }).to.deep.equal({
      routingKey: 'k.x',
      headers: { 'x-warren-app': 'a' },
      contentType: 'application/json',
      messageId: 'new-id',
      body,
    });
    expect(okOf(parse(body, { id: 'own' })).message.messageId).to.equal('own');
  });

  it('takes a structured CloudEvent, by its type where no key is given', () => {
    const given = { headers: structured, key: undefined };
    const { id, message } = okOf(parse(JSON.stringify(cloudEvent), given));
    expect(id).to.equal('e1');
    expect(message.routingKey).to.equal('chat.posted');
    expect(message).to.not.have.property('messageId');
    expect(message.contentType).to.equal('application/cloudevents+json');
    expect(
      okOf(parse(JSON.stringify(cloudEvent), { headers: structured })).message.routingKey,
    ).to.equal('k.x');
  });

  it('takes a binary CloudEvent, its headers decoded', () => {
    const headers = {
      ...binary,
      'ce-subject': '"Gr%C3%BC%C3%9Fe \\"100%\\""',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      authorization: 'Bearer x',
      'x-warren-app': 'other',
      'x-redis-channel': 'forged',
    };
    const { id, message } = okOf(parse('{"n":1}', { headers }));
    expect(id).to.equal('e1');
    expect(message.headers).to.deep.equal({
      ...binary,
      'ce-subject': 'Grüße "100%"',
      traceparent: headers.traceparent,
      'x-warren-app': 'a',
    });
  });

  it('refuses what the router would, and says why', () => {
    const cases: readonly (readonly [string, Partial<HttpEventRequest>, RegExp])[] = [
      ['not json', {}, /not JSON/],
      ['', {}, /not JSON/],
      ['['.repeat(65) + ']'.repeat(65), {}, /nests deeper/],
      ['{}', { key: '' }, /routing key is empty/],
      ['{}', { key: 'a\nb' }, /control characters/],
      ['{}', { key: '\ud800' }, /control characters/],
      ['{}', { key: 'ä'.repeat(128) }, /256 bytes/],
      ['{}', { key: undefined }, /"key" is missing: the routing key/],
      ['{}', { id: '' }, /"id" must be/],
      ['{}', { id: 'ä'.repeat(101) }, /"id" must be/],
      ['{}', { headers: structured }, /attribute "id"/],
      ['[]', { headers: structured }, /not an object/],
      [JSON.stringify(cloudEvent), { headers: structured, id: 'x' }, /an id of its own/],
      ['[]', { headers: { 'content-type': 'application/cloudevents-batch+json' } }, /one event/],
      ['{}', { headers: { 'ce-id': '1' } }, /attribute "source"/],
      ['{}', { headers: binary, key: undefined }, /the signature does not cover/],
      ['{}', { headers: { ...binary, 'ce-x_y': '1' } }, /"ce-x_y" is not a CloudEvents attribute/],
      ['{}', { headers: { ...binary, 'ce-subject': '%FF' } }, /percent-encoded UTF-8/],
      ['{}', { headers: { ...binary, 'ce-subject': 'grüße' } }, /percent-encoded UTF-8/],
    ];
    for (const [body, given, reason] of cases) {
      const error = errorOf(parse(body, given));
      expect(error.text).to.match(reason);
      expect(error.code).to.equal('bad_request');
    }
    expect(errorOf(parse(`"${'x'.repeat(1024 * 1024)}"`)).code).to.equal('too_large');
  });

  it('never throws, and the router decodes all that it accepts, under the id that was answered', () => {
    const header = fc.constantFrom(
      'ce-id',
      'ce-type',
      'ce-source',
      'ce-x',
      'content-type',
      'tracestate',
    );
    fc.assert(
      fc.property(
        fc.oneof(fc.json(), fc.constant(JSON.stringify(cloudEvent)), fc.string()),
        fc.option(fc.string(), { nil: undefined }),
        fc.dictionary(header, fc.oneof(fc.string(), fc.constantFrom(...Object.values(structured)))),
        fc.boolean(),
        (body, key, headers, isBinary) => {
          const given = isBinary ? { ...headers, ...binary } : headers;
          const parsed = parse(body, { key, headers: given });
          if (!parsed.ok) return;
          const { id, message } = parsed.value;
          const event = okOf(decodeDomainEvent({ exchange: '', redelivered: false, ...message }));
          expect(event.id).to.equal(id);
        },
      ),
    );
  });
});
