/**
 * A continuity queue as its owner has it: found or made, held, whole or told to be broken, bound, and let go.
 *
 * One attempt at a time leads there, from whatever state the queue is in; every loss starts the next. What has to hold when the process
 * dies at any point in between is in docs/adr/0009-loss-is-proved.md.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import { BrokerError } from '../errors.ts';
import type { LossNotice, SessionReceiver } from '../port.ts';
import { Bindings, isReplyTo } from './bindings.ts';
import type { ConfirmPublisher } from './confirm-publisher.ts';
import {
  type ContinuityShape,
  deleteUnused,
  giveBirth,
  lookAt,
  type Note,
  publishOwn,
} from './continuity-birth.ts';
import { ContinuityHold } from './continuity-hold.ts';
import type { LaneChannels, LaneQueue } from './lane.ts';
import { toBrokerError } from './link.ts';
import { messageType } from './own-messages.ts';

export interface ContinuityHost {
  readonly publisher: ConfirmPublisher;
  readonly clock: Clock;
  readonly log: Log;
  readonly exchange: string;
  /** After so long the channel is renewed at a quiet moment, and after 5/3 of it at any. */
  readonly renewAfterMs: number;
}

/** Between attempts on a connection that is itself alive. */
const retryMs = 200;
/** Between looks for a quiet moment. */
const quietMs = 1_000;

interface Resetting {
  readonly done: Promise<void>;
  resolve(): void;
  /** The queue was made after it was asked for. */
  isMade: boolean;
}

export class ContinuityQueue implements LaneQueue {
  readonly #host: ContinuityHost;
  readonly #shape: ContinuityShape;
  readonly #prefetch: number;
  readonly #receiver: SessionReceiver;
  readonly #bindings: Bindings;
  readonly #author = randomUUID();
  readonly #stopped = new AbortController();
  #channels: LaneChannels | undefined;
  #hold: ContinuityHold | undefined;
  #attempt = 0;
  #attempting: Promise<void> = Promise.resolve();
  #live = false;
  #everLive = false;
  #isMadeHere = false;
  /** Was lost and has not been told: the next queue begins with it. */
  #loss: LossNotice['reason'] | undefined;
  #note: Note | undefined;
  #resetting: Resetting | undefined;
  #isInterrupted = false;
  #stopRenewal: () => void = () => undefined;
  #closed: BrokerError | undefined;
  #opened: () => void = () => undefined;
  #refused: (error: BrokerError) => void = () => undefined;
  /** Resolves when it is owned for the first time; rejects with what made that impossible for good, or `closed`. */
  readonly opened: Promise<void>;

  /** @param prefetch of the owner */
  constructor(
    host: ContinuityHost,
    shape: ContinuityShape,
    prefetch: number,
    receiver: SessionReceiver,
  ) {
    this.#host = host;
    this.#shape = shape;
    this.#prefetch = prefetch;
    this.#receiver = receiver;
    this.#bindings = new Bindings({ exchange: host.exchange, survives: true });
    this.opened = new Promise((resolve, reject) => {
      this.#opened = resolve;
      this.#refused = reject;
    });
    this.opened.catch(() => undefined);
  }

  /** The queue was there before: whole, or it begins with a notice. */
  get resumed(): boolean {
    return !this.#isMadeHere;
  }

