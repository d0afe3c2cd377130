/** Edges and routers under one prefix that a test kills and starts again one by one, behind balancers whose links it breaks. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { type TopologyNames, topologyNames } from '../../contracts/topology.ts';
import { type Balancer, startBalancer } from '../support/balancer.ts';
import { deleteTopology, uniquePrefix } from '../support/broker.ts';
import { type Member, startMember } from '../support/cluster.ts';

export interface FleetOptions {
  readonly url: string;
  readonly edges: number;
  readonly routers: number;
  /** Text of warren.yaml. */
  readonly config: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** The place of one process; `member` is undefined while it is away. */
interface Slot {
  readonly role: 'edge' | 'router';
  readonly index: number;
  /** Its own way to the broker. */
  readonly link: Balancer;
  member: Member | undefined;
  /** Count of its starts: the lower, the longer it is up. */
  startedAs: number;
}

export class Fleet {
  readonly names: TopologyNames;
  /** Clients reach the edges here. */
  readonly pages: Balancer;
  /** HTTP calls reach the edges here. */
  readonly calls: Balancer;
  /** Starts that failed: the run is worth nothing then. */
  readonly problems: unknown[] = [];
  readonly #options: FleetOptions;
  readonly #directory: string;
  readonly #slots: readonly Slot[];
  readonly #starting = new Set<Promise<void>>();
  #starts = 0;
  #stopped = false;

  static async start(options: FleetOptions): Promise<Fleet> {
    const absent = Array.from({ length: options.edges }, () => undefined);
    const [pages, calls] = await Promise.all([startBalancer(absent), startBalancer(absent)]);
    const brokerPort = Number(new URL(options.url).port || 5672);
    const slot = async (role: Slot['role'], index: number): Promise<Slot> => {
      const link = await startBalancer([brokerPort], new URL(options.url).hostname);
      return { role, index, link, member: undefined, startedAs: 0 };
    };
    const slots = await Promise.all([
      ...Array.from({ length: options.routers }, (_, index) => slot('router', index)),
      ...absent.map((_, index) => slot('edge', index)),
    ]);
    const fleet = new Fleet(options, pages, calls, slots);
    for (const one of slots) fleet.#begin(one);
    await fleet.settled();
    if (fleet.problems.length === 0) return fleet;
    await fleet.stop();
    throw new AggregateError(fleet.problems, 'not every member started');
  }

  constructor(options: FleetOptions, pages: Balancer, calls: Balancer, slots: readonly Slot[]) {
    this.#options = options;
    this.pages = pages;
    this.calls = calls;
    this.#slots = slots;
    this.names = topologyNames(uniquePrefix());
    this.#directory = mkdtempSync(join(tmpdir(), 'warren-chaos-'));
    writeFileSync(join(this.#directory, 'warren.yaml'), options.config);
  }

  /** Indexes of the edges that are up. */
  edges(): readonly number[] {
    return this.#up('edge').map(({ index }) => index);
  }

  /** Indexes of the routers that are up, the one that works first: the others stand by. */
  routers(): readonly number[] {
    const up = this.#up('router').sort((a, b) => a.startedAs - b.startedAs);
    return up.map(({ index }) => index);
  }

  /** The way of a member to the broker. */
  brokerLink(role: Slot['role'], index: number): Balancer {
    return this.#slot(role, index).link;
  }

  /** Resolves when it is dead; it is started again in the background. */
  async kill(role: Slot['role'], index: number): Promise<void> {
    const slot = this.#slot(role, index);
    await this.#end(slot, 'SIGKILL');
    this.#begin(slot);
  }

  /** Ends it in order and resolves when its successor is ready. */
  async redeploy(role: Slot['role'], index: number): Promise<void> {
    const slot = this.#slot(role, index);
    const code = await this.#end(slot, 'SIGTERM');
    if (code !== 0 && code !== undefined) {
      this.problems.push(new Error(`${role} ${index} drained with exit code ${code}`));
    }
    this.#begin(slot);
    await this.settled();
  }

  /** Resolves when nobody is being started. */
  async settled(): Promise<void> {
    while (this.#starting.size > 0) await Promise.all(this.#starting);
  }

  /** The last lines of every log, for a failed run. At most `lines` of each. */
  logs(lines: number): string {
    return this.#slots
      .filter(({ member }) => member !== undefined)
      .map(
        ({ role, index, member }) =>
          `--- ${role} ${index}\n${(member?.log ?? []).slice(-lines).join('\n')}`,
      )
      .join('\n');
  }

  /** Ends every member in order. The balancers stay. Idempotent. */
  async stopMembers(): Promise<void> {
    this.#stopped = true;
    await this.settled();
    await Promise.all(this.#slots.map((slot) => this.#end(slot, 'SIGTERM')));
  }

  /** Leaves nothing behind, at the broker either. */
  async stop(): Promise<void> {
    await this.stopMembers();
    await Promise.all(
      [this.pages, this.calls, ...this.#slots.map(({ link }) => link)].map((one) => one.close()),
    );
    rmSync(this.#directory, { recursive: true });
    const connection = await connect(this.#options.url);
    await deleteTopology(connection, this.names);
    await connection.close();
  }

  #begin(slot: Slot): void {
    const started = this.#start(slot)
      .catch((error: unknown) => {
        this.problems.push(error);
      })
      .finally(() => this.#starting.delete(started));
    this.#starting.add(started);
  }

  async #start(slot: Slot): Promise<void> {
    if (this.#stopped) return;
    const url = new URL(this.#options.url);
    url.host = `127.0.0.1:${slot.link.port}`;
    const member = await startMember(slot.role, {
      WARREN_CONFIG: join(this.#directory, 'warren.yaml'),
      WARREN_HOST: '127.0.0.1',
      WARREN_PORT: '0',
      WARREN_METRICS_PORT: '0',
      WARREN_TOPOLOGY_PREFIX: this.names.prefix,
      ...this.#options.environment,
      WARREN_BROKER_URL: url.href,
    });
    this.#starts += 1;
    slot.startedAs = this.#starts;
    slot.member = member;
    if (slot.role === 'edge') this.#place(slot.index, member.port);
  }

  /** Resolves with the exit code; undefined where it was away. */
  async #end(slot: Slot, signal: NodeJS.Signals): Promise<number | null | undefined> {
    const { member } = slot;
    if (member === undefined) return undefined;
    slot.member = undefined;
    const code = await member.stop(signal);
    // Until now the balancers found out for themselves; from now on another process could get the port.
    if (slot.role === 'edge') this.#place(slot.index, undefined);
    return code;
  }

  #place(index: number, port: number | undefined): void {
    this.pages.setBackend(index, port);
    this.calls.setBackend(index, port);
  }

  #up(role: Slot['role']): Slot[] {
    return this.#slots.filter((slot) => slot.role === role && slot.member !== undefined);
  }

  #slot(role: Slot['role'], index: number): Slot {
    const found = this.#slots.find((slot) => slot.role === role && slot.index === index);
    if (found === undefined) throw new Error(`there is no ${role} ${index}`);
    return found;
  }
}
