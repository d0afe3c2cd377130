/**
 * Sessions with continuity on this edge: who has one, who owns it, how many there may be. A session id is a bearer secret. It is
 * hashed together with app and Origin, so another app or page that knows it gets a session of its own.
 */
import { createHash, createHmac } from 'node:crypto';
import type { EdgeId } from '../../contracts/ids.ts';
import { closeCodes } from '../../contracts/pusher/close-codes.ts';
import type { AppLimits } from '../../contracts/pusher/limits.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { App } from '../apps.ts';
import {
  type ContinuityContext,
  type ContinuityPeer,
  ContinuityQueue,
} from '../delivery/continuity-queue.ts';
import type { Connection } from '../socket/connection.ts';
import type { Handshake } from '../socket/handshake.ts';
import { Recent } from './recent.ts';

export interface ContinuitySettings {
  readonly prefetch: number;
  /** Messages that a parked session holds. */
  readonly maxLength: number;
  readonly windowMs: number;
}

export interface ContinuitiesContext extends ContinuityContext {
  readonly clock: Clock;
  readonly settings: ContinuitySettings;
  readonly edgeId: EdgeId;
  /** How many edges there are, this one included. */
  edges(): number;
  /** Tells the other edges that the session has a newer connection here. */
  claim(key: string, atMs: number): void;
}

interface Owner {
  readonly connection: Connection;
  readonly atMs: number;
}

/** More than so many connections of one session within the window are a fault of the page, or an attack. */
const maxTakeovers = 10;
const takeoverWindowMs = 10_000;

/** A session of one connection. */
export interface Continuity {
  readonly queue: ContinuityQueue;
  /** The socket has ended. Resolves when the broker has the session parked, or deleted. */
  end(code: number): Promise<void>;
  signedIn(user: string): void;
  /** Also where the user has not signed in again yet, since the session was found. */
  isOf(user: string): boolean;
}

/** The page is gone (RFC 6455): the only end after which nobody comes back. */
const goingAway = 1001;

export class Continuities {
  readonly #context: ContinuitiesContext;
  readonly #owners = new Map<string, Owner>();
  /** Sessions per app, held here or parked by this edge not longer than a window ago. */
  readonly #perApp: Recent;
  readonly #perUser: Recent;
  readonly #perAddress: Recent;
  /** Connections per session id, lately. */
  readonly #takeovers: Recent;

  constructor(context: ContinuitiesContext) {
    const { clock, settings } = context;
    this.#context = context;
    this.#perApp = new Recent(clock, settings.windowMs);
    this.#perUser = new Recent(clock, settings.windowMs);
    this.#perAddress = new Recent(clock, settings.windowMs);
    this.#takeovers = new Recent(clock, takeoverWindowMs);
  }

  get size(): number {
    return this.#owners.size;
  }

  /** Nothing where the connection asks for none, or there is none to be had: then it is served as a plain one. */
  of(connection: Connection): Continuity | undefined {
    const key = sessionKey(connection.handshake);
    if (key === undefined) return undefined;
    const { app } = connection.handshake;
    const { limits, id } = app.config;
    const former = this.#owners.get(key);
    const from = `${id} ${connection.handshake.address ?? ''}`;
    // One that comes back is counted already.
    if (!this.#perApp.has(id, key) && this.#isSpent(limits, id, from)) return undefined;
    this.#takeovers.add(key);
    if (this.#takeovers.count(key) > maxTakeovers) {
      // The connection is still being made.
      queueMicrotask(() => connection.close(closeCodes.overCapacity));
      return undefined;
    }
    former?.connection.close(closeCodes.sessionTakenOver);
    const atMs = this.#context.clock.now();
    this.#owners.set(key, { connection, atMs });
    this.#perApp.hold(id, key);
    this.#perAddress.hold(from, key);
    this.#context.claim(key, atMs);
    return this.#open(connection, key, app, from);
  }

  /** Another edge has a connection of the session: the newest one owns it. */
  claimed(key: string, atMs: number, edge: EdgeId): void {
    const owner = this.#owners.get(key);
    if (owner === undefined) return;
    const isNewer = atMs > owner.atMs || (atMs === owner.atMs && edge > this.#context.edgeId);
    if (isNewer) owner.connection.close(closeCodes.sessionTakenOver);
  }

  #isSpent({ sessions, sessionsPerAddress }: AppLimits, app: string, from: string): boolean {
    // Each edge grants its share, so that all together keep to the limit, roughly.
    const share = Math.ceil(sessions / this.#context.edges());
    if (this.#perApp.count(app) >= share) return true;
    return sessionsPerAddress > 0 && this.#perAddress.count(from) >= sessionsPerAddress;
  }

  #open(connection: Connection, key: string, app: App, from: string): Continuity {
    const { settings } = this.#context;
    const { socketId, outbox } = connection;
    const peer: ContinuityPeer = {
      socketIdPrefix: socketId.slice(0, socketId.indexOf('.') + 1),
      outbox,
      send: (text) => connection.send(text),
      requestPong: () => connection.requestPong(),
    };
    const queue = new ContinuityQueue(
      this.#context,
      { kind: 'continuity', key, ...settings },
      peer,
    );
    let user: string | undefined;
    let mayPark = true;
    return {
      queue,
      signedIn: (userId) => {
        user = digest(app.config.id, userId);
        this.#perUser.hold(user, key);
        mayPark = this.#perUser.count(user) <= app.config.limits.sessionsPerUser;
        queue.signedIn(user);
      },
      isOf: (userId) => queue.isOf(digest(app.config.id, userId)),
      end: (code) => {
        const isOver = code === goingAway || !mayPark;
        if (this.#owners.get(key)?.connection === connection) {
          this.#owners.delete(key);
          this.#perApp.letGo(app.config.id, key, isOver);
          this.#perAddress.letGo(from, key, isOver);
          if (user !== undefined) this.#perUser.letGo(user, key, isOver);
        }
        return queue.end(isOver);
      },
    };
  }
}

/** The first number of the socket ids of all connections of a session: an exclusion by socket id holds across a resume. */
export function firstOfSocketId(handshake: Handshake): number | undefined {
  const key = sessionKey(handshake);
  if (key === undefined) return undefined;
  const bytes = createHmac('sha256', handshake.app.config.secret).update(key).digest();
  // 52 bits: two sessions never share one in practice, or one would miss what is not for the other.
  return Number(bytes.readBigUInt64BE() >> 12n) + 1;
}

function sessionKey({ app, origin, sessionId }: Handshake): string | undefined {
  return sessionId === undefined ? undefined : digest(app.config.id, origin ?? '', sessionId);
}

/** Of parts that hold no line feed: ids of apps and sessions and origins do not; what is free text comes last. */
function digest(...parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\n'), 'utf8').digest('base64url');
}
