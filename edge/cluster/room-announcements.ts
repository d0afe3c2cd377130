/**
 * Tells all edges the versions of rooms whose changes may not have reached them; who knows less asks. Keys wait in a set, so they are
 * bounded by the rooms that this edge held since the broker went away.
 */
import { BrokerError } from '../../broker/errors.ts';
import type { RosterVersions } from '../../contracts/edge-message.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { maxKeysPerMessage, type RoomBus } from './room-bus.ts';

/** What this edge holds of a key. */
export type VersionOf = (key: ChannelKey) => RosterVersions['entries'][number];

export interface RoomAnnouncementsOptions {
  readonly bus: RoomBus;
  readonly clock: Clock;
  /** After a failed send. */
  readonly delayMs: number;
  readonly log: Log | undefined;
  readonly versionOf: VersionOf;
}

export class RoomAnnouncements {
  readonly #options: RoomAnnouncementsOptions;
  readonly #due = new Set<ChannelKey>();
  #cancel: (() => void) | undefined;
  #sending: Promise<void> | undefined;
  #isPaused = false;

  constructor(options: RoomAnnouncementsOptions) {
    this.#options = options;
  }

  add(key: ChannelKey): void {
    this.#due.add(key);
    this.#arm();
  }

  /** The broker is away. */
  pause(): void {
    this.#isPaused = true;
    this.#stop();
  }

  resume(): void {
    this.#isPaused = false;
  }

  /** Sends what is due now. Never rejects; what the broker does not confirm stays due. */
  flush(): Promise<void> {
    this.#stop();
    this.#sending ??= this.#sendAll();
    return this.#sending;
  }

  close(): void {
    this.pause();
    this.#due.clear();
  }

  #arm(): void {
    if (this.#isPaused) return;
    const { clock, delayMs } = this.#options;
    this.#cancel ??= clock.after(delayMs, () => void this.flush());
  }

  #stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  async #sendAll(): Promise<void> {
    const rooms = this.#due.size;
    try {
      while (this.#due.size > 0 && !this.#isPaused) {
        if (!(await this.#sendSome())) return;
      }
      if (rooms > 0) this.#options.log?.info({ rooms }, 'presence was announced anew');
    } finally {
      this.#sending = undefined;
    }
  }

  async #sendSome(): Promise<boolean> {
    const keys: ChannelKey[] = [];
    for (const key of this.#due) {
      if (keys.length === maxKeysPerMessage) break;
      keys.push(key);
      this.#due.delete(key);
    }
    const { bus, versionOf } = this.#options;
    const entries = keys.map(versionOf);
    try {
      await bus.send({ kind: 'all' }, { type: 'roster-versions', entries });
      return true;
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      for (const key of keys) this.add(key);
      return false;
    }
  }
}
