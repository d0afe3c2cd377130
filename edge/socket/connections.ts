/** The connections of this edge: found by socket id, and looked after by one timer. */
import type { SocketId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Connection } from './connection.ts';

export class Connections {
  readonly #bySocketId = new Map<SocketId, Connection>();
  #emptied: (() => void)[] = [];

  get size(): number {
    return this.#bySocketId.size;
  }

  add(connection: Connection): void {
    this.#bySocketId.set(connection.socketId, connection);
  }

  delete(connection: Connection): void {
    this.#bySocketId.delete(connection.socketId);
    if (this.#bySocketId.size > 0) return;
    for (const call of this.#emptied) call();
    this.#emptied = [];
  }

  has(socketId: SocketId): boolean {
    return this.#bySocketId.has(socketId);
  }

  get(socketId: SocketId): Connection | undefined {
    return this.#bySocketId.get(socketId);
  }

  all(): readonly Connection[] {
    return [...this.#bySocketId.values()];
  }

  bufferedBytes(): number {
    let bytes = 0;
    for (const connection of this.#bySocketId.values()) bytes += connection.outbox.bufferedBytes;
    return bytes;
  }

  /** Resolves when no connection is left; at once where there is none. */
  emptied(): Promise<void> {
    if (this.#bySocketId.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#emptied.push(resolve);
    });
  }

  /** Checks the deadlines of all connections every `periodMs`. Returns the way to stop it. */
  sweep(clock: Clock, periodMs: number): () => void {
    return clock.every(periodMs, () => {
      const nowMs = clock.monotonicMs();
      for (const connection of this.#bySocketId.values()) connection.sweep(nowMs);
    });
  }
}
