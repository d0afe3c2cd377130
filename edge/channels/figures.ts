/**
 * What is counted over all edges: subscribers of channels, sockets of presence members, sockets of users. This edge reports what it
 * holds, only where somebody wants to know; what comes back becomes frames for its sockets and, at the owner of a figure, webhooks.
 */
import { type Channel, parseChannel } from '../../contracts/channel.ts';
import type { DirectoryKey } from '../../contracts/directory-key.ts';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import { subscriptionCount } from '../../contracts/pusher/frames.ts';
import type { WebhookEvent } from '../../contracts/pusher/webhook.ts';
import type { AppConfig, EgressConfig } from '../../contracts/warren-config.ts';
import type { App, Apps } from '../apps.ts';
import type { Directory, DirectoryListener } from '../cluster/port.ts';
import { broadcast } from './broadcast.ts';
import type { ChannelRegistry } from './registry.ts';

export interface FiguresContext {
  readonly apps: Apps;
  readonly registry: ChannelRegistry;
  readonly directory: Directory;
  /** What services want to hear. */
  egress(): Pick<EgressConfig, 'presence' | 'occupancy'>;
  /** Reports to the app's webhooks and to services, where one asks for it. */
  emit(app: AppConfig, event: WebhookEvent): void;
  /** The number of sockets of a watched user has changed. */
  userTotal(app: AppId, user: string, total: number): void;
}

export class Figures implements DirectoryListener {
  readonly #context: FiguresContext;
  /** Channels of which the sum is watched, as `<app> <channel>`. */
  readonly #watched = new Set<string>();

  constructor(context: FiguresContext) {
    this.#context = context;
  }

  /** A subscriber of this edge came or went. */
  subscribersChanged(app: App, channel: Pick<Channel, 'name' | 'kind'>): void {
    const count = this.#context.registry.count(app.config.id, channel.name);
    const isShown = app.config.subscriptionCount && channel.kind !== 'presence';
    const key: DirectoryKey = { kind: 'channel', app: app.config.id, channel: channel.name };
    const name = `${app.config.id} ${channel.name}`;
    const watches = this.#watched.has(name);
    if (isShown && count > 0 && !watches) {
      this.#watched.add(name);
      this.#context.directory.watch(key);
    }
    const isHeard = wantsChannels(app.config) || this.#context.egress().occupancy;
    if (isShown || isHeard) this.#context.directory.report(key, count);
    if (watches && !(isShown && count > 0)) {
      this.#watched.delete(name);
      this.#context.directory.unwatch(key);
    }
  }

  /** The first socket of a presence member came to this edge, or the last one went. */
  memberHere(app: App, channel: ChannelName, user: string, isHere: boolean): void {
    if (!wantsMembers(app.config) && !this.#context.egress().presence) return;
    const key: DirectoryKey = { kind: 'member', app: app.config.id, channel, user };
    this.#context.directory.report(key, isHere ? 1 : 0);
  }

  /** Options of apps may have changed: channels that are occupied already are counted from now on, or no more. */
  reload(): void {
    for (const app of this.#context.apps.all()) {
      for (const [name] of this.#context.registry.occupied(app.config.id)) {
        const channel = parseChannel(name);
        if (channel.ok) this.subscribersChanged(app, channel.value);
      }
    }
  }

  total(key: DirectoryKey, total: number): void {
    if (key.kind === 'user') this.#context.userTotal(key.app, key.user, total);
    if (key.kind !== 'channel') return;
    const sessions = this.#context.registry.sessions(key.app, key.channel);
    if (sessions.size > 0) broadcast(sessions, subscriptionCount(key.channel, total));
  }

  appeared(key: DirectoryKey): void {
    if (key.kind === 'channel')
      this.#emit(key.app, { name: 'channel_occupied', channel: key.channel });
    if (key.kind === 'member') {
      this.#emit(key.app, { name: 'member_added', channel: key.channel, user_id: key.user });
    }
  }

  vanished(key: DirectoryKey): void {
    if (key.kind === 'channel')
      this.#emit(key.app, { name: 'channel_vacated', channel: key.channel });
    if (key.kind === 'member') {
      this.#emit(key.app, { name: 'member_removed', channel: key.channel, user_id: key.user });
    }
  }

  changed(key: DirectoryKey, total: number): void {
    if (key.kind !== 'channel') return;
    const channel = parseChannel(key.channel);
    if (!channel.ok || channel.value.kind === 'presence') return;
    this.#emit(key.app, {
      name: 'subscription_count',
      channel: key.channel,
      subscription_count: total,
    });
  }

  #emit(appId: AppId, event: WebhookEvent): void {
    const app = this.#context.apps.byId(appId);
    if (app !== undefined) this.#context.emit(app.config, event);
  }
}

function wantsChannels(app: AppConfig): boolean {
  return app.webhooks.some(({ events }) =>
    events.some(
      (name) =>
        name === 'channel_occupied' || name === 'channel_vacated' || name === 'subscription_count',
    ),
  );
}

function wantsMembers(app: AppConfig): boolean {
  return app.webhooks.some(({ events }) =>
    events.some((name) => name === 'member_added' || name === 'member_removed'),
  );
}
