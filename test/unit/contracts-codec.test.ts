import { expect } from 'chai';
import { frameCodes } from '../../contracts/errors.ts';
import { decodeClientFrame } from '../../contracts/pusher/codec.ts';
import { errorOf, okOf } from '../support/result.ts';

const decode = (frame: unknown) =>
  decodeClientFrame(Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)));
const refusalOf = (frame: unknown) => errorOf(decode(frame)).code;

/** pusher-js sends `data` as an object, other SDKs as text that holds JSON. */
const spellings: readonly (readonly [string, (data: object) => unknown])[] = [
  ['an object', (data) => data],
  ['a JSON string', (data) => JSON.stringify(data)],
];

describe('decodeClientFrame', () => {
  it('reads a ping and a pong, whatever their data', () => {
    for (const kind of ['ping', 'pong'] as const) {
      for (const data of [{}, '{}', undefined, null, [], 7]) {
        expect(okOf(decode({ event: `pusher:${kind}`, data }))).to.deep.equal({ kind });
      }
    }
  });

  for (const [spelling, spell] of spellings) {
    describe(`with data as ${spelling}`, () => {
      it('reads a public subscription; the empty auth of pusher-js counts as none', () => {
        const data = spell({ auth: '', channel: 'public' });
        expect(okOf(decode({ event: 'pusher:subscribe', data }))).to.deep.equal({
          kind: 'subscribe',
          channel: 'public',
        });
      });

      it('reads a private subscription', () => {
        const data = spell({ auth: 'KEY:SIG', channel: 'private-x' });
        expect(okOf(decode({ event: 'pusher:subscribe', data }))).to.deep.equal({
          kind: 'subscribe',
          channel: 'private-x',
          auth: 'KEY:SIG',
        });
      });

      it('reads a presence subscription and keeps the channel data byte for byte', () => {
        const channelData = '{"user_id":"10", "user_info":{"n":"a\\u0000é"}}';
        const data = spell({ auth: 'K:S', channel_data: channelData, channel: 'presence-x' });
        expect(okOf(decode({ event: 'pusher:subscribe', data }))).to.deep.equal({
          kind: 'subscribe',
          channel: 'presence-x',
          auth: 'K:S',
          channelData,
        });
      });

      it('reads an unsubscription', () => {
        const data = spell({ channel: 'x' });
        expect(okOf(decode({ event: 'pusher:unsubscribe', data }))).to.deep.equal({
          kind: 'unsubscribe',
          channel: 'x',
        });
      });

      it('reads a sign-in and keeps the user data byte for byte', () => {
        const data = spell({ auth: 'K:S', user_data: '{"id":"12345"}' });
        expect(okOf(decode({ event: 'pusher:signin', data }))).to.deep.equal({
          kind: 'signin',
          auth: 'K:S',
          userData: '{"id":"12345"}',
        });
      });
    });
  }

  it('reads a client event and leaves its data as it was sent', () => {
    for (const data of [{ z: 1 }, '{"z":1}', 'text', 7, null, [1]]) {
      expect(okOf(decode({ event: 'client-hi', channel: 'private-a', data }))).to.deep.equal({
        kind: 'client-event',
        event: 'client-hi',
        channel: 'private-a',
        data,
        text: JSON.stringify({ event: 'client-hi', channel: 'private-a', data }),
      });
    }
    expect(okOf(decode({ event: 'client-hi', channel: 'private-a' }))).to.include({
      kind: 'client-event',
      data: undefined,
    });
  });

  it('ignores keys that it does not know', () => {
    const frame = {
      event: 'pusher:unsubscribe',
      data: { channel: 'x', more: 1 },
      id: 7,
      channel: 'y',
    };
    expect(okOf(decode(frame))).to.deep.equal({ kind: 'unsubscribe', channel: 'x' });
  });

  it('leaves the channel name unparsed, so that the complaint can name it', () => {
    const data = { channel: 'not a legal name' };
    expect(okOf(decode({ event: 'pusher:subscribe', data }))).to.include({ channel: data.channel });
  });

  describe('refuses', () => {
    const noFrames = [
      '',
      ' ',
      'x',
      '{',
      '{"event":',
      'null',
      '7',
      '"pusher:ping"',
      '[]',
      '[{"event":"pusher:ping"}]',
      '{}',
      '\ufeff{"event":"pusher:ping"}',
    ];
    for (const text of noFrames) {
      it(`${JSON.stringify(text)}, which is no frame`, () => {
        expect(refusalOf(text)).to.equal('invalid_frame');
      });
    }

    it('an event that is not text, empty or ill-formed', () => {
      for (const event of [null, 7, true, {}, ['pusher:ping'], '', '\ud800']) {
        expect(refusalOf({ event })).to.equal('invalid_frame');
      }
    });

    it('events that it does not know, and shows at most 60 characters of them', () => {
      for (const event of [
        'pusher:pIng',
        'pusher:',
        'pusher_internal:subscription_succeeded',
        'message',
        'Client-x',
        'xclient-y',
        'constructor',
        '__proto__',
      ]) {
        expect(refusalOf({ event })).to.equal('unknown_event');
      }
      const error = errorOf(decode({ event: 'x'.repeat(10_000) }));
      expect(error.text).to.have.length.below(100);
      expect(errorOf(decode({ event: `${'x'.repeat(59)}😀` })).text.isWellFormed()).to.equal(true);
    });

    it('protocol events without the data that they need', () => {
      const datas = [
        undefined,
        null,
        7,
        true,
        [],
        {},
        'x',
        '[]',
        'null',
        '{"channel":7}',
        { channel: null },
        { channel: ['x'] },
      ];
      for (const event of ['pusher:subscribe', 'pusher:unsubscribe', 'pusher:signin']) {
        for (const data of datas) expect(refusalOf({ event, data })).to.equal('invalid_frame');
      }
    });

    it('an auth, channel data or user data that is not text', () => {
      for (const odd of [7, true, {}, ['x']]) {
        const subscribe = { event: 'pusher:subscribe' };
        expect(refusalOf({ ...subscribe, data: { channel: 'x', auth: odd } })).to.equal(
          'invalid_frame',
        );
        expect(refusalOf({ ...subscribe, data: { channel: 'x', channel_data: odd } })).to.equal(
          'invalid_frame',
        );
        expect(
          refusalOf({ event: 'pusher:signin', data: { auth: 'K:S', user_data: odd } }),
        ).to.equal('invalid_frame');
        expect(
          refusalOf({ event: 'pusher:signin', data: { auth: odd, user_data: '{}' } }),
        ).to.equal('invalid_frame');
      }
    });

    it('signed data with a lone surrogate, which would verify under the signature of another text', () => {
      const data = { channel: 'presence-x', auth: 'K:S', channel_data: '{"user_id":"\ud800"}' };
      expect(refusalOf({ event: 'pusher:subscribe', data })).to.equal('invalid_frame');
      expect(
        refusalOf({ event: 'pusher:signin', data: { auth: 'K:S', user_data: '\udc00' } }),
      ).to.equal('invalid_frame');
    });

    it('a client event without a channel', () => {
      for (const channel of [undefined, null, 7, {}, ['x']]) {
        expect(refusalOf({ event: 'client-hi', channel, data: {} })).to.equal('invalid_frame');
      }
    });

    it('JSON that nests deeper than 64 levels, before it is parsed', () => {
      const frame = (depth: number) =>
        `{"event":"client-x","channel":"private-a","data":${'['.repeat(depth)}${']'.repeat(depth)}}`;
      expect(decode(frame(63)).ok).to.equal(true);
      expect(refusalOf(frame(64))).to.equal('too_deep');
      expect(refusalOf(frame(10_000))).to.equal('too_deep');
      expect(refusalOf('['.repeat(60_000))).to.equal('too_deep');
    });

    it('with a text of the catalogue or one of its own, and always with one', () => {
      expect(errorOf(decode('x')).text).to.equal(frameCodes.invalid_frame);
      expect(errorOf(decode({ event: 'pusher:subscribe' })).text).to.include('data.channel');
    });
  });

  it('survives data that is a string of 10,000 brackets', () => {
    const data = '['.repeat(10_000) + ']'.repeat(10_000);
    expect(refusalOf({ event: 'pusher:subscribe', data })).to.equal('invalid_frame');
  });

  it('takes the last of two keys of the same name', () => {
    const frame = '{"event":"pusher:ping","event":"pusher:pong"}';
    expect(okOf(decode(frame))).to.deep.equal({ kind: 'pong' });
  });

  it('takes no field from a prototype that the frame brings along', () => {
    expect(refusalOf('{"__proto__":{"event":"pusher:ping"}}')).to.equal('invalid_frame');
    const data = '{"event":"pusher:subscribe","data":{"__proto__":{"channel":"x"}}}';
    expect(refusalOf(data)).to.equal('invalid_frame');
    expect(({} as Record<string, unknown>)['channel']).to.equal(undefined);
  });

  it('does not throw on bytes that are not UTF-8', () => {
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0x00], [0xfe, 0xff, 0x00, 0x7b]]) {
      expect(errorOf(decodeClientFrame(Buffer.from(bytes))).code).to.equal('invalid_frame');
    }
  });
});
