/** Presence channels of this edge: their members come from the rooms of the cluster, their frames go to the sockets here. */
import type { ChannelKey, ChannelName } from '../../contracts/ids.ts';
import { memberAdded, memberRemoved } from '../../contracts/pusher/frames.ts';
import type { Member } from '../../contracts/pusher/identity.ts';
import type { App } from '../apps.ts';
import type { PresenceRooms, RoomListener } from '../cluster/port.ts';
import type { Subscription } from '../delivery/subscription.ts';
import { broadcast } from './broadcast.ts';
import type { ChannelRegistry } from './registry.ts';
import type { Session } from './session.ts';

/** What is known here about one presence channel while a socket follows it. */
interface Following {
  readonly app: App;
  readonly channel: ChannelName;
  /** Subscriptions that have opened the room. */
  subscriptions: number;
  /** Sockets of this edge per user. */
  readonly sockets: Map<string, number>;
}

export interface PresenceContext {
  readonly registry: ChannelRegistry;
  readonly rooms: PresenceRooms;
  /** How long a member may be away, by the channel's rule. */
  graceMs(app: App, channel: ChannelName): number;
  /** The user's first socket in the channel on this edge came, or the last one went. */
  userHere(app: App, channel: ChannelName, user: string, isHere: boolean): void;
}

export class Presence implements RoomListener {
  readonly #context: PresenceContext;
  readonly #followings = new Map<ChannelKey, Following>();

  constructor(context: PresenceContext) {
    this.#context = context;
  }

  /** Resolves when the channel's members are known. Idempotent per subscription; `leave` undoes it. */
  open(app: App, subscription: Subscription): Promise<void> {
    const { key, channel } = subscription;
    if (subscription.roomOpened === undefined) {
      const following = this.#followings.get(key) ?? {
        app,
        channel: channel.name,
        subscriptions: 0,
        sockets: new Map<string, number>(),
      };
      following.subscriptions += 1;
      this.#followings.set(key, following);
      const opened = this.#context.rooms.open(key).catch((error: unknown) => {
        // Whoever asks again gets another try.
        if (subscription.roomOpened === opened) this.leave(subscription);
        throw error;
      });
      subscription.roomOpened = opened;
    }
    return subscription.roomOpened;
  }

  /** False where the channel has as many users as it may have; another socket of a user who is in counts as none. */
  hasRoomFor(app: App, subscription: Subscription, member: Member): boolean {
    const { rooms } = this.#context;
    return (
      rooms.has(subscription.key, member.userId) ||
      rooms.size(subscription.key) < app.config.limits.presenceMembers
    );
  }

  /** The socket counts from now on; the others hear of it where its user is new. Call only once `open` has resolved. */
  enter(subscription: Subscription, member: Member): void {
    const following = this.#followings.get(subscription.key);
    if (following === undefined || subscription.member !== undefined) return;
    subscription.member = member;
    const sockets = following.sockets.get(member.userId) ?? 0;
    following.sockets.set(member.userId, sockets + 1);
    this.#context.rooms.enter(subscription.key, member.userId, member.info);
    if (sockets === 0) {
      this.#context.userHere(following.app, following.channel, member.userId, true);
    }
  }

  members(subscription: Subscription): Iterable<readonly [string, string | null]> {
    return this.#context.rooms.members(subscription.key);
  }

  /** Undoes `enter` and `open`, as far as they went. Idempotent per subscription. */
  leave(subscription: Subscription): void {
    const { key, member } = subscription;
    const following = this.#followings.get(key);
    if (following === undefined || subscription.roomOpened === undefined) return;
    const { app, channel } = following;
    if (member !== undefined) {
      subscription.member = undefined;
      const sockets = (following.sockets.get(member.userId) ?? 1) - 1;
      if (sockets > 0) following.sockets.set(member.userId, sockets);
      else following.sockets.delete(member.userId);
      this.#context.rooms.leave(key, member.userId, this.#context.graceMs(app, channel));
      if (sockets === 0) this.#context.userHere(app, channel, member.userId, false);
    }
    subscription.roomOpened = undefined;
    following.subscriptions -= 1;
    if (following.subscriptions === 0) this.#followings.delete(key);
    this.#context.rooms.close(key);
  }

  /** The users whose sockets are on this edge. */
  localUsers(key: ChannelKey): Iterable<string> {
    return this.#followings.get(key)?.sockets.keys() ?? [];
  }

  added(key: ChannelKey, user: string, info: string | null): void {
    this.#tell(key, user, (channel) => memberAdded(channel, user, info));
  }

  removed(key: ChannelKey, user: string): void {
    this.#tell(key, user, (channel) => memberRemoved(channel, user));
  }

  /** A user's own sockets have it in their snapshot. */
  #tell(key: ChannelKey, user: string, frame: (channel: ChannelName) => string): void {
    const following = this.#followings.get(key);
    if (following === undefined) return;
    const { app, channel } = following;
    broadcast(
      others(this.#context.registry.sessions(app.config.id, channel), channel, user),
      frame(channel),
    );
  }
}

function* others(
  sessions: Iterable<Session>,
  channel: ChannelName,
  user: string,
): Iterable<Session> {
  for (const session of sessions) {
    if (session.subscriptions.get(channel)?.member?.userId !== user) yield session;
  }
}
