/** Who on this edge is subscribed to what: app, channel, sessions. Every operation costs the same however many there are. */
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import type { Session } from './session.ts';

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
  }

  count(appId: AppId, channel: ChannelName): number {
    return this.#apps.get(appId)?.get(channel)?.size ?? 0;
  }
}
