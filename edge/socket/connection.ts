/** One WebSocket connection: reads frames, answers what concerns the socket alone, and hands the rest to its client. */
import type { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { type FrameCode, frameCodes } from '../../contracts/errors.ts';
import type { SocketId } from '../../contracts/ids.ts';
import { type CloseCode, closeCodes } from '../../contracts/pusher/close-codes.ts';
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
  /** A `pusher:ping` has gone out behind everything that was sent so far. */
  pinged(): void;
  /** The client has answered the oldest ping that was not answered yet. */
  ponged(): void;
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

/** A client that never answers and lives all the same is not asked to: it would be remembered without bound. */
const maxUnansweredPings = 2_048;

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
  /** When each ping that is not answered yet was sent, oldest first. */
  readonly #pings: number[] = [];
  #mustAnswer = false;

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

  /** Sends `pusher:ping` now. From the first call on, a ping that stays unanswered ends the connection, whatever else is heard. */
  requestPong(): void {
    this.#mustAnswer = true;
    this.#ping();
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
    if (this.#mustAnswer && this.#isPongOverdue(nowMs)) {
      this.close(closeCodes.pongTimeout);
      return;
    }
    const due = this.#heartbeat.due(nowMs);
    if (due === 'ping') this.#ping();
    else if (due !== undefined) this.close(due);
  }

  /** OutboxOwner: reading stops too, so that a client that does not read cannot make us answer without bound. */
  full(): void {
    this.#heartbeat.full(this.#context.clock.monotonicMs());
    if (this.#state === 'open') this.#webSocket.pause();
  }

  free(): void {
    const nowMs = this.#context.clock.monotonicMs();
    this.#heartbeat.free(nowMs);
    // Nothing was read meanwhile: the time for each answer starts anew.
    this.#pings.fill(nowMs);
    if (this.#state === 'open') this.#webSocket.resume();
  }

  taken(): void {
    if (this.#state === 'open') this.#client.taken();
  }

  #ping(): void {
    if (this.#state !== 'open') return;
    this.outbox.push(pingMessage);
    if (this.#pings.length >= maxUnansweredPings) this.#pings.shift();
    this.#pings.push(this.#context.clock.monotonicMs());
    this.#client.pinged();
  }

  #ponged(): void {
    // A pong that nobody asked for says nothing.
    if (this.#pings.shift() !== undefined) this.#client.ponged();
  }

  #isPongOverdue(nowMs: number): boolean {
    const [oldest] = this.#pings;
    if (oldest === undefined || this.outbox.isFull) return false;
    return nowMs - oldest >= this.#context.limits.pongTimeoutMs;
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
        this.#ponged();
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
