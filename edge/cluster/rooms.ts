/**
 * Presence over all edges without a central store: each edge tells what it holds itself, and keeps what the others told. A room costs
 * messages only where somebody follows it.
 */
import { BrokerError } from '../../broker/errors.ts';
import type {
  RosterAsk,
  RosterChange,
  RosterMember,
  RosterState,
  RosterVersions,
} from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { PresenceRooms, RoomListener } from './port.ts';
import { Room } from './room.ts';
import { RoomAnnouncements } from './room-announcements.ts';
import { RoomAnswers } from './room-answers.ts';
import { RoomAsks } from './room-asks.ts';
import {
  defaultRoomTimings,
  maxKeysPerMessage,
  type RoomBus,
  type RoomMembership,
  type RoomTimings,
} from './room-bus.ts';
import { RoomInbox, type RosterStatement } from './room-inbox.ts';
import { RoomRounds } from './room-rounds.ts';
import { RoomTopics } from './room-topics.ts';
import type { Transition } from './roster.ts';
import { splitState } from './roster-parts.ts';

export type RoomMessage = RosterAsk | RosterStatement;

export interface RoomsOptions {
  readonly edgeId: EdgeId;
  readonly clock: Clock;
  readonly log?: Log;
  readonly bus: RoomBus;
  readonly membership: RoomMembership;
  /** Must not throw, and must not enter or leave a room before it returns. */
  readonly listener: RoomListener;
  readonly timings?: Partial<RoomTimings>;
}

export class Rooms implements PresenceRooms {
  readonly #options: RoomsOptions;
  readonly #timings: RoomTimings;
  readonly #rooms = new Map<ChannelKey, Room>();
  /** Other edges only. */
  readonly #live = new Set<EdgeId>();
  readonly #topics: RoomTopics;
  readonly #asks: RoomAsks;
  readonly #answers: RoomAnswers;
  readonly #announcements: RoomAnnouncements;
  readonly #inbox: RoomInbox;
  readonly #rounds: RoomRounds;
  readonly #stopRounds: () => void;
  /** Of the last change of this edge, in whatever room. */
  #version = 0;
  #isAway = false;
  #closing: Promise<void> | undefined;

