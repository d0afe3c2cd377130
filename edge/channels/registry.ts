/** Who on this edge is subscribed to what: app, channel, sessions. Every operation costs the same however many there are. */
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import type { Session } from './session.ts';

const nobody: ReadonlySet<Session> = new Set();

export class ChannelRegistry {
  readonly #apps = new Map<AppId, Map<ChannelName, Set<Session>>>();
  #subscriptions = 0;
  #channels = 0;

  get subscriptions(): number {
    return this.#subscriptions;
  }

  get channels(): number {
    return this.#channels;
  }

  add(appId: AppId, channel: ChannelName, session: Session): void {
    let channels = this.#apps.get(appId);
    if (channels === undefined) {
      channels = new Map();
      this.#apps.set(appId, channels);
    }
    let sessions = channels.get(channel);
    if (sessions === undefined) {
      sessions = new Set();
      channels.set(channel, sessions);
      this.#channels += 1;
    }
    if (sessions.has(session)) return;
    sessions.add(session);
    this.#subscriptions += 1;
  }

  remove(appId: AppId, channel: ChannelName, session: Session): void {
    const channels = this.#apps.get(appId);
    const sessions = channels?.get(channel);
    if (channels === undefined || sessions === undefined || !sessions.delete(session)) return;
    this.#subscriptions -= 1;
    if (sessions.size > 0) return;
    channels.delete(channel);
    this.#channels -= 1;
    if (channels.size === 0) this.#apps.delete(appId);
  }

  count(appId: AppId, channel: ChannelName): number {
    return this.sessions(appId, channel).size;
  }

  sessions(appId: AppId, channel: ChannelName): ReadonlySet<Session> {
    return this.#apps.get(appId)?.get(channel) ?? nobody;
  }

  /** Channels of an app that have a subscriber, with the number of these. */
  *occupied(appId: AppId): Iterable<readonly [ChannelName, number]> {
    for (const [channel, sessions] of this.#apps.get(appId) ?? []) yield [channel, sessions.size];
  }
}
