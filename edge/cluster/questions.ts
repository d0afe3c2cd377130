/** Questions to all edges: asked over the bus, answered in parts, merged when everyone has answered. */
import type { Answer, Question } from '../../contracts/edge-message.ts';
import type { AppId, ChannelName, EdgeId } from '../../contracts/ids.ts';
import type { Clock } from '../../runtime/clock.ts';
import { answerParts } from './answer-parts.ts';
import type { Bus } from './bus.ts';
import { type ChannelsQuery, ClusterIncomplete, type LocalState, type Occupancy } from './port.ts';

export interface QuestionsOptions {
  readonly edgeId: EdgeId;
  readonly bus: Pick<Bus, 'send'> & { readonly up: boolean };
  readonly membership: { edges(): readonly EdgeId[]; settled(): Promise<void> };
  readonly clock: Clock;
  readonly local: LocalState;
  /** How long the others may take, the wait for a settled view included. */
  readonly deadlineMs: number;
}

/** Questions of this edge under way at a time; each holds the answers that have come. */
export const maxQuestions = 64;
/** Answers that this edge is sending at a time; who asks beyond it runs into its deadline. */
const maxAnswers = 64;

interface Pending {
  /** Parts by edge that has begun, and not ended, to answer. */
  readonly waiting: Map<EdgeId, Answer[]>;
  readonly complete: Answer[];
  readonly finish: () => void;
  readonly fail: (error: ClusterIncomplete) => void;
}

export class Questions {
  readonly #options: QuestionsOptions;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #underWay = 0;
  #answering = 0;
  #closed = false;

  constructor(options: QuestionsOptions) {
    this.#options = options;
  }

  /** @throws ClusterIncomplete */
  async channels(query: ChannelsQuery): Promise<ReadonlyMap<ChannelName, Occupancy>> {
    const { app, prefix, names, users } = query;
    const answers = await this.#ask({
      about: 'channels',
      app,
      prefix,
      names: names ?? null,
      users,
    });
    const merged = new Map<ChannelName, Merged>();
    for (const [name, { subscriptions, users: here }] of this.#options.local.channels(query)) {
      merge(merged, name, subscriptions, here);
    }
    for (const { channels } of answers) {
      for (const [name, subscriptions, there] of channels) {
        merge(merged, name, subscriptions, there ?? undefined);
      }
    }
    return merged;
  }

  /** The sockets of this edge are closed whether the others answer or not. @throws ClusterIncomplete */
  async terminate(app: AppId, user: string): Promise<number> {
    const closedHere = this.#options.local.terminate(app, user);
    const answers = await this.#ask({ about: 'terminate', app, user });
    return answers.reduce((sum, { closed }) => sum + closed, closedHere);
  }

  /** Answers another edge. What cannot be sent is not sent again: the asker has a deadline. */
  async asked(from: EdgeId, id: number, question: Question): Promise<void> {
    if (this.#closed || this.#answering >= maxAnswers) return;
    this.#answering += 1;
    const { bus, clock, local, deadlineMs } = this.#options;
    const untilMs = clock.monotonicMs() + deadlineMs;
    try {
      for (const part of answerParts(id, question, local)) {
        await bus.send({ kind: 'edge', edgeId: from }, part);
        if (clock.monotonicMs() > untilMs) return;
      }
    } catch {
      // The broker is away, and the asker knows it or will run into its deadline.
      return;
    } finally {
      this.#answering -= 1;
    }
  }

  /** Answers that nobody waits for any more, or that came twice, are ignored. */
  answered(from: EdgeId, answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    const parts = pending?.waiting.get(from);
    if (pending === undefined || parts === undefined) return;
    parts.push(answer);
    if (!answer.last) return;
    pending.complete.push(...parts);
    this.#done(pending, from);
  }

  /** What it held is gone with it, half an answer too. */
  edgeLeft(edge: EdgeId): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.waiting.has(edge)) this.#done(pending, edge);
    }
  }

  /** The bus is away: answers under way are lost. */
  interrupted(): void {
    for (const pending of [...this.#pending.values()]) {
      pending.fail(new ClusterIncomplete([...pending.waiting.keys()], 'the broker is away'));
    }
  }

  close(): void {
    this.#closed = true;
    for (const pending of [...this.#pending.values()]) {
      pending.fail(new ClusterIncomplete([], 'this edge is leaving the cluster'));
    }
  }

  #done(pending: Pending, edge: EdgeId): void {
    pending.waiting.delete(edge);
    if (pending.waiting.size === 0) pending.finish();
  }

  async #ask(question: Question): Promise<readonly Answer[]> {
    const { bus } = this.#options;
    if (this.#closed) throw new ClusterIncomplete([], 'this edge is leaving the cluster');
    if (!bus.up) throw new ClusterIncomplete([], 'the broker is away');
    if (this.#underWay >= maxQuestions) {
      const text = `${maxQuestions} questions to the other edges are under way already`;
      throw new ClusterIncomplete([], text);
    }
    this.#underWay += 1;
    try {
      return await this.#collect(question);
    } finally {
      this.#underWay -= 1;
    }
  }

  #collect(question: Question): Promise<readonly Answer[]> {
    const { bus, membership, clock, deadlineMs, edgeId } = this.#options;
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const end = () => {
        cancel();
        this.#pending.delete(id);
      };
      const pending: Pending = {
        waiting: new Map(),
        complete: [],
        finish() {
          end();
          resolve(pending.complete);
        },
        fail(error) {
          end();
          reject(error);
        },
      };
      const cancel = clock.after(deadlineMs, () => {
        const silent = [...pending.waiting.keys()];
        const text =
          silent.length === 0
            ? 'the edges do not know each other yet'
            : `${silent.length} of ${membership.edges().length} edges have not answered in time`;
        pending.fail(new ClusterIncomplete(silent, text));
      });
      this.#pending.set(id, pending);
      void membership.settled().then(() => {
        if (this.#pending.get(id) !== pending) return;
        for (const edge of membership.edges()) if (edge !== edgeId) pending.waiting.set(edge, []);
        if (pending.waiting.size === 0) {
          pending.finish();
          return;
        }
        bus.send({ kind: 'all' }, { type: 'ask', id, question }).catch((error: unknown) => {
          if (this.#pending.get(id) !== pending) return;
          const reason = error instanceof Error ? error.message : String(error);
          const silent = [...pending.waiting.keys()];
          pending.fail(new ClusterIncomplete(silent, `the question was not sent: ${reason}`));
        });
      });
    });
  }
}

interface Merged {
  subscriptions: number;
  users?: Set<string>;
}

/** Parts add up: a channel of which the users fill several parts has its subscriptions in one of them. */
function merge(
  merged: Map<ChannelName, Merged>,
  name: ChannelName,
  subscriptions: number,
  users: Iterable<string> | undefined,
): void {
  let channel = merged.get(name);
  if (channel === undefined) {
    channel = { subscriptions: 0 };
    merged.set(name, channel);
  }
  channel.subscriptions += subscriptions;
  if (users === undefined) return;
  channel.users ??= new Set();
  for (const user of users) channel.users.add(user);
}