  constructor(options: RoomsOptions) {
    const { bus, clock, edgeId } = options;
    this.#options = options;
    this.#timings = { ...defaultRoomTimings, ...options.timings };
    this.#topics = new RoomTopics(bus);
    this.#asks = new RoomAsks(
      clock,
      this.#timings,
      (to, keys) => void this.#trySend(to, { type: 'roster-ask', keys }),
    );
    this.#answers = new RoomAnswers(bus, (key) => this.#answer(key));
    this.#announcements = new RoomAnnouncements({
      bus,
      clock,
      delayMs: this.#timings.reannounceMs,
      log: options.log,
      versionOf: (key) => this.#versionOf(key),
    });
    this.#inbox = new RoomInbox({
      rooms: this.#rooms,
      asks: this.#asks,
      clock,
      report: (room, transitions) => this.#report(room, transitions, false),
    });
    this.#rounds = new RoomRounds(this.#rooms, edgeId);
    this.#stopRounds = clock.every(this.#timings.roundMs, () => this.#round());
  }

  /** A call that rejects counts too: each needs its `close`. The next call then tries again. */
  async open(key: ChannelKey): Promise<void> {
    if (this.#closing !== undefined) throw new BrokerError('closed', 'this edge leaves');
    let room = this.#rooms.get(key);
    if (room === undefined) {
      room = new Room(key);
      this.#rooms.set(key, room);
    }
    room.opens += 1;
    if (room.phase === 'live') return;
    room.opening ??= this.#begin(room);
    await Promise.race([room.opening, room.settled]);
  }

  close(key: ChannelKey): void;
  /** Takes all members of this edge out and tells the others, for an orderly leave. Never rejects. Idempotent. */
  close(): Promise<void>;
  close(key?: ChannelKey): undefined | Promise<void> {
    if (key === undefined) {
      this.#closing ??= this.#shut();
      return this.#closing;
    }
    const room = this.#rooms.get(key);
    if (room === undefined || room.opens === 0) return undefined;
    room.opens -= 1;
    this.#forgetUnused(room);
    return undefined;
  }

  size(key: ChannelKey): number {
    return this.#rooms.get(key)?.roster.size ?? 0;
  }

  has(key: ChannelKey, user: string): boolean {
    return this.#rooms.get(key)?.roster.has(user) ?? false;
  }

  members(key: ChannelKey): Iterable<readonly [user: string, info: string | null]> {
    return this.#rooms.get(key)?.roster.members() ?? [];
  }

  /** Of a user whom this edge holds already, the info that came first stays. */
  enter(key: ChannelKey, user: string, info: string | null): void {
    if (this.#closing !== undefined) return;
    const room = this.#rooms.get(key);
    if (room === undefined) throw new Error('a room was entered that is not open');
    if (room.arrive(user)) this.#change(room, user, [user, info, this.#options.clock.now()]);
  }

  leave(key: ChannelKey, user: string, graceMs: number): void {
    const room = this.#rooms.get(key);
    room?.depart(user, this.#options.clock, graceMs, (gone) => {
      this.#change(room, gone, null);
      this.#forgetUnused(room);
    });
  }

  /** A message of an edge that does not count as alive is ignored: it is asked once it does. */
  receive(from: EdgeId, message: RoomMessage): void {
    if (this.#closing !== undefined || !this.#live.has(from)) return;
    if (message.type === 'roster-ask') this.#receiveAsk(from, message);
    else this.#inbox.receive(from, message);
  }

  edgeJoined(edge: EdgeId): void {
    if (this.#closing !== undefined || edge === this.#options.edgeId) return;
    this.#live.add(edge);
    this.#asks.joined(edge);
    for (const room of this.#rooms.values()) {
      if (room.phase !== 'joining') this.#asks.one(edge, room.key);
    }
  }

  edgeLeft(edge: EdgeId): void {
    if (!this.#live.delete(edge)) return;
    this.#asks.left(edge);
    this.#answers.left(edge);
    for (const room of this.#rooms.values()) {
      this.#report(room, room.roster.drop(edge), false);
      room.peerLeft(edge);
      room.answered(edge);
    }
  }

  /** The broker is away. What this edge does meanwhile is told when it is back. */
  interrupted(): void {
    this.#isAway = true;
    this.#asks.pause();
    this.#answers.clear();
    this.#announcements.pause();
    for (const room of this.#rooms.values()) room.stopDeadline();
  }

  /** The bus is there again; what was sent meanwhile is lost. */
  restored(): void {
    if (this.#closing !== undefined) return;
    const { edgeId } = this.#options;
    this.#isAway = false;
    this.#asks.restart();
    this.#announcements.resume();
    for (const room of this.#rooms.values()) {
      if (room.roster.count(edgeId) > 0) this.#announcements.add(room.key);
      if (room.phase !== 'joining') this.#askEveryone(room);
    }
    void this.#announcements.flush();
  }

  async #begin(room: Room): Promise<void> {
    const { membership } = this.#options;
    const isFollowed = () => this.#rooms.get(room.key) === room;
    try {
      await this.#topics.left(room.key);
      if (!isFollowed()) return;
      room.isListening = true;
      await this.#topics.listen(room.key);
      await membership.settled();
    } catch (error) {
      room.opening = undefined;
      throw error;
    }
    if (!isFollowed()) return;
    for (const edge of membership.edges()) {
      if (!this.#live.has(edge)) this.edgeJoined(edge);
    }
    this.#askEveryone(room);
    await room.settled;
  }

  #askEveryone(room: Room): void {
    if (room.phase !== 'live') room.ask(this.#live);
    if (this.#live.size > 0) this.#asks.everyone(room.key);
    if (room.phase === 'asking' && !this.#isAway) {
      room.startDeadline(this.#options.clock, this.#timings.openDeadlineMs);
    }
  }

  /** Nobody follows the room and this edge holds nothing of it. */
  #forgetUnused(room: Room): void {
    const { key, roster } = room;
    if (room.opens > 0 || roster.count(this.#options.edgeId) > 0) return;
    if (this.#rooms.get(key) !== room) return;
    this.#rooms.delete(key);
    this.#asks.forget(key);
    room.settle();
    if (room.isListening) this.#topics.leave(key);
  }

  #change(room: Room, user: string, member: RosterMember | null): void {
    const { edgeId } = this.#options;
    const { key, roster } = room;
    const previous = roster.count(edgeId) === 0 ? 0 : roster.version(edgeId);
    this.#version += 1;
    const version = this.#version;
    const outcome = roster.applyChange(edgeId, previous, version, user, member);
    if (outcome.kind === 'applied') this.#report(room, outcome.transitions, true);
    void this.#tell(key, { type: 'roster-change', key, previous, version, user, member });
  }

  async #tell(key: ChannelKey, message: RosterChange): Promise<void> {
    const isTold = !this.#isAway && (await this.#trySend({ kind: 'topic', topic: key }, message));
    if (!isTold && this.#closing === undefined) this.#announcements.add(key);
  }

  /** False where the broker has not confirmed. */
  async #trySend(...[to, message]: Parameters<RoomBus['send']>): Promise<boolean> {
    try {
      await this.#options.bus.send(to, message);
      return true;
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      return false;
    }
  }

  #report(room: Room, transitions: readonly Transition[], isOwn: boolean): void {
    const { listener } = this.#options;
    for (const transition of transitions) {
      if (!room.isReported(transition, isOwn)) continue;
      if (transition.kind === 'added') listener.added(room.key, transition.user, transition.info);
      else listener.removed(room.key, transition.user);
    }
  }

  #receiveAsk(from: EdgeId, { keys }: RosterAsk): void {
    const { edgeId } = this.#options;
    const entries: RosterVersions['entries'][number][] = [];
    for (const key of keys.slice(0, maxKeysPerMessage)) {
      const held = this.#rooms.get(key)?.roster.count(edgeId) ?? 0;
      if (held > 0) this.#answers.add(from, key);
      else entries.push(this.#versionOf(key));
    }
    if (entries.length === 0) return;
    void this.#trySend({ kind: 'edge', edgeId: from }, { type: 'roster-versions', entries });
  }

  *#answer(key: ChannelKey): Iterable<RosterState | RosterVersions> {
    const entry = this.#versionOf(key);
    const roster = this.#rooms.get(key)?.roster;
    if (entry[2] === 0 || roster === undefined) yield { type: 'roster-versions', entries: [entry] };
    else yield* splitState(key, entry[1], roster.held(this.#options.edgeId));
  }

  /**
   * Where this edge holds nothing, that holds at its latest version of all: it is above whatever it once said of the room, and the
   * room itself may be forgotten.
   */
  #versionOf(key: ChannelKey): RosterVersions['entries'][number] {
    const { edgeId } = this.#options;
    const roster = this.#rooms.get(key)?.roster;
    const held = roster?.count(edgeId) ?? 0;
    return held > 0 && roster !== undefined
      ? [key, roster.version(edgeId), held]
      : [key, this.#version, 0];
  }

  #round(): void {
    if (this.#isAway) return;
    const { unheardMs } = this.#timings;
    const { entries, asks } = this.#rounds.next(this.#options.clock.monotonicMs() - unheardMs);
    for (const [edge, room] of asks) this.#asks.one(edge, room.key);
    if (entries.length > 0)
      void this.#trySend({ kind: 'all' }, { type: 'roster-versions', entries });
  }

  async #shut(): Promise<void> {
    const { edgeId } = this.#options;
    this.#stopRounds();
    this.#asks.close();
    this.#answers.clear();
    for (const room of this.#rooms.values()) {
      room.clearOwn();
      if (room.roster.count(edgeId) > 0) {
        this.#announcements.add(room.key);
        this.#report(room, room.roster.drop(edgeId), true);
      }
      room.settle();
    }
    this.#rooms.clear();
    this.#version += 1;
    await this.#announcements.flush();
    this.#announcements.close();
  }
}
