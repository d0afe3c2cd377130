/** What has come for channels that the client may still subscribe to again. The broker's prefetch bounds it. */
import type { Delivery } from '../../broker/port.ts';

export class Orphans {
  readonly #byChannel = new Map<string, Delivery[]>();

  get isEmpty(): boolean {
    return this.#byChannel.size === 0;
  }

  add(delivery: Delivery): void {
    const waiting = this.#byChannel.get(delivery.channel);
    if (waiting === undefined) this.#byChannel.set(delivery.channel, [delivery]);
    else waiting.push(delivery);
  }

  /** What has come for a channel, in order; it is its no more. */
  take(channel: string): readonly Delivery[] {
    const waiting = this.#byChannel.get(channel) ?? [];
    this.#byChannel.delete(channel);
    return waiting;
  }

  takeAll(): readonly Delivery[] {
    const all = [...this.#byChannel.values()].flat();
    this.#byChannel.clear();
    return all;
  }

  clear(): void {
    this.#byChannel.clear();
  }
}
