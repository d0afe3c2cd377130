/**
 * Revocations once more, as the broker keeps them for all edges. A road may be late (its client is slow, or acknowledges nothing) or may
 * have lost its own copy (the oldest was dropped, the broker was away); and sockets that are not subscribed have signatures too.
 */
import type { ChannelKey, ChannelName } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Apps } from '../apps.ts';
import type { Subscription } from '../delivery/subscription.ts';
import type { ChannelRegistry } from './registry.ts';
import type { Session } from './session.ts';

export interface Revocation {
  readonly key: ChannelKey;
  /** The exact channel name, for the check after a hashed key. */
  readonly channel: string;
  readonly user: string;
}

export interface RevocationsContext {
  readonly apps: Apps;
  readonly registry: ChannelRegistry;
  readonly clock: Clock;
  /** The subscription has not met its revocation on its road. */
  late(session: Session, subscription: Subscription): void;
}

/** For the road, on which it comes in order with the events. */
const roadMs = 400;
/** Beyond it the oldest are forgotten. */
const maxRemembered = 20_000;

export class Revocations {
  readonly #context: RevocationsContext;
  /** When each was seen, oldest first; monotonic. */
  readonly #seen = new Map<string, number>();

  constructor(context: RevocationsContext) {
    this.#context = context;
  }

  get remembered(): number {
    return this.#seen.size;
  }

  seen(revocation: Revocation): void {
    const { clock, late } = this.#context;
    const name = nameOf(revocation.key, revocation.channel, revocation.user);
    this.#seen.delete(name);
    this.#seen.set(name, clock.monotonicMs());
    const [oldest] = this.#seen.keys();
    if (this.#seen.size > maxRemembered && oldest !== undefined) this.#seen.delete(oldest);
    const concerned = [...this.#concerned(revocation)];
    if (concerned.length === 0) return;
    clock.after(roadMs, () => {
      for (const [session, subscription] of concerned) {
        if (subscription.state === 'live') late(session, subscription);
      }
    });
  }

  /** A signature is as old as its socket, at most. */
  outdates(session: Session, key: ChannelKey, channel: string, user: string): boolean {
    const seenMs = this.#seen.get(nameOf(key, channel, user));
    return seenMs !== undefined && seenMs >= session.openedMs;
  }

  *#concerned({ key, channel, user }: Revocation): Iterable<readonly [Session, Subscription]> {
    const { apps, registry } = this.#context;
    for (const { config } of apps.all()) {
      for (const session of registry.sessions(config.id, channel as ChannelName)) {
        const subscription = session.subscriptions.get(channel as ChannelName);
        if (subscription?.key === key && isOf(session, subscription, user)) {
          yield [session, subscription];
        }
      }
    }
  }
}

function nameOf(key: ChannelKey, channel: string, user: string): string {
  return `${key} ${channel} ${user}`;
}

/** The socket is known to be the user's, as far as this subscription goes. */
export function isOf(
  { user, continuity }: Session,
  { userId }: Subscription,
  revoked: string,
): boolean {
  return userId === revoked || user?.userId === revoked || continuity?.isOf(revoked) === true;
}
