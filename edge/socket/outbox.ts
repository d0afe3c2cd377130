/**
 * Everything that goes out on one socket: whole WebSocket frames, in order, in one write per event-loop turn.
 *
 * It writes to the TCP socket below ws. That is sound because compression is off, where ws writes each of its own frames at once
 * and whole: the two can interleave only between frames. ws is left with the close frame alone, and the outbox is flushed before it.
 */
import type { Flushable, Turn } from './turn.ts';

/** What the outbox uses of the TCP socket. */
export interface RawSocket {
  readonly writable: boolean;
  readonly writableLength: number;
  write(bytes: Buffer, written?: () => void): boolean;
}

/** What it uses of the WebSocket: once a close frame went out, nothing may follow. */
export interface WebSocketState {
  readonly readyState: number;
}

export interface OutboxOwner {
  /** All that was pushed so far has been taken by a socket that has room for more. */
  taken(): void;
  /** More than the bound is waiting for the client to read. */
  full(): void;
  /** Half of the bound is free again. */
  free(): void;
}

/** WebSocket.OPEN */
const open = 1;

export class Outbox implements Flushable {
  readonly #socket: RawSocket;
  readonly #webSocket: WebSocketState;
  readonly #turn: Turn;
  readonly #maxBytes: number;
  readonly #owner: OutboxOwner;
  #frames: Buffer[] = [];
  #frameBytes = 0;
  #scheduled = false;
  #full = false;

  /** @param maxBytes waiting bytes from which on the socket counts as full */
  constructor(
    socket: RawSocket,
    webSocket: WebSocketState,
    turn: Turn,
    maxBytes: number,
    owner: OutboxOwner,
  ) {
    this.#socket = socket;
    this.#webSocket = webSocket;
    this.#turn = turn;
    this.#maxBytes = maxBytes;
    this.#owner = owner;
  }

  get isFull(): boolean {
    return this.#full;
  }

  /** Bytes that the kernel has not taken yet. */
  get bufferedBytes(): number {
    return this.#frameBytes + this.#socket.writableLength;
  }

  /** @param frames one or more whole WebSocket frames; not copied, so never changed afterwards */
  push(frames: Buffer): void {
    this.#frames.push(frames);
    this.#frameBytes += frames.length;
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#turn.add(this);
  }

  flush(): void {
    this.#scheduled = false;
    const frames = this.#frames;
    if (frames.length === 0) return;
    const bytes = this.#frameBytes;
    this.#frames = [];
    this.#frameBytes = 0;
    if (this.#webSocket.readyState !== open || !this.#socket.writable) return;
    const [first] = frames;
    const chunk = frames.length === 1 && first !== undefined ? first : Buffer.concat(frames, bytes);
    // A callback per write costs; it is needed only where this write may leave the socket full.
    if (this.#full || this.#socket.writableLength + bytes > this.#maxBytes) {
      this.#socket.write(chunk, this.#written);
      if (!this.#full && this.#socket.writableLength > this.#maxBytes) {
        this.#full = true;
        this.#owner.full();
      }
    } else {
      this.#socket.write(chunk);
    }
    if (!this.#full) this.#owner.taken();
  }

  readonly #written = (): void => {
    // Node's 'drain' waits for an empty buffer, and never comes where the bound is below its own high-water mark.
    if (!this.#full || this.#socket.writableLength > this.#maxBytes / 2) return;
    this.#full = false;
    this.#owner.free();
    if (this.#frames.length > 0) this.flush();
    else this.#owner.taken();
  };
}
