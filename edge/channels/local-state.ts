/** What this edge answers when the cluster asks. */
import { parseChannel } from '../../contracts/channel.ts';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import type { Apps } from '../apps.ts';
import type { ChannelsQuery, ClusterLoad, LocalState, Occupancy } from '../cluster/port.ts';
import type { Continuities } from './continuity.ts';
import type { Presence } from './presence.ts';
import type { ChannelRegistry } from './registry.ts';
import type { Users } from './users.ts';

export interface LocalStateParts {
  readonly apps: Apps;
  readonly registry: ChannelRegistry;
  readonly presence: Presence;
  readonly users: Users;
  apiEventsLastSecond(app: AppId): number;
  continuities(): Continuities;
}

export function localState(parts: LocalStateParts): LocalState {
  const { apps, registry, presence, users } = parts;

  function occupancy(query: ChannelsQuery, name: ChannelName, subscriptions: number): Occupancy {
    if (!query.users) return { subscriptions };
    const channel = parseChannel(name);
    if (!channel.ok || channel.value.kind !== 'presence') return { subscriptions };
    return { subscriptions, users: new Set(presence.localUsers(channelKey(query.app, name))) };
  }

  return {
    *load(): Iterable<readonly [AppId, ClusterLoad]> {
      for (const app of apps.all()) {
        const apiEvents = parts.apiEventsLastSecond(app.config.id);
        if (app.connections === 0 && apiEvents === 0) continue;
        yield [app.config.id, { connections: app.connections, apiEvents }];
      }
    },
    *channels(query): Iterable<readonly [ChannelName, Occupancy]> {
      const { app, prefix, names } = query;
      if (names === undefined) {
        for (const [name, subscriptions] of registry.occupied(app)) {
          if (name.startsWith(prefix)) yield [name, occupancy(query, name, subscriptions)];
        }
        return;
      }
      for (const name of names) {
        const subscriptions = registry.count(app, name);
        if (subscriptions > 0 && name.startsWith(prefix)) {
          yield [name, occupancy(query, name, subscriptions)];
        }
      }
    },
    sessionClaimed: (key, atMs, edge) => parts.continuities().claimed(key, atMs, edge),
    terminate: (app, user) => users.terminate(app, user),
    disconnect: (app, user) => users.disconnect(app, user),
  };
}