  attach(channels: LaneChannels): Promise<void> {
    // The lane's consuming channel is not ours: on the same connection everything goes on.
    if (this.#channels?.session === channels.session) return this.controlReplaced(channels);
    this.#channels = channels;
    this.#acquire();
    return Promise.resolve();
  }

  controlReplaced(channels: LaneChannels): Promise<void> {
    this.#channels = channels;
    const { session, control } = channels;
    this.#bindings.replaced({ queue: this.#shape.name, session, control });
    return Promise.resolve();
  }

  consumerLost(): void {
    // Not ours.
  }

  connectionLost(): void {
    this.#channels = undefined;
    this.#attempt += 1;
    this.#drop();
  }

  bind(key: string): Promise<void> {
    return this.#closed === undefined ? this.#bindings.bind(key) : Promise.reject(this.#closed);
  }

  unbind(key: string): Promise<void> {
    return this.#closed === undefined ? this.#bindings.unbind(key) : Promise.resolve();
  }

  ack(tag: number, epoch: number): void {
    if (this.#live && this.#hold?.epoch === epoch) this.#hold.ack(tag);
  }

  async note(text: string): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed;
    if (!this.#live) throw new BrokerError('broker_unavailable', 'the session is not held now');
    const hold = this.#hold;
    const { publisher } = this.#host;
    await publishOwn(publisher, this.#shape.name, messageType.note, text, this.#author);
    if (this.#hold !== hold) {
      throw new BrokerError('broker_unavailable', 'the queue may have been made anew meanwhile');
    }
    this.#note = { text, author: this.#author };
  }

  reset(): Promise<void> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    this.#note = undefined;
    this.#loss = undefined;
    this.#bindings.forgetAll();
    if (this.#resetting === undefined) {
      let resolve = () => {};
      const done = new Promise<void>((yes) => {
        resolve = yes;
      });
      this.#resetting = { done, resolve, isMade: false };
    }
    this.#resetting.isMade = false;
    const { done } = this.#resetting;
    const hold = this.#hold;
    if (this.#live && hold !== undefined) {
      this.#live = false;
      hold.silence();
      this.#acquire(() => this.#discard(hold));
    }
    return done.then(() => {
      if (this.#closed !== undefined) throw this.#closed;
    });
  }

  /** As `park`. */
  close(): Promise<void> {
    return this.park();
  }

  async park(): Promise<void> {
    const hold = this.#hold;
    const model = this.#channels?.session.model;
    const isUnowned = !this.#everLive;
    if (!this.#shut()) return;
    await hold?.letGo();
    await this.#attempting;
    // Nobody was given it: nothing is left behind.
    if (isUnowned && this.#isMadeHere && model !== undefined) {
      await deleteUnused(model, this.#shape.name).catch(() => undefined);
    }
  }

  /** Ends the session; where it is not held, its window does. */
  async end(): Promise<void> {
    const hold = this.#live ? this.#hold : undefined;
    const control = this.#channels?.control;
    if (hold === undefined || control === undefined) return this.park();
    if (!this.#shut()) return;
    hold.silence();
    await control.deleteQueue(this.#shape.name).catch(() => undefined);
    await hold.close();
  }

  #shut(): boolean {
    if (this.#closed !== undefined) return false;
    this.#fail(new BrokerError('closed', 'the session is closed'));
    return true;
  }

  #fail(error: BrokerError): void {
    this.#closed = error;
    this.#live = false;
    this.#attempt += 1;
    this.#stopped.abort();
    this.#stopRenewal();
    this.#bindings.close(error);
    this.#resetting?.resolve();
    this.#refused(error);
  }

  /** Whatever was held is gone. */
  #drop(): void {
    this.#stopRenewal();
    const hold = this.#hold;
    this.#hold = undefined;
    this.#bindings.away();
    void hold?.close();
    this.#interrupt();
  }

  #interrupt(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#isInterrupted = true;
    this.#hold?.silence();
    this.#receiver.interrupted();
  }

  /** @param first how to let go of what is held now */
  #acquire(first: () => Promise<void> = async () => undefined): void {
    this.#attempt += 1;
    const attempt = this.#attempt;
    const isCurrent = () => attempt === this.#attempt && this.#channels !== undefined;
    this.#attempting = this.#attempting.then(async () => {
      await first().catch((error: unknown) => this.#noteError(error));
      while (isCurrent()) {
        try {
          if (await this.#try(isCurrent)) return;
        } catch (error) {
          if (!isCurrent()) return;
          this.#noteError(error);
          if (error instanceof BrokerError && !error.retryable) {
            this.#fail(error);
            return;
          }
          await delay(this.#host.clock, retryMs, this.#stopped.signal);
        }
      }
    });
  }

  /** False where it has to begin again at once. */
  async #try(isCurrent: () => boolean): Promise<boolean> {
    const channels = this.#channels;
    if (channels === undefined) return false;
    const { name } = this.#shape;
    const waiting = await lookAt(channels.session.model, name);
    if (!isCurrent()) return false;
    if (waiting === undefined) await this.#make(channels);
    if (!isCurrent()) return false;
    const hold = await this.#consume(channels);
    this.#hold = hold;
    try {
      const isOwned = isCurrent() && (await this.#judge(hold, isCurrent, waiting));
      if (!isOwned) await hold.close();
      return isOwned;
    } catch (error) {
      // Held on to, it would keep the next attempt waiting.
      await hold.close();
      throw error;
    }
  }

  /** @param waiting messages that waited when it was looked at; undefined where it was made just now */
  async #judge(
    hold: ContinuityHold,
    isCurrent: () => boolean,
    waiting: number | undefined,
  ): Promise<boolean> {
    if (waiting === 0) this.#probe(hold, isCurrent);
    const verdict = await hold.verdict;
    if (!isCurrent() || verdict === 'ended') return false;
    if (verdict === 'broken') {
      const reason = await hold.reason();
      this.#loss ??= reason;
      await this.#discard(hold);
      return false;
    }
    return this.#own(hold, isCurrent, waiting !== undefined);
  }

  async #own(hold: ContinuityHold, isCurrent: () => boolean, wasFound: boolean): Promise<boolean> {
    const { name } = this.#shape;
    const { publisher } = this.#host;
    const mustReset = () => this.#resetting !== undefined && !this.#resetting.isMade;
    // Somebody else made the queue anew before we could, and knew nothing of it.
    if (wasFound && this.#loss !== undefined) {
      await publishOwn(publisher, name, messageType.lost, this.#loss);
    }
    this.#loss = undefined;
    const channels = this.#channels;
    if (!isCurrent() || channels === undefined) return false;
    const { session, control } = channels;
    if (!mustReset()) await this.#bindings.settle({ queue: name, session, control });
    if (!isCurrent() || hold.isOver) return false;
    if (mustReset()) {
      await this.#discard(hold);
      return false;
    }
    this.#live = true;
    this.#everLive = true;
    this.#renewLater(hold);
    this.#opened();
    this.#resetting?.resolve();
    this.#resetting = undefined;
    if (this.#isInterrupted) {
      this.#isInterrupted = false;
      this.#receiver.restored();
    }
    hold.begin();
    return true;
  }

  async #make(channels: LaneChannels): Promise<void> {
    const resetting = this.#resetting;
    const lost = this.#loss ?? (this.#everLive && resetting === undefined ? 'unknown' : undefined);
    this.#bindings.deleted();
    try {
      await giveBirth(channels, this.#host.publisher, this.#shape, { lost, note: this.#note });
    } catch (error) {
      // The broker's own answer to a declaration stays the same however often it is asked.
      if (isReplyTo(error)) throw toBrokerError(error, `declaring queue ${this.#shape.name}`);
      throw error;
    }
    this.#loss = undefined;
    if (resetting !== undefined) resetting.isMade = true;
    if (!this.#everLive) this.#isMadeHere = lost === undefined;
  }

  async #consume({ session }: LaneChannels): Promise<ContinuityHold> {
    const channel = await session.model.createChannel();
    channel.on('error', (error) => {
      this.#host.log.warn({ err: error }, 'channel of a session closed by the broker');
    });
    channel.on('handler-error', (error, event) => {
      this.#host.log.error({ err: error, event }, 'channel event handler failed');
    });
    const { name, length } = this.#shape;
    const hold = new ContinuityHold(
      channel,
      { queue: name, length, prefetch: this.#prefetch },
      {
        receiver: this.#receiver,
        noted: (text, author) => this.#noted({ text, author }),
        overflowed: () => this.#overflowed(hold),
        ended: () => this.#ended(hold),
      },
    );
    try {
      await hold.consume();
    } catch (error) {
      await hold.close();
      throw error;
    }
    return hold;
  }

  /** Nothing may ever come from a queue without a head: our own message shows whether anything lies before it. */
  #probe(hold: ContinuityHold, isCurrent: () => boolean): void {
    const { name } = this.#shape;
    const { publisher, clock } = this.#host;
    const attempt = async () => {
      for (;;) {
        try {
          await publishOwn(publisher, name, messageType.probe, '', hold.probe);
          return;
        } catch (error) {
          this.#noteError(error);
          await delay(clock, retryMs, this.#stopped.signal);
          if (!isCurrent() || hold !== this.#hold) return;
        }
      }
    };
    void attempt();
  }

  /** Deleted while it is held, so that nobody else can be in it. */
  async #discard(hold: ContinuityHold): Promise<void> {
    this.#stopRenewal();
    this.#bindings.away();
    const control = this.#channels?.control;
    try {
      await control?.deleteQueue(this.#shape.name);
      this.#bindings.deleted();
    } finally {
      if (this.#hold === hold) this.#hold = undefined;
      await hold.close();
    }
  }

  #noted(note: Note): void {
    // Our own is newer, whenever the other comes in.
    if (note.author === this.#author) return;
    this.#note = note;
    this.#receiver.noted(note.text);
  }

  #overflowed(hold: ContinuityHold): void {
    if (this.#hold !== hold || !this.#live) return;
    this.#loss = 'overflow';
    this.#interrupt();
    this.#acquire(() => this.#discard(hold));
  }

  #ended(hold: ContinuityHold): void {
    if (this.#hold !== hold || !this.#live) return;
    this.#drop();
    if (this.#channels !== undefined) this.#acquire();
  }

  #renewLater(hold: ContinuityHold): void {
    const { clock, renewAfterMs } = this.#host;
    const forceAt = clock.monotonicMs() + (renewAfterMs * 5) / 3;
    const look = () => {
      if (this.#hold !== hold || !this.#live) return;
      if (!hold.quiet && clock.monotonicMs() < forceAt) {
        this.#stopRenewal = clock.after(quietMs, look);
        return;
      }
      this.#interrupt();
      this.#acquire(() => hold.letGo());
    };
    this.#stopRenewal = clock.after(renewAfterMs, look);
  }

  #noteError(error: unknown): void {
    if (this.#closed === undefined) {
      this.#host.log.debug({ err: error }, 'a session could not be held yet');
    }
  }
}
