import { expect } from 'chai';
import type { SocketId } from '../../contracts/ids.ts';
import {
  connectionEstablished,
  draining,
  errorFrame,
  ping,
  pong,
  session,
  subscriptionError,
  subscriptionSucceeded,
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
