/** One WebSocket connection: reads frames, answers what concerns the socket alone, and hands the rest to its client. */
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { type FrameCode, frameCodes } from '../../contracts/errors.ts';
import type { SocketId } from '../../contracts/ids.ts';
import type { CloseCode } from '../../contracts/pusher/close-codes.ts';
import { type ClientFrame, decodeClientFrame } from '../../contracts/pusher/codec.ts';
import { connectionEstablished, errorFrame, ping, pong } from '../../contracts/pusher/frames.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { EdgeTally } from '../tally.ts';
import type { Handshake } from './handshake.ts';
import { Heartbeat, type HeartbeatLimits } from './heartbeat.ts';
import { Outbox, type OutboxOwner } from './outbox.ts';
import type { Turn } from './turn.ts';
import { pongFrame, textFrame } from './websocket-frame.ts';

/** What a connection serves: the use cases behind the socket. */
export interface Client {
  /** Never a ping or pong. Must not throw for any input; where it does all the same, the socket stays. */
  frame(frame: ClientFrame): void;
  /** All that was put into the outbox so far was taken by a socket that has room for more. */
  taken(): void;
  /** Called once: nothing is delivered any more. `code` is the close code of whichever side closed. */
  closed(code: number): void;
}

/** What all connections of an edge share. */
export interface ConnectionContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly tally: EdgeTally;
  readonly turn: Turn;
  readonly limits: HeartbeatLimits & {
    /** Bytes waiting for one client, from which on its socket counts as full. */
    readonly socketBufferBytes: number;
    /** How long a closing handshake may take. */
    readonly closeTimeoutMs: number;
  };
  /** Makes the client of a connection that has just been greeted. */
  client(connection: Connection): Client;
  /** The socket is gone. */
  ended(connection: Connection): void;
}

const pingMessage = textFrame(ping);
const pongMessage = textFrame(pong);

export class Connection implements OutboxOwner {
  readonly socketId: SocketId;
  readonly handshake: Handshake;
  readonly outbox: Outbox;
  readonly #context: ConnectionContext;
  readonly #webSocket: WebSocket;
  readonly #client: Client;
  readonly #heartbeat: Heartbeat;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #closeDeadlineMs = 0;

  /** Greets at once: everything that may take time comes after, or a client waits with an open socket and no word. */
  constructor(
    context: ConnectionContext,
    webSocket: WebSocket,
    socket: Duplex,
    handshake: Handshake,
    socketId: SocketId,
  ) {
    this.#context = context;
    this.#webSocket = webSocket;
    this.handshake = handshake;
    this.socketId = socketId;
    this.#heartbeat = new Heartbeat(context.limits, context.clock.monotonicMs());
    this.outbox = new Outbox(
      socket,
      webSocket,
      context.turn,
      context.limits.socketBufferBytes,
      this,
    );
    this.send(
      connectionEstablished(
        socketId,
        Math.max(1, Math.round(context.limits.activityTimeoutMs / 1_000)),
      ),
    );
    this.#client = context.client(this);
    webSocket.on('message', (data, isBinary) => this.#received(data, isBinary));
    webSocket.on('ping', (payload) => this.#pinged(payload));
    webSocket.on('pong', () => this.#heard());
    webSocket.on('close', (code) => this.#ended(code));
    // ws closes the socket itself, with the code that fits; without a listener the error would end the process.
    webSocket.on('error', () => context.tally.errors.add('websocket_error'));
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** @param text JSON of one frame */
  send(text: string): void {
    if (this.#state === 'open') this.outbox.push(textFrame(text));
  }

  /** @param frame a whole WebSocket frame, which may go to other sockets too */
  sendFrame(frame: Buffer): void {
    if (this.#state === 'open') this.outbox.push(frame);
  }

  /** Says what is wrong with a frame; the socket stays open. */
  complain(
    code: FrameCode,
    message: string = frameCodes[code],
    number: number | null = null,
  ): void {
    this.#context.tally.errors.add(code);
    this.send(errorFrame(code, message, number));
  }

  /** What was sent before goes out first. Idempotent. The socket is destroyed where the handshake takes too long. */
  close(reason: CloseCode): void {
    if (this.#state !== 'open') return;
    this.outbox.flush();
    this.#state = 'closing';
    const { clock, limits, tally } = this.#context;
    this.#closeDeadlineMs = clock.monotonicMs() + limits.closeTimeoutMs;
    tally.closes.add(String(reason.code));
    // It may have been paused; the client's close frame must be read.
    this.#webSocket.resume();
    this.#webSocket.close(reason.code, reason.reason);
    this.#client.closed(reason.code);
  }

  /** Ends it without a handshake. */
  terminate(): void {
    this.#webSocket.terminate();
  }

  /** Checks all deadlines of this connection. Called again and again for every connection. */
  sweep(nowMs: number): void {
    if (this.#state === 'closing') {
      if (nowMs >= this.#closeDeadlineMs) this.terminate();
      return;
    }
    const due = this.#heartbeat.due(nowMs);
    if (due === undefined) return;
    if (due === 'ping') this.outbox.push(pingMessage);
    else this.close(due);
  }

  /** OutboxOwner: reading stops too, so that a client that does not read cannot make us answer without bound. */
  full(): void {
    this.#heartbeat.full(this.#context.clock.monotonicMs());
    if (this.#state === 'open') this.#webSocket.pause();
  }

  free(): void {
    this.#heartbeat.free(this.#context.clock.monotonicMs());
    if (this.#state === 'open') this.#webSocket.resume();
  }

  taken(): void {
    if (this.#state === 'open') this.#client.taken();
  }

  #heard(): void {
    this.#heartbeat.heard(this.#context.clock.monotonicMs());
  }

  #pinged(payload: Buffer): void {
    this.#heard();
    if (this.#state === 'open') this.outbox.push(pongFrame(payload));
  }

  #received(data: RawData, isBinary: boolean): void {
    if (this.#state !== 'open') return;
    this.#heard();
    const { tally } = this.#context;
    if (isBinary || !Buffer.isBuffer(data)) {
      tally.frames.add('invalid');
      this.complain('invalid_frame', 'binary frames are not part of the protocol: send JSON text');
      return;
    }
    const frame = decodeClientFrame(data);
    if (!frame.ok) {
      tally.frames.add('invalid');
      this.complain(frame.error.code, frame.error.text);
      return;
    }
    tally.frames.add(frame.value.kind);
    switch (frame.value.kind) {
      case 'ping':
        this.outbox.push(pongMessage);
        return;
      case 'pong':
        return;
      default:
        this.#serve(frame.value);
    }
  }

  #serve(frame: ClientFrame): void {
    try {
      this.#client.frame(frame);
    } catch (error) {
      // A bug of ours must not become a way to end the process from outside.
      this.#context.tally.errors.add('internal_error');
      this.#context.log.error({ err: error, kind: frame.kind }, 'a client frame failed');
    }
  }

  #ended(code: number): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    if (wasOpen) {
      this.#context.tally.closes.add('client');
      this.#client.closed(code);
    }
    this.#context.ended(this);
  }
}
