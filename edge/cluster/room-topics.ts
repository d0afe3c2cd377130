/** Listens to the topics of rooms, so that leaving a topic and coming back to it cannot overtake each other. */
import { BrokerError } from '../../broker/errors.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import type { RoomBus } from './room-bus.ts';

export class RoomTopics {
  readonly #bus: RoomBus;
  /** Bounded by what the bus has under way. */
  readonly #leaving = new Map<ChannelKey, Promise<void>>();

  constructor(bus: RoomBus) {
    this.#bus = bus;
  }

  /** Resolves when no leave of the topic is under way; never rejects. */
  left(key: ChannelKey): Promise<void> {
    return this.#leaving.get(key) ?? Promise.resolve();
  }

  /** Call it only right after `left`. Waits for the broker as long as that takes. */
  listen(key: ChannelKey): Promise<void> {
    return this.#bus.listen(key);
  }

  /** Also where the listen is still waiting: the bus takes both in call order. */
  leave(key: ChannelKey): void {
    this.#leaving.set(key, this.#leave(key));
  }

  async #leave(key: ChannelKey): Promise<void> {
    try {
      await this.#bus.unlisten(key);
    } catch (error) {
      // The bus is closed or broken: messages of the topic are ignored, as the room is not followed.
      if (!(error instanceof BrokerError)) throw error;
    } finally {
      this.#leaving.delete(key);
    }
  }
}
