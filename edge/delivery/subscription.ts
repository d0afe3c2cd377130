/** One socket's subscription to one channel. A new one is made for every subscribe, so an old one never comes back to life. */
import type { Delivery } from '../../broker/port.ts';
import type { Channel } from '../../contracts/channel.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import type { RoadKind } from './policy.ts';

export class Subscription {
  readonly channel: Channel;
  readonly key: ChannelKey;
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

  constructor(channel: Channel, key: ChannelKey) {
    this.channel = channel;
    this.key = key;
  }
}
