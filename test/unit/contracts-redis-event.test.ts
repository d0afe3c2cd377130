import { expect } from 'chai';
import fc from 'fast-check';
import { memberText } from '../../contracts/json-member.ts';
import { plainMessageHeaders, redisEventOf } from '../../contracts/redis-event.ts';
import { maxRoutingKeyBytes } from '../../contracts/routing-key.ts';
import { errorOf, okOf } from '../support/result.ts';

function eventOf(channel: string, message: string | Buffer, prefix = '') {
  return redisEventOf(Buffer.from(channel), Buffer.from(message), prefix);
}

/** What RedisBroadcaster of Laravel 11 publishes: json_encode(['event' => …, 'data' => …, 'socket' => …]). */
const broadcast =
  '{"event":"App\\\\Events\\\\OrderShipped","data":{"order":{"id":12345678901234567890,"total":1.0}},"socket":"123.456"}';

describe('redisEventOf', () => {
  it('takes a plain message byte for byte, under the name of its channel without the prefix', () => {
    const message = '{ "message": "hi",  "n": 1.0 }';
    const event = okOf(eventOf('laravel_database_chat', message, 'laravel_database_'));
    expect(event.routingKey).to.equal('redis.chat');
    expect(event.body.toString()).to.equal(message);
    expect(event.headers).to.deep.equal({
      'x-redis-channel': 'chat',
      'x-redis-event': 'App\\Events\\MessageSent',
    });
  });

  it('takes the parts of a broadcast, its data byte for byte', () => {
    const event = okOf(eventOf('laravel_database_private-chat.1', broadcast, 'laravel_database_'));
    expect(event.routingKey).to.equal('redis.private-chat:1');
    expect(event.body.toString()).to.equal('{"order":{"id":12345678901234567890,"total":1.0}}');
    expect(event.headers).to.deep.equal({
      'x-redis-channel': 'private-chat.1',
      'x-redis-event': 'App\\Events\\OrderShipped',
      'x-redis-socket': '123.456',
    });
  });

  it('knows a broadcast without a socket, in any order and with spaces', () => {
    for (const text of [
      '{"event":"e","data":[],"socket":null}',
      ' { "data" : [] , "event" : "e" } ',
      '{"event":"e","data":[1],"data":[]}',
    ]) {
      const event = okOf(eventOf('chat', text));
      expect(event.headers, text).to.deep.equal({
        'x-redis-channel': 'chat',
        'x-redis-event': 'e',
      });
      expect(event.body.toString(), text).to.equal('[]');
    }
  });

  it('lets everybody hear where the excluded socket is none', () => {
    const event = okOf(eventOf('chat', '{"event":"e","data":{},"socket":"undefined"}'));
    expect(event.headers).to.not.have.property('x-redis-socket');
  });

  it('takes anything else for a plain message', () => {
    for (const text of [
      '{"event":"e","data":1,"socket":null,"more":1}',
      '{"event":5,"data":1}',
      '{"event":"e"}',
      '{"event":"e","data":1,"socket":7}',
      '["event","data"]',
      '"event"',
      'null',
    ]) {
      const event = okOf(eventOf('chat', text));
      expect(event.body.toString()).to.equal(text);
      expect(event.headers['x-redis-event'], text).to.equal('App\\Events\\MessageSent');
    }
  });

  it('encodes any channel as one word, and names it in a header only where clients could', () => {
    for (const [name, key] of [
      ['a.b', 'redis.a:b'],
      ['a:b', 'redis.a%3Ab'],
      ['*.#', 'redis.%2A:%23'],
      ['größe', 'redis.gr%C3%B6%C3%9Fe'],
    ] as const) {
      const event = okOf(eventOf(name, '{}'));
      expect(event.routingKey).to.equal(key);
      expect('x-redis-channel' in event.headers, name).to.equal(name === 'a.b');
    }
    const long = okOf(eventOf('ä'.repeat(5_000), '{}'));
    expect(Buffer.byteLength(long.routingKey)).to.be.at.most(maxRoutingKeyBytes);
    expect(long.routingKey.split('.')).to.have.length(2);
  });

  it('refuses what cannot be a domain event, each with its reason', () => {
    expect(errorOf(eventOf('chat', 'hello'))).to.equal('invalid_json');
    expect(errorOf(eventOf('chat', ''))).to.equal('invalid_json');
    expect(errorOf(eventOf('chat', Buffer.from([0x22, 0xff, 0x22])))).to.equal('invalid_json');
    expect(errorOf(eventOf('chat', '['.repeat(100_000)))).to.equal('invalid_json');
    expect(errorOf(eventOf('chat', `"${'x'.repeat(1024 * 1024)}"`))).to.equal('too_large');
    expect(errorOf(eventOf('p_', '{}', 'p_'))).to.equal('invalid_channel');
    expect(errorOf(eventOf('other', '{}', 'p_'))).to.equal('invalid_channel');
    expect(errorOf(redisEventOf(Buffer.from([0xff]), Buffer.from('{}'), ''))).to.equal(
      'invalid_channel',
    );
    for (const event of ['', '\\ud800', 'x'.repeat(1_001)]) {
      expect(errorOf(eventOf('chat', `{"event":"${event}","data":1}`))).to.equal('invalid_event');
    }
  });

  it('never throws, and what it accepts is JSON', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 40 }),
        fc.oneof(
          fc.uint8Array({ maxLength: 60 }),
          fc.json().map((text) => Buffer.from(text)),
        ),
        (channel, message) => {
          const result = redisEventOf(channel, Buffer.from(message), '');
          if (result.ok) JSON.parse(result.value.body.toString());
        },
      ),
    );
  });
});

describe('memberText', () => {
  it('reads any member of any object as JSON.parse does', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(4), (object, indent) => {
        const text = JSON.stringify(object, null, indent);
        for (const [key, value] of Object.entries(JSON.parse(text) as object)) {
          const member = memberText(text, key);
          expect(JSON.parse(member ?? '')).to.deep.equal(value);
          expect(member).to.equal(member?.trim());
        }
      }),
    );
  });

  it('finds nothing where there is nothing', () => {
    expect(memberText('{}', 'data')).to.equal(undefined);
    expect(memberText('{"inner":{"data":1}}', 'data')).to.equal(undefined);
  });
});

describe('plainMessageHeaders', () => {
  it('are those of the channel that the key came from', () => {
    const event = okOf(eventOf('private-chat.1', '{}'));
    expect(plainMessageHeaders(event.routingKey)).to.deep.equal(event.headers);
  });

  it('are none for other keys', () => {
    for (const key of ['chat.1', 'redis', 'redis.a.b', 'redis.a%3Ab', 'redis.+x']) {
      expect(plainMessageHeaders(key), key).to.deep.equal({});
    }
  });
});
