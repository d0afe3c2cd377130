import { expect } from 'chai';
import { parseChannel } from '../../contracts/channel.ts';
import type { AppId, ChannelKey, ChannelName } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { Apps } from '../../edge/apps.ts';
import { ChannelRegistry } from '../../edge/channels/registry.ts';
import { Revocations } from '../../edge/channels/revocations.ts';
import type { Session } from '../../edge/channels/session.ts';
import { Subscription } from '../../edge/delivery/subscription.ts';
import { testApp } from '../support/app.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { okOf } from '../support/result.ts';

const name = 'private-room' as ChannelName;
const other = 'other' as AppId;

function setUp() {
  const clock = createManualClock();
  const registry = new ChannelRegistry();
  const config = testApp();
  const apps = new Apps([config, testApp({ id: other, key: 'other-key' })]);
  const late: string[] = [];
  const revocations = new Revocations({
    apps,
    registry,
    clock,
    late: (session) => late.push(session.user?.userId ?? ''),
  });
  const key = channelKey(config.id, name);
  /** A socket that is subscribed to the channel. */
  const socket = (userId: string, app = config.id) => {
    const subscription = new Subscription(okOf(parseChannel(name)), channelKey(app, name), {
      revoked: () => undefined,
    });
    subscription.state = 'live';
    const session = {
      user: { userId },
      openedMs: clock.monotonicMs(),
      subscriptions: new Map([[name, subscription]]),
    } as unknown as Session;
    registry.add(app, name, session);
    return { session, subscription };
  };
  const revoke = (user: string) => revocations.seen({ key, channel: name, user });
  return { clock, revocations, late, key, socket, revoke };
}

describe('Revocations', () => {
  it('take off the channel whoever has not met them on the road within less than a second', () => {
    const { clock, late, socket, revoke } = setUp();
    socket('bob');
    socket('ann');
    socket('bob', other);
    revoke('bob');
    expect(late).to.deep.equal([]);
    clock.advance(500);
    expect(late).to.deep.equal(['bob']);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('leave alone who has left since, and who has come since', () => {
    const { clock, late, socket, revoke } = setUp();
    const { subscription } = socket('bob');
    revoke('bob');
    subscription.state = 'left';
    socket('bob');
    clock.advance(500);
    expect(late).to.deep.equal([]);
  });

  it('take no other channel behind the same hashed key for this one, nor another key', () => {
    const { clock, late, key, revocations, socket } = setUp();
    socket('bob');
    revocations.seen({ key, channel: 'private-z', user: 'bob' });
    revocations.seen({ key: 'app-id.z' as ChannelKey, channel: name, user: 'bob' });
    clock.advance(500);
    expect(late).to.deep.equal([]);
  });

  it('outdate the signatures of sockets that were open, and of no others', () => {
    const { clock, key, revocations, socket, revoke } = setUp();
    const before = socket('bob').session;
    clock.advance(10);
    expect(revocations.outdates(before, key, name, 'bob')).to.equal(false);
    revoke('bob');
    clock.advance(10);
    const after = socket('bob').session;
    expect(revocations.outdates(before, key, name, 'bob')).to.equal(true);
    expect(revocations.outdates(before, key, name, 'ann')).to.equal(false);
    expect(revocations.outdates(before, key, 'private-z', 'bob')).to.equal(false);
    expect(revocations.outdates(after, key, name, 'bob')).to.equal(false);
  });

  it('are remembered up to a bound, the latest ones', () => {
    const { key, revocations, socket, revoke } = setUp();
    const { session } = socket('x');
    revoke('first');
    revoke('second');
    revoke('first');
    for (let n = 0; n < 19_999; n += 1) revoke(`user ${n}`);
    expect(revocations.remembered).to.equal(20_000);
    expect(revocations.outdates(session, key, name, 'first')).to.equal(true);
    expect(revocations.outdates(session, key, name, 'second')).to.equal(false);
  });
});
