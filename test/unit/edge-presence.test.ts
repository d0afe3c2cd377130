import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import { parseChannel } from '../../contracts/channel.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { App } from '../../edge/apps.ts';
import { Presence } from '../../edge/channels/presence.ts';
import { ChannelRegistry } from '../../edge/channels/registry.ts';
import type { Session } from '../../edge/channels/session.ts';
import type { PresenceRooms } from '../../edge/cluster/port.ts';
import { Subscription } from '../../edge/delivery/subscription.ts';
import { testApp } from '../support/app.ts';
import { okOf } from '../support/result.ts';

const app = new App(testApp());
const channel = okOf(parseChannel('presence-x'));
const key = channelKey(app.config.id, channel.name);

/** Rooms as the cluster would keep them, with what was asked of them. */
class FakeRooms implements PresenceRooms {
  readonly calls: string[] = [];
  readonly users = new Map<string, string | null>();
  failure: Error | undefined;

  async open(): Promise<void> {
    this.calls.push('open');
    if (this.failure !== undefined) throw this.failure;
  }
  close(): void {
    this.calls.push('close');
  }
  size(): number {
    return this.users.size;
  }
  has(_key: ChannelKey, user: string): boolean {
    return this.users.has(user);
  }
  members(): Iterable<readonly [string, string | null]> {
    return this.users;
  }
  enter(_key: ChannelKey, user: string, info: string | null): void {
    this.calls.push(`enter ${user}`);
    this.users.set(user, info);
  }
  leave(_key: ChannelKey, user: string, graceMs: number): void {
    this.calls.push(`leave ${user} ${graceMs}`);
  }
}

describe('Presence', () => {
  let rooms: FakeRooms;
  let registry: ChannelRegistry;
  let presence: Presence;
  let here: string[];
  beforeEach(() => {
    rooms = new FakeRooms();
    registry = new ChannelRegistry();
    here = [];
    presence = new Presence({
      registry,
      rooms,
      graceMs: () => 700,
      userHere: (_app, _channel, user, isHere) => here.push(`${isHere ? '+' : '-'}${user}`),
    });
  });

  const member = (userId: string) => ({ userId, info: null });
  const subscription = () => new Subscription(channel, key, { revoked: () => undefined });

  /** A live socket in the channel, with the frames that it was sent. */
  function socket(userId: string): string[] {
    const frames: string[] = [];
    const own = subscription();
    own.member = member(userId);
    const session = {
      subscriptions: new Map([[channel.name, own]]),
      connection: { sendFrame: (frame: Buffer) => frames.push(frame.subarray(2).toString()) },
    };
    registry.add(app.config.id, channel.name, session as unknown as Session);
    return frames;
  }

  it('opens the room once per subscription, and undoes what it did', async () => {
    const one = subscription();
    await Promise.all([presence.open(app, one), presence.open(app, one)]);
    presence.enter(one, member('u'));
    presence.enter(one, member('u'));
    presence.leave(one);
    presence.leave(one);
    expect(rooms.calls).to.deep.equal(['open', 'enter u', 'leave u 700', 'close']);
  });

  it('closes a room that was opened and never entered', async () => {
    const one = subscription();
    await presence.open(app, one);
    presence.leave(one);
    expect(rooms.calls).to.deep.equal(['open', 'close']);
    expect(here).to.deep.equal([]);
  });

  it('tries again after an opening that failed, each with its close', async () => {
    const one = subscription();
    rooms.failure = new BrokerError('broker_timeout', 'late');
    const error = await presence.open(app, one).catch((reason: unknown) => reason);
    expect(error).to.equal(rooms.failure);
    rooms.failure = undefined;
    await presence.open(app, one);
    presence.enter(one, member('u'));
    expect(rooms.calls).to.deep.equal(['open', 'close', 'open', 'enter u']);
  });

  it('says that a user is here with its first socket and gone with its last', async () => {
    const tabs = [subscription(), subscription()] as const;
    for (const tab of tabs) {
      await presence.open(app, tab);
      presence.enter(tab, member('u'));
    }
    expect([...presence.localUsers(key)]).to.deep.equal(['u']);
    presence.leave(tabs[0]);
    expect(here).to.deep.equal(['+u']);
    presence.leave(tabs[1]);
    expect(here).to.deep.equal(['+u', '-u']);
    expect([...presence.localUsers(key)]).to.deep.equal([]);
  });

  it('has room for users up to the limit, and always for another socket of a member', () => {
    for (let n = 0; n < 100; n += 1) rooms.users.set(`u${n}`, null);
    expect(presence.hasRoomFor(app, subscription(), member('u7'))).to.equal(true);
    expect(presence.hasRoomFor(app, subscription(), member('new'))).to.equal(false);
    rooms.users.delete('u1');
    expect(presence.hasRoomFor(app, subscription(), member('new'))).to.equal(true);
  });

  it('tells the sockets here who came and went, but not those of the user itself', async () => {
    await presence.open(app, subscription());
    const [other, own] = [socket('w'), socket('u')] as const;
    presence.added(key, 'u', '{"n":1}');
    presence.removed(key, 'u');
    expect(other.map((text) => JSON.parse(text.replace(/^[^{]*/, '')).event)).to.deep.equal([
      'pusher_internal:member_added',
      'pusher_internal:member_removed',
    ]);
    expect(own).to.deep.equal([]);
  });

  it('has nobody to tell in a room that no socket here follows', () => {
    const frames = socket('w');
    presence.added(key, 'u', null);
    expect(frames).to.deep.equal([]);
  });
});
