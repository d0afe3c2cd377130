import { expect } from 'chai';
import {
  channelAttributes,
  countAttributes,
  isReservedEvent,
  maxRequestBytes,
  parseBatch,
  parseInfo,
  parseTrigger,
} from '../../contracts/pusher/http.ts';
import { type AppLimits, defaultLimits } from '../../contracts/pusher/limits.ts';
import { errorOf, okOf } from '../support/result.ts';

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const event = { name: 'message', channels: ['chat'], data: 'hi' };

const trigger = (body: unknown, limits: AppLimits = defaultLimits) =>
  parseTrigger(Buffer.isBuffer(body) ? body : json(body), limits);
const batch = (body: unknown, limits: AppLimits = defaultLimits) =>
  parseBatch(Buffer.isBuffer(body) ? body : json(body), limits);
const channelNames = (count: number) => Array.from({ length: count }, (_, n) => `chat-${n}`);

/** Bodies that are no JSON object, whatever was meant. */
const noObject: readonly (readonly [string, Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['blanks', Buffer.from('  ')],
  ['text', Buffer.from('name=message')],
  ['a truncated object', Buffer.from('{"name":"message"')],
  ['null', Buffer.from('null')],
  ['a list', Buffer.from('[]')],
  ['a number', Buffer.from('7')],
  ['a string', Buffer.from('"x"')],
  ['an object that nests 65 deep', Buffer.from(`{"data":${'['.repeat(64)}${']'.repeat(64)}}`)],
  ['10,000 brackets', Buffer.from('['.repeat(10_000))],
];

describe('parseTrigger', () => {
  it('reads the event, its data and its channels', () => {
    const parsed = okOf(
      trigger({ ...event, channels: ['chat', 'private-room.1'], socket_id: '1.2' }),
    );
    expect(parsed.event).to.equal('message');
    expect(parsed.data).to.equal('hi');
    expect(parsed.channels.map(({ name, kind }) => [name, kind])).to.deep.equal([
      ['chat', 'public'],
      ['private-room.1', 'private'],
    ]);
    expect(parsed.except).to.equal('1.2');
  });

  for (const [what, body] of noObject) {
    it(`refuses a body of ${what}`, () => {
      expect(errorOf(trigger(body)).code).to.equal('bad_request');
    });
  }

  describe('name', () => {
    it('takes every text that Laravel and others use', () => {
      for (const name of [
        'App\\Events\\MessageSent',
        'chat:typing',
        '.x',
        'a b',
        'é😀',
        'client-x',
        'Pusher:x',
      ]) {
        expect(okOf(trigger({ ...event, name })).event).to.equal(name);
      }
    });

    it('refuses what is missing, empty, not text or ill-formed', () => {
      for (const name of [undefined, null, '', 7, true, {}, ['x'], '\ud800']) {
        const error = errorOf(trigger({ ...event, name }));
        expect(error.code).to.equal('bad_request');
        expect(error.text).to.include('"name"');
      }
    });

    it('takes 200 characters and not one more', () => {
      expect(trigger({ ...event, name: 'n'.repeat(200) }).ok).to.equal(true);
      expect(errorOf(trigger({ ...event, name: 'n'.repeat(201) })).text).to.include('201');
    });

    it('refuses names with which a publisher could forge protocol frames', () => {
      for (const name of [
        'pusher:error',
        'pusher_internal:member_added',
        'warren:session',
        'pusher:',
      ]) {
        expect(errorOf(trigger({ ...event, name })).text).to.include('protocol');
      }
    });
  });

  describe('data', () => {
    const dataOf = (data: unknown) => okOf(trigger({ ...event, data })).data;

    it('leaves text as it is, JSON or not', () => {
      for (const text of [
        '',
        'hello',
        '123',
        '{"b":1, "a":1.0}',
        '"',
        '\\',
        '\u0000\n\u2028',
        '日本😀',
      ]) {
        expect(dataOf(text)).to.equal(text);
      }
    });

    it('writes JSON values that are not text as JSON', () => {
      expect(dataOf({ a: [1, null] })).to.equal('{"a":[1,null]}');
      expect(dataOf([])).to.equal('[]');
      expect(dataOf(7)).to.equal('7');
      expect(dataOf(false)).to.equal('false');
      expect(dataOf(null)).to.equal('null');
    });

    it('refuses a missing one, and text that would not survive UTF-8', () => {
      expect(errorOf(trigger({ name: 'x', channels: ['chat'] })).text).to.include('"data"');
      expect(
        errorOf(trigger(Buffer.from('{"name":"x","channels":["chat"],"data":"\\ud800"}'))).text,
      ).to.include('surrogate');
    });

    it('does not take what every object inherits for a field of the body', () => {
      const body = Buffer.from('{"__proto__":{"name":"x","data":"x","channels":["chat"]}}');
      expect(trigger(body).ok).to.equal(false);
    });

    it('refuses bytes that are not UTF-8, rather than to publish something else', () => {
      const text = '{"name":"x","channels":["chat"],"data":"é"}';
      expect(okOf(trigger(Buffer.from(text, 'utf8'))).data).to.equal('é');
      expect(errorOf(trigger(Buffer.from(text, 'latin1'))).text).to.include('UTF-8');
    });

    it('counts bytes, not characters, against the limit', () => {
      const limits = { ...defaultLimits, eventPayloadBytes: 10 };
      expect(trigger({ ...event, data: 'é'.repeat(5) }, limits).ok).to.equal(true);
      const error = errorOf(trigger({ ...event, data: 'é'.repeat(6) }, limits));
      expect(error.code).to.equal('too_large');
      expect(error.text).to.include('12 bytes');
    });

    it('takes 10,240 bytes by default and not one more', () => {
      expect(trigger({ ...event, data: 'x'.repeat(10_240) }).ok).to.equal(true);
      expect(errorOf(trigger({ ...event, data: 'x'.repeat(10_241) })).code).to.equal('too_large');
    });
  });

  describe('channels', () => {
    const channels = (value: unknown) => trigger({ ...event, channels: value });

    it('takes 1 to 100 of them', () => {
      expect(errorOf(channels([])).code).to.equal('bad_request');
      expect(okOf(channels(channelNames(1))).channels).to.have.lengthOf(1);
      expect(okOf(channels(channelNames(100))).channels).to.have.lengthOf(100);
      expect(errorOf(channels(channelNames(101))).text).to.include('101');
    });

    it('takes a single "channel" instead', () => {
      const parsed = okOf(trigger({ name: 'x', data: '', channel: 'chat' }));
      expect(parsed.channels.map(({ name }) => name)).to.deep.equal(['chat']);
    });

    it('publishes once to a channel that is named twice, in order of first mention', () => {
      const parsed = okOf(channels(['b', 'a', 'b', 'a']));
      expect(parsed.channels.map(({ name }) => name)).to.deep.equal(['b', 'a']);
    });

    it('refuses what is missing or no list', () => {
      for (const value of [undefined, null, 'chat', 7, {}, { 0: 'chat', length: 1 }]) {
        expect(errorOf(channels(value)).code).to.equal('bad_request');
      }
    });

    it('refuses the whole event for one illegal name', () => {
      for (const name of ['a b', '', 'private-', '#x', null, 7, ['chat'], 'x'.repeat(201)]) {
        expect(errorOf(channels(['chat', name])).code).to.equal('bad_request');
      }
      expect(errorOf(trigger({ name: 'x', data: '', channel: null })).code).to.equal('bad_request');
    });

    it('takes a channel for one user, with any id', () => {
      const [channel] = okOf(channels(['#server-to-user-auth0|7'])).channels;
      expect(channel?.userId).to.equal('auth0|7');
    });
  });

  describe('socket_id', () => {
    it('may be absent or null', () => {
      expect(okOf(trigger(event))).to.not.have.property('except');
      expect(okOf(trigger({ ...event, socket_id: null }))).to.not.have.property('except');
    });

    it('is refused where it is none', () => {
      for (const socket of ['', 'x', '1', 1.5, {}, ['1.2'], '1.2.3']) {
        expect(errorOf(trigger({ ...event, socket_id: socket })).text).to.include('socket_id');
      }
    });
  });

  describe('info', () => {
    it('asks for nothing where it is absent, null or empty', () => {
      for (const info of [undefined, null, '', [], ' ,']) {
        expect([...okOf(trigger({ ...event, info })).info]).to.deep.equal([]);
      }
    });

    it('asks for counts, and for nothing that a publish cannot tell', () => {
      const { info } = okOf(trigger({ ...event, info: 'user_count,subscription_count' }));
      expect([...info]).to.deep.equal(['user_count', 'subscription_count']);
      expect(errorOf(trigger({ ...event, info: 'cache' })).code).to.equal('bad_request');
    });
  });

  it('takes the last of two keys of the same name, as every JSON parser here does', () => {
    const body = Buffer.from('{"name":"a","name":"b","channel":"chat","data":""}');
    expect(okOf(trigger(body)).event).to.equal('b');
  });
});

describe('parseBatch', () => {
  const item = { name: 'message', channel: 'chat', data: 'hi' };

  it('reads the events in order', () => {
    const parsed = okOf(batch({ batch: [item, { ...item, name: 'second', channel: 'room' }] }));
    expect(parsed.map((one) => [one.event, one.channels[0]?.name])).to.deep.equal([
      ['message', 'chat'],
      ['second', 'room'],
    ]);
  });

  it('takes 10 events and not 11, and not none', () => {
    expect(okOf(batch({ batch: Array(10).fill(item) }))).to.have.lengthOf(10);
    expect(errorOf(batch({ batch: Array(11).fill(item) })).text).to.include('11');
    expect(errorOf(batch({ batch: [] })).text).to.include('empty');
  });

  for (const [what, body] of noObject) {
    it(`refuses a body of ${what}`, () => {
      expect(errorOf(batch(body)).code).to.equal('bad_request');
    });
  }

  it('refuses a batch that is missing or no list', () => {
    for (const value of [undefined, null, 'x', {}, 7]) {
      expect(errorOf(batch({ batch: value })).text).to.include('"batch"');
    }
  });

  it('refuses the whole batch for one bad event, and says which', () => {
    for (const bad of [null, 7, 'x', [], {}, { ...item, name: '' }, { ...item, channel: 'a b' }]) {
      expect(errorOf(batch({ batch: [item, bad] })).text).to.include('batch[1]');
    }
  });

  it('asks about one channel per event, as the answer has one place for each', () => {
    const info = 'user_count';
    const two = { name: 'x', data: '', channels: ['a', 'b'], info };
    expect(errorOf(batch({ batch: [item, two] })).text).to.include('batch[1]');
    expect(errorOf(batch({ batch: [item, { ...item, info: 'x' }] })).text).to.include('batch[1]');
    for (const good of [
      { ...two, channels: ['a'] },
      { ...two, info: undefined },
      { ...item, info },
    ]) {
      expect(batch({ batch: [good] }).ok).to.equal(true);
    }
  });

  it('says that it is too large where one event is', () => {
    const large = { ...item, data: 'x'.repeat(10_241) };
    expect(errorOf(batch({ batch: [item, large] }))).to.deep.include({ code: 'too_large' });
  });
});

describe('parseInfo', () => {
  it('reads text with commas and lists, with blanks and repeats', () => {
    for (const info of [
      'user_count,subscription_count',
      ' user_count , subscription_count ,',
      ['user_count', 'subscription_count'],
      'user_count,user_count,subscription_count',
    ]) {
      expect([...okOf(parseInfo(info, countAttributes))]).to.deep.equal([
        'user_count',
        'subscription_count',
      ]);
    }
    expect(okOf(parseInfo('cache', channelAttributes)).has('cache')).to.equal(true);
  });

  it('refuses what is not known here, and names it and what is', () => {
    const error = errorOf(parseInfo('user_count,cache', countAttributes));
    expect(error).to.include('"cache"').and.include('user_count, subscription_count');
    for (const info of ['USER_COUNT', 'constructor', 7, true, {}, ['user_count', null], [['x']]]) {
      expect(parseInfo(info, channelAttributes).ok, JSON.stringify(info)).to.equal(false);
    }
  });

  it('reads no more than a legal value can have, and quotes less', () => {
    expect(parseInfo(','.repeat(257), channelAttributes).ok).to.equal(false);
    expect(parseInfo(','.repeat(256), channelAttributes).ok).to.equal(true);
    expect(parseInfo(Array(300).fill(''), channelAttributes).ok).to.equal(false);
    expect(errorOf(parseInfo('x'.repeat(200), channelAttributes)).length).to.be.below(150);
  });
});

describe('maxRequestBytes', () => {
  it('leaves room for the largest legal batch, however it is escaped', () => {
    const escaped = (text: string) =>
      [...text].map((one) => `\\u00${one.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');
    const channels = channelNames(100).map((name) => `"${escaped(name.padEnd(200, 'x'))}"`);
    const name = escaped('n'.repeat(200));
    const data = escaped('\u0000'.repeat(defaultLimits.eventPayloadBytes));
    const item = `{"name":"${name}","data":"${data}","channels":[${channels}],"socket_id":"1.2"}`;
    const body = Buffer.from(`{"batch":[${Array(10).fill(item).join(',')}]}`);
    expect(okOf(batch(body))).to.have.lengthOf(10);
    expect(body.length).to.be.at.most(maxRequestBytes(defaultLimits));
    expect(body.length).to.be.above(maxRequestBytes(defaultLimits) * 0.95);
  });
});

describe('isReservedEvent', () => {
  it('knows the three prefixes of the protocol and nothing else', () => {
    for (const name of ['pusher:x', 'pusher_internal:x', 'warren:x']) {
      expect(isReservedEvent(name)).to.equal(true);
    }
    for (const name of ['pusher', 'xpusher:y', 'pusher_x', 'PUSHER:x', 'message', '']) {
      expect(isReservedEvent(name)).to.equal(false);
    }
  });
});

describe('defaultLimits', () => {
  it('follows hosted Pusher where that documents a limit', () => {
    expect(defaultLimits).to.include({
      channelNameLength: 200,
      eventNameLength: 200,
      eventPayloadBytes: 10_240,
      channelsPerEvent: 100,
      eventsPerBatch: 10,
    });
  });
});
