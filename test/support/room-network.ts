/** Edges that share rooms over a bus of which a test decides what it delivers, when, and what it loses. */
import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { BusAddress } from '../../broker/port.ts';
import {
  decodeEdgeMessage,
  type EdgeMessage,
  encodeEdgeMessage,
} from '../../contracts/edge-message.ts';
import type { ChannelKey, EdgeId } from '../../contracts/ids.ts';
import type { RoomTimings } from '../../edge/cluster/room-bus.ts';
import { type RoomMessage, Rooms } from '../../edge/cluster/rooms.ts';
import { createManualClock, type ManualClock } from './manual-clock.ts';

export interface SentMessage {
  readonly from: EdgeId;
  readonly to: BusAddress;
  readonly message: EdgeMessage;
}

type Report = readonly ['added', string, string | null] | readonly ['removed', string];
type Item = EdgeMessage | 'joined' | 'left';

/** What befalls one copy of a message on its way to one edge. */
export type Fate = 'arrives' | 'lost' | 'twice';

export class RoomNetwork {
  readonly clock: ManualClock = createManualClock();
  readonly nodes = new Map<EdgeId, RoomNode>();
  readonly sent: SentMessage[] = [];
  /** Tests replace it. */
  fate: (message: EdgeMessage) => Fate = () => 'arrives';
  readonly timings: Partial<RoomTimings>;
  /** Per sender and receiver, in the order in which it was sent. */
  readonly #lines = new Map<string, { from: EdgeId; to: RoomNode; items: Item[] }>();

  constructor(timings: Partial<RoomTimings> = {}) {
    this.timings = timings;
  }

  /** A new edge; the others hear of it before anything else that it sends. */
  add(name: string): RoomNode {
    const node = new RoomNode(this, name as EdgeId);
    for (const other of this.nodes.values()) {
      this.#push(node.id, other, 'joined');
      node.rooms.edgeJoined(other.id);
    }
    this.nodes.set(node.id, node);
    return node;
  }

  /** The process is gone; the others notice after what it has sent before. */
  kill(node: RoomNode): void {
    this.nodes.delete(node.id);
    node.isDead = true;
    this.dropIncoming(node);
    // It says no more; its timers end with it.
    void node.rooms.close();
    for (const other of this.nodes.values()) this.#push(node.id, other, 'left');
  }

  /** Delivers the next message of some line; false where there is none. */
  step(choice = 0): boolean {
    const lines = [...this.#lines.entries()];
    const entry = lines[choice % Math.max(1, lines.length)];
    if (entry === undefined) return false;
    const [name, { from, to, items }] = entry;
    const item = items.shift();
    if (items.length === 0) this.#lines.delete(name);
    if (item === 'joined') to.rooms.edgeJoined(from);
    else if (item === 'left') to.rooms.edgeLeft(from);
    else if (item !== undefined) to.rooms.receive(from, item as RoomMessage);
    return true;
  }

  /** Delivers all that is under way, and what that causes at once. */
  async settle(): Promise<void> {
    do {
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.step());
  }

  async advance(ms: number, stepMs = 50): Promise<void> {
    await this.settle();
    for (let passedMs = 0; passedMs < ms; passedMs += stepMs) {
      this.clock.advance(Math.min(stepMs, ms - passedMs));
      await this.settle();
    }
  }

  send(from: RoomNode, to: BusAddress, sent: EdgeMessage): void {
    const message = decodeEdgeMessage(encodeEdgeMessage(sent));
    if (message === undefined) throw new Error(`not an edge message: ${JSON.stringify(sent)}`);
    this.sent.push({ from: from.id, to, message });
    for (const node of this.nodes.values()) {
      if (node.isAway) continue;
      if (to.kind === 'edge' && to.edgeId !== node.id) continue;
      if (to.kind === 'topic' && !node.topics.has(to.topic)) continue;
      // As on the real bus, its own messages come back to the sender.
      const fate = this.fate(message);
      if (fate === 'lost') continue;
      this.#push(from.id, node, message);
      if (fate === 'twice') this.#push(from.id, node, message);
    }
  }

  /** An exclusive queue goes with its connection. What edges notice about each other does not. */
  dropIncoming(node: RoomNode): void {
    for (const [name, line] of [...this.#lines]) {
      if (line.to !== node) continue;
      line.items = line.items.filter((item) => typeof item === 'string');
      if (node.isDead || line.items.length === 0) this.#lines.delete(name);
    }
  }

  #push(from: EdgeId, to: RoomNode, item: Item): void {
    const name = `${from}>${to.id}`;
    const line = this.#lines.get(name);
    if (line === undefined) this.#lines.set(name, { from, to, items: [item] });
    else line.items.push(item);
  }
}

export class RoomNode {
  readonly id: EdgeId;
  readonly rooms: Rooms;
  readonly topics = new Set<ChannelKey>();
  /** Calls in their order: `listen` and `unlisten`. */
  readonly topicCalls: string[] = [];
  readonly reports: Report[] = [];
  /** Per room: the snapshot at its opening, and every report since. */
  readonly mirrors = new Map<ChannelKey, Map<string, string | null>>();
  /** Openings that a test has under way. */
  readonly opening = new Set<ChannelKey>();
  isAway = false;
  isDead = false;
  /** Sends that the broker does not confirm, and does not route either. */
  failingSends = 0;
  /** Where set, `listen` and `unlisten` wait for it. */
  topicGate: Promise<void> | undefined;
  readonly #network: RoomNetwork;
  readonly #waiting: (() => void)[] = [];

