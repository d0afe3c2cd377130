import { expect } from 'chai';
import type { SocketId } from '../../contracts/ids.ts';
import {
  cacheMiss,
  connectionEstablished,
  draining,
  errorFrame,
  memberAdded,
  memberRemoved,
  ping,
  pong,
  presenceSucceeded,
  session,
  signinSuccess,
  subscriptionCount,
  subscriptionError,
  subscriptionSucceeded,
  watchlistEvents,
} from '../../contracts/pusher/frames.ts';

interface Frame {
  readonly event: string;
  readonly channel?: string;
  readonly data: unknown;
}

const parse = (text: string) => JSON.parse(text) as Frame;

describe('connectionEstablished', () => {
  const frame = connectionEstablished('1234.5678' as SocketId, 30);

  it('is the frame of the protocol, byte for byte', () => {
    expect(frame).to.equal(
      '{"event":"pusher:connection_established","data":"{\\"socket_id\\":\\"1234.5678\\",\\"activity_timeout\\":30}"}',
    );
  });

  it('is what pusher-js takes for a handshake: data is text, activity_timeout a number above 0', () => {
    const { event, data } = parse(frame);
    expect(event).to.equal('pusher:connection_established');
    expect(data).to.be.a('string');
    const handshake = JSON.parse(String(data)) as Record<string, unknown>;
    expect(handshake['activity_timeout']).to.be.a('number').and.above(0);
    expect(handshake['socket_id']).to.match(/^\d+\.\d+$/);
  });
});

describe('ping', () => {
  it('is the frame of the protocol', () => {
    expect(ping).to.equal('{"event":"pusher:ping","data":"{}"}');
  });
});

describe('pong', () => {
  it('is the frame of the protocol', () => {
    expect(pong).to.equal('{"event":"pusher:pong","data":"{}"}');
  });
});

describe('subscriptionSucceeded', () => {
  it('says so to pusher-js with the internal name and empty data', () => {
    expect(subscriptionSucceeded('private-x')).to.equal(
      '{"event":"pusher_internal:subscription_succeeded","channel":"private-x","data":"{}"}',
    );
  });

  it('carries the members of a presence channel as text', () => {
    const presence = { presence: { count: 1, ids: ['10'], hash: { 10: { n: 'a"b' } } } };
    const { data } = parse(subscriptionSucceeded('presence-x', presence));
    expect(data).to.be.a('string');
    expect(JSON.parse(String(data))).to.deep.equal(presence);
  });

  it('keeps any channel name whole', () => {
    const name = '#server-to-user-a"b\\c\n😀';
    expect(parse(subscriptionSucceeded(name)).channel).to.equal(name);
  });
});

describe('subscriptionError', () => {
  it('names the channel and carries the reason as an object', () => {
    expect(
      subscriptionError('private-x', { type: 'AuthError', error: 'no', status: 401 }),
    ).to.equal(
      '{"event":"pusher:subscription_error","channel":"private-x","data":{"type":"AuthError","error":"no","status":401}}',
    );
  });
});

describe('errorFrame', () => {
  it('carries a null code where the protocol names none', () => {
    expect(errorFrame('invalid_frame', 'what is this')).to.equal(
      '{"event":"pusher:error","data":{"code":null,"message":"what is this","type":"invalid_frame"}}',
    );
  });

  it('carries the code of the protocol where there is one', () => {
    const { data } = parse(errorFrame('client_event_rejected', 'no', 4301));
    expect(data).to.include({ code: 4301, type: 'client_event_rejected' });
  });
});

describe('session', () => {
  it('says whether the parked session was found, and its window in seconds', () => {
    expect(session({ resumed: false, windowSeconds: 120 })).to.equal(
      '{"event":"warren:session","data":"{\\"resumed\\":false,\\"window\\":120}"}',
    );
  });
});

describe('draining', () => {
  it('is the frame of the contract', () => {
    expect(draining).to.equal('{"event":"warren:draining","data":"{}"}');
  });
});

describe('frames of presence channels', () => {
  const data = (text: string) => JSON.parse(String(parse(text).data)) as unknown;

  it('list the members as pusher-js reads them: ids as text, an object by id, the number of users', () => {
    const text = presenceSucceeded('presence-x', [
      ['10', '{"n":"a"}'],
      ['11', null],
    ]);
    expect(text).to.equal(
      '{"event":"pusher_internal:subscription_succeeded","channel":"presence-x","data":' +
        '"{\\"presence\\":{\\"count\\":2,\\"ids\\":[\\"10\\",\\"11\\"],' +
        '\\"hash\\":{\\"10\\":{\\"n\\":\\"a\\"},\\"11\\":null}}}"}',
    );
  });

  it('keep an empty list an object, and odd ids keys of it', () => {
    expect(data(presenceSucceeded('presence-x', []))).to.deep.equal({
      presence: { count: 0, ids: [], hash: {} },
    });
    const odd = ['0', '__proto__', 'a"b', '\u2028', '{}'];
    const { presence } = data(
      presenceSucceeded(
        'presence-x',
        odd.map((id) => [id, '1'] as const),
      ),
    ) as { presence: { ids: string[]; hash: object } };
    expect(presence.ids).to.deep.equal(odd);
    expect(Object.keys(presence.hash)).to.have.members(odd);
  });

  it('name who came and who went', () => {
    expect(data(memberAdded('presence-x', '1', '{"n":"b"}'))).to.deep.equal({
      user_id: '1',
      user_info: { n: 'b' },
    });
    expect(data(memberAdded('presence-x', '1', null))).to.deep.equal({ user_id: '1' });
    expect(memberRemoved('presence-x', '1')).to.equal(
      '{"event":"pusher_internal:member_removed","channel":"presence-x","data":"{\\"user_id\\":\\"1\\"}"}',
    );
  });
});

describe('frames of counts, cache channels and users', () => {
  it('are those of the protocol, byte for byte', () => {
    expect(subscriptionCount('c', 3)).to.equal(
      '{"event":"pusher_internal:subscription_count","channel":"c","data":"{\\"subscription_count\\":3}"}',
    );
    expect(cacheMiss('cache-a')).to.equal(
      '{"event":"pusher:cache_miss","channel":"cache-a","data":"{}"}',
    );
    expect(watchlistEvents(['7'], ['8'])).to.equal(
      '{"event":"pusher_internal:watchlist_events","data":"{\\"events\\":[{\\"name\\":\\"online\\",' +
        '\\"user_ids\\":[\\"7\\"]},{\\"name\\":\\"offline\\",\\"user_ids\\":[\\"8\\"]}]}"}',
    );
    expect(watchlistEvents([], ['8'])).not.to.include('online');
  });

  it('echo user_data verbatim, spaces and all', () => {
    const userData = '{ "id" : "12345", "watchlist":["7"] }';
    const { event, data } = parse(signinSuccess(userData));
    expect(event).to.equal('pusher:signin_success');
    expect(JSON.parse(String(data))).to.deep.equal({ user_data: userData });
  });
});
