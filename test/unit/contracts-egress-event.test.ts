import { expect } from 'chai';
import { createEgressEvent } from '../../contracts/egress-event.ts';
import type { AppId, ChannelName } from '../../contracts/ids.ts';

const make = (appId: string, type: string, kind: 'private' | 'server-to-user' = 'private') =>
  createEgressEvent({
    appId: appId as AppId,
    channel: { name: 'private-x' as ChannelName, kind },
    type,
    timeMs: 0,
    data: '1',
  });

describe('createEgressEvent', () => {
  it('makes a key of three words, whatever the name holds', () => {
    expect(make('shop', 'client-typing').key).to.equal('shop.private.client-typing');
    expect(make('shop', 'client-a.b*#é').key).to.equal('shop.private.client-a:b%2A%23%C3%A9');
    const longest = make('a'.repeat(64), `client-${'.'.repeat(193)}`, 'server-to-user').key;
    expect(longest).to.match(/^a{64}\.server-to-user\.\+[A-Za-z0-9_-]{43}$/);
    const fits = make('a'.repeat(64), `client-${'x'.repeat(168)}`, 'server-to-user').key;
    expect(Buffer.byteLength(fits)).to.equal(255);
  });

  it('names neither socket nor user where there is none', () => {
    const { headers } = make('shop', 'channel_occupied');
    expect(headers).to.not.have.any.keys('cloudEvents:socketid', 'cloudEvents:userid');
  });

  it('has an id of its own', () => {
    expect(make('a', 'b').id).to.not.equal(make('a', 'b').id);
  });
});