  constructor(network: RoomNetwork, id: EdgeId) {
    this.#network = network;
    this.id = id;
    this.rooms = new Rooms({
      edgeId: id,
      clock: network.clock,
      timings: network.timings,
      bus: {
        send: async (to, message) => this.#send(to, message),
        listen: async (key) => {
          this.topicCalls.push('listen');
          await this.topicGate;
          this.topics.add(key);
          if (this.isAway) await new Promise<void>((resolve) => this.#waiting.push(resolve));
        },
        unlisten: async (key) => {
          this.topicCalls.push('unlisten');
          await this.topicGate;
          this.topics.delete(key);
        },
      },
      membership: {
        edges: () => [...network.nodes.keys()],
        settled: async () => undefined,
      },
      listener: {
        added: (key, user, info) => {
          this.reports.push(['added', user, info]);
          const mirror = this.mirrors.get(key);
          expect(mirror?.has(user) ?? false, `${id}: ${user} is added twice`).to.equal(false);
          mirror?.set(user, info);
        },
        removed: (key, user) => {
          this.reports.push(['removed', user]);
          const mirror = this.mirrors.get(key);
          expect(mirror?.has(user) ?? true, `${id}: ${user} is removed twice`).to.equal(true);
          mirror?.delete(user);
        },
      },
    });
  }

  /** Opens a room and mirrors it from then on. */
  async open(key: ChannelKey): Promise<void> {
    await this.rooms.open(key);
    if (!this.mirrors.has(key)) this.mirrors.set(key, new Map(this.rooms.members(key)));
  }

  close(key: ChannelKey): void {
    this.mirrors.delete(key);
    this.rooms.close(key);
  }

  members(key: ChannelKey): string[] {
    return [...this.rooms.members(key)].map(([user]) => user);
  }

  interrupt(): void {
    this.isAway = true;
    this.#network.dropIncoming(this);
    this.rooms.interrupted();
  }

  restore(): void {
    this.isAway = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
    this.rooms.restored();
  }

  #send(to: BusAddress, message: EdgeMessage): void {
    if (this.isDead) return;
    if (this.isAway || this.failingSends > 0) {
      this.failingSends = Math.max(0, this.failingSends - 1);
      throw new BrokerError('broker_unavailable', 'the broker has not confirmed');
    }
    this.#network.send(this, to, message);
  }
}
