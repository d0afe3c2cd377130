/** One socket's subscription to one channel. A new one is made for every subscribe, so an old one never comes back to life. */
import type { Delivery } from '../../broker/port.ts';
import type { Channel } from '../../contracts/channel.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import type { Member } from '../../contracts/pusher/identity.ts';
import type { RoadKind } from './policy.ts';

/** Whose subscription it is. */
export interface Subscriber {
  /** Called in the order of the channel's events. Where this is that user it leaves the channel within the call. */
  revoked(subscription: Subscription, user: string): void;
}

export class Subscription {
  readonly channel: Channel;
  readonly key: ChannelKey;
  readonly subscriber: Subscriber;
  /** `joining` until the client was told that it succeeded; then `live`; `left` for good. */
  state: 'joining' | 'live' | 'left' = 'joining';
  /** How many subscribe frames the success will answer. */
  pendingAnswers = 1;
  /** Taken when it joins, and kept: nobody is moved to another road while subscribed. */
  road: RoadKind | undefined;
  /** The road carried this channel before: what comes in while joining belongs to the past. */
  isRepeat = false;
  /** What came in while joining, in order. */
  held: Delivery[] = [];
  /** Bytes of the bodies of `held`, where the road bounds them. */
  heldBytes = 0;
  /** On a presence channel: its room is being followed for this subscription, and known once this resolves. */
  roomOpened: Promise<void> | undefined;
  /** On a presence channel: whom the application signed it for. */
  userId: string | undefined;
  /** On a presence channel: whom this socket counts as, while it counts. */
  member: Member | undefined;
  /**
   * On a cache channel: ids of publications that the replayed one stands for, itself included. They may still be on their way here,
   * and would come after what is newer than they are.
   */
  covered: ReadonlySet<string> | undefined;

  constructor(channel: Channel, key: ChannelKey, subscriber: Subscriber) {
    this.channel = channel;
    this.key = key;
    this.subscriber = subscriber;
  }
}
