/**
 * The road of a session with continuity: its queue outlives this edge, and what the client has not acknowledged comes again.
 *
 * A delivery is acknowledged when the client has answered a ping that was sent behind it. One queue is one order: what comes for a
 * channel that the client has not subscribed to again yet is held, until it does or until it had its time. That may fill the window,
 * and then the rest waits at the broker: a delay can be made up for, a loss cannot.
 */
import { BrokerError } from '../../broker/errors.ts';
import type {
  Delivery,
  LossNotice,
  SessionQueue,
  SessionQueues,
  SessionReceiver,
  SessionSpec,
} from '../../broker/port.ts';
import type { ChannelKey } from '../../contracts/ids.ts';
import { continuityLost, session as sessionFrame } from '../../contracts/pusher/frames.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Outbox } from '../socket/outbox.ts';
import { textFrame } from '../socket/websocket-frame.ts';
import type { EdgeTally } from '../tally.ts';
import { Memory } from './memory.ts';
import { NoteKeeper } from './note-keeper.ts';
import { Orphans } from './orphans.ts';
import type { Pingable, PingPacer } from './ping-pacer.ts';
import { PongAcknowledgements } from './pong-acknowledgements.ts';
import type { Road } from './road.ts';
import type { Subscription } from './subscription.ts';

/** How long the client has to subscribe again to what it had. */
const returnMs = 10_000;
const retryMs = 1_000;
/** Channels that are remembered as left and as given up, and publications as written, per connection: more than a router's confirm window. */
const maxRemembered = 256;

export type ContinuitySpec = Extract<SessionSpec, { kind: 'continuity' }>;

/** The socket of the session. */
export interface ContinuityPeer {
  /** The first number of the socket id, with its dot: the same for every connection of the session. */
  readonly socketIdPrefix: string;
  readonly outbox: Pick<Outbox, 'push'>;
  send(text: string): void;
  /** Sends `pusher:ping`. Its answer comes back as `ponged`. */
  requestPong(): void;
}

export interface ContinuityContext {
  readonly queues: SessionQueues;
  readonly pacer: PingPacer;
  readonly clock: Clock;
  readonly log: Log;
  readonly tally: EdgeTally;
}

/** What waits for the client's acknowledgement. */
type Unacknowledged = Pick<Delivery, 'tag' | 'epoch'> & { readonly name: string };

export class ContinuityQueue implements Road, SessionReceiver, Pingable {
  pingedAtMs = Number.NEGATIVE_INFINITY;
  readonly #context: ContinuityContext;
  readonly #spec: ContinuitySpec;
  readonly #peer: ContinuityPeer;
  readonly #abort = new AbortController();
  readonly #ready: Promise<SessionQueue>;
  readonly #acknowledgements = new PongAcknowledgements<Unacknowledged>();
  /** By channel name. */
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #left = new Memory(maxRemembered);
  /** Channels whose messages were given up: what is subscribed to later has a gap. */
  readonly #abandoned = new Memory(maxRemembered);
  readonly #orphans = new Orphans();
  readonly #notes: NoteKeeper;
  /** The last publications that were written on this socket. */
  readonly #seen = new Memory(maxRemembered);
  /** Written on this socket before the connection to the broker was lost; true where the client has acknowledged it since. */
  readonly #written = new Map<string, boolean>();
  #queue: SessionQueue | undefined;
  /** Acknowledged while the queue was opening: its deliveries may be ahead of it. At most the window. */
  #early: Unacknowledged[] = [];
  /** Of the tags that mean something now. */
  #epoch: number | undefined;
  #isReturning = true;
  #loss: LossNotice['reason'] | undefined;
  #notices: LossNotice[] = [];
  #ending: Promise<void> | undefined;

  /** Opens at once. */
  constructor(context: ContinuityContext, spec: ContinuitySpec, peer: ContinuityPeer) {
    this.#context = context;
    this.#spec = spec;
    this.#peer = peer;
    this.#notes = new NoteKeeper(async (text) => (await this.#ready).note(text));
    this.#ready = this.#open();
    // Whoever joins hears of it; without one nobody needs to.
    this.#ready.catch(() => undefined);
  }

  /** Resolves when the client has been told what became of the session; rejects with `BrokerError` where it cannot be opened. */
  async opened(): Promise<void> {
    await this.#ready;
  }

  async join(subscription: Subscription): Promise<void> {
    const { name, cache } = subscription.channel;
    subscription.isRepeat = this.#left.has(name);
    this.#subscriptions.set(name, subscription);
    const queue = await this.#ready;
    if (subscription.state === 'left') return;
    subscription.held.unshift(...this.#orphans.take(name));
    await queue.bind(subscription.key);
    subscription.isRepeat = false;
    if (cache) this.#notes.sees(name);
  }

  /** The session was found again. */
  get resumed(): boolean {
    return this.#queue?.resumed === true;
  }

  /** Nothing is missing on the channel since the client saw it last, on whatever edge that was. */
  continues({ channel: { name } }: Subscription): boolean {
    return (
      this.resumed &&
      this.#loss === undefined &&
      !this.#left.has(name) &&
      !this.#abandoned.has(name) &&
      this.#notes.hadSeen(name)
    );
  }

  start(subscription: Subscription): void {
    const { name } = subscription.channel;
    const reason = this.#loss ?? (this.#abandoned.has(name) ? 'unknown' : undefined);
    if (reason !== undefined && !this.#left.has(name))
      this.#peer.send(continuityLost(name, reason));
    this.#abandoned.delete(name);
    this.#left.delete(name);
    const { held } = subscription;
    subscription.held = [];
    for (const delivery of held) {
      if (delivery.revokes !== undefined) this.#revoke(delivery, delivery.revokes);
      else if (this.#subscriptions.get(name) === subscription) this.#write(delivery);
      else this.#drop(delivery, 'late');
    }
  }

  leave(subscription: Subscription): void {
    const { name, cache } = subscription.channel;
    if (this.#subscriptions.get(name) !== subscription) return;
    this.#subscriptions.delete(name);
    for (const delivery of subscription.held) this.#drop(delivery, 'late');
    subscription.held = [];
    this.#left.add(name);
    if (cache) this.#notes.seesNoMore(name);
    this.#unbind(subscription.key);
  }

  /** The socket is signed in. The session of another user is not for this one: it begins anew, and the client is told. */
  signedIn(userDigest: string): void {
    this.#notes.signedIn(userDigest);
    if (this.#notes.belongsToAnother) void this.#beginAnew();
  }

  /** The user has signed in, on this socket or on a former one of the session that has told so up to this place in the queue. */
  isOf(userDigest: string): boolean {
    return this.#notes.isOf(userDigest);
  }

  delivered(delivery: Delivery): void {
    this.#epoch = delivery.epoch;
    const { except, channel, revokes } = delivery;
    if (revokes !== undefined) {
      this.#revoke(delivery, revokes);
      return;
    }
    if (except?.startsWith(this.#peer.socketIdPrefix) === true) {
      this.#drop(delivery, 'excluded');
      return;
    }
    const subscription = this.#subscriptions.get(channel);
    if (subscription === undefined || subscription.state === 'left')
      this.#deliverToNobody(delivery);
    else if (subscription.key !== delivery.key) this.#drop(delivery, 'foreign');
    else if (subscription.covered?.has(delivery.id) === true) this.#drop(delivery, 'covered');
    else if (subscription.state === 'live') this.#write(delivery);
    else if (subscription.isRepeat) this.#drop(delivery, 'late');
    else subscription.held.push(delivery);
  }

  lost(notice: LossNotice): void {
    this.#context.tally.losses.add(notice.reason);
    this.#epoch = notice.epoch;
    this.#loss = notice.reason;
    this.#written.clear();
    for (const { state, channel } of this.#subscriptions.values()) {
      if (state === 'live') this.#peer.send(continuityLost(channel.name, notice.reason));
    }
    // Their continuity begins here.
    this.#notes.begin(this.#cacheChannels());
    // The client knows when each of its channels was told. Who has not subscribed again by then is not here to be told.
    if (this.#isReturning) this.#notices.push(notice);
    else this.#await({ ...notice, name: '' });
  }

  noted(text: string): void {
    this.#notes.found(text);
    if (this.#notes.belongsToAnother) void this.#beginAnew();
  }

  interrupted(): void {
    this.#epoch = undefined;
    for (const { name } of this.#acknowledgements.all()) {
      if (name !== '') this.#written.set(name, this.#written.get(name) ?? false);
    }
    this.#drain();
  }

  restored(): void {
    // What was not acknowledged comes again by itself, or a notice that it is lost.
  }

  /** The client has answered the oldest ping. */
  ponged(): void {
    for (const item of this.#acknowledgements.ponged()) {
      if (item.epoch === this.#epoch) this.#acknowledge(item);
      // It comes again with another tag, and need not be asked for once more.
      else if (this.#written.has(item.name)) this.#written.set(item.name, true);
    }
  }

  ping(): void {
    this.#peer.requestPong();
  }

  /** A ping has gone out, whoever asked for it: it stands for what was written before it. */
  pinged(): void {
    this.#acknowledgements.pinged();
  }

  /** @param isOver the page is gone, and nobody will come for the rest */
  end(isOver: boolean): Promise<void> {
    this.#ending ??= this.#end(isOver);
    return this.#ending;
  }

  async #open(): Promise<SessionQueue> {
    const { queues, clock, log } = this.#context;
    for (;;) {
      try {
        const queue = await queues.open(this.#spec, this, this.#abort.signal);
        this.#queue = queue;
        if (this.#ending !== undefined) throw new BrokerError('closed', 'the connection has ended');
        for (const item of this.#early.splice(0)) queue.ack(item);
        this.#announce(queue.resumed);
        this.#waitForReturn();
        return queue;
      } catch (error) {
        if (this.#ending !== undefined || !(error instanceof BrokerError && error.retryable))
          throw error;
        log.warn({ err: error }, 'a session could not be opened, trying again');
        await delay(clock, retryMs, this.#abort.signal);
      }
    }
  }

  #announce(resumed: boolean): void {
    const windowSeconds = Math.floor(this.#spec.windowMs / 1_000);
    this.#peer.send(sessionFrame({ resumed, windowSeconds }));
  }

  #waitForReturn(): void {
    if (!this.resumed) {
      this.#returned();
      return;
    }
    void delay(this.#context.clock, returnMs, this.#abort.signal).then(() => {
      if (this.#ending === undefined) this.#returned();
    });
  }

  #returned(): void {
    this.#isReturning = false;
    this.#abandon();
    for (const notice of this.#notices) this.#await({ ...notice, name: '' });
    this.#notices = [];
  }

  /** Among the channel's events it keeps its place; without a subscription it waits for one as long as they do. */
  #revoke(delivery: Delivery, user: string): void {
    const { channel, key } = delivery;
    const subscription = this.#subscriptions.get(channel);
    if (subscription === undefined || subscription.state === 'left') {
      const mayReturn =
        this.#isReturning && !this.#left.has(channel) && !this.#abandoned.has(channel);
      if (mayReturn) this.#orphans.add(delivery);
      else this.#drop(delivery, 'late');
    } else if (subscription.key !== key) this.#drop(delivery, 'late');
    else if (subscription.state === 'joining') subscription.held.push(delivery);
    else {
      this.#drop(delivery, 'late');
      subscription.subscriber.revoked(subscription, user);
    }
  }

  #deliverToNobody(delivery: Delivery): void {
    const { channel } = delivery;
    if (this.#left.has(channel)) this.#drop(delivery, 'late');
    else if (this.#isReturning && !this.#abandoned.has(channel)) {
      this.#orphans.add(delivery);
    } else {
      this.#giveUp(delivery);
    }
  }

  /** Nobody came for these in time. */
  #abandon(): void {
    for (const delivery of this.#orphans.takeAll()) this.#giveUp(delivery);
  }

  #giveUp(delivery: Delivery): void {
    if (!this.#abandoned.has(delivery.channel)) {
      this.#abandoned.add(delivery.channel);
      this.#unbind(delivery.key);
    }
    this.#drop(delivery, 'late');
  }

  #write(delivery: Delivery): void {
    const { outbox } = this.#peer;
    const name = nameOf(delivery);
    const { tag, epoch } = delivery;
    const acknowledged = this.#written.get(name);
    if (acknowledged !== undefined) {
      // It is on this socket already, and only comes again because the broker was away.
      this.#written.delete(name);
      if (acknowledged) this.#acknowledge({ tag, epoch, name });
      else this.#await({ tag, epoch, name });
      return;
    }
    if (this.#seen.has(name)) {
      // A router that crashed behind its confirms has published it once more.
      this.#drop(delivery, 'repeated');
      return;
    }
    this.#seen.add(name);
    this.#context.tally.deliveries += 1;
    outbox.push(textFrame(delivery.body));
    this.#await({ tag, epoch, name });
  }

  #await(item: Unacknowledged): void {
    this.#acknowledgements.written(item);
    const { pacer } = this.#context;
    if (this.#acknowledgements.unpinged * 2 >= this.#spec.prefetch) pacer.now(this);
    else pacer.add(this);
  }

  #acknowledge(item: Unacknowledged): void {
    if (this.#queue === undefined) this.#early.push(item);
    else this.#queue.ack(item);
  }

  #drop(
    delivery: Delivery,
    reason: 'late' | 'excluded' | 'foreign' | 'covered' | 'repeated',
  ): void {
    if (delivery.revokes === undefined) this.#context.tally.dropped.add(reason);
    this.#acknowledge({ tag: delivery.tag, epoch: delivery.epoch, name: '' });
  }

  #unbind(key: ChannelKey): void {
    // A former owner may have bound it. A queue that is closed has no bindings left to remove.
    void this.#ready.then((queue) => queue.unbind(key)).catch(ignoreClosed);
  }

  /** What the queue holds was meant for somebody else. */
  async #beginAnew(): Promise<void> {
    this.#notes.beginForAnother(this.#cacheChannels());
    this.#loss = undefined;
    this.#drain();
    this.#written.clear();
    try {
      const queue = await this.#ready;
      await queue.reset();
      this.#drain();
      this.#written.clear();
      for (const { key } of this.#subscriptions.values()) await queue.bind(key);
      this.#announce(false);
      // The queue is new: it has no note.
      this.#notes.begin(this.#cacheChannels());
    } catch (error) {
      // Closed meanwhile, or the broker is away for good: the socket will end, and then nothing is parked for the wrong user.
      this.#context.log.warn({ err: error }, 'a session could not begin anew');
    }
  }

  /** Nothing of what came before has a tag that means anything. */
  #drain(): void {
    this.#early = [];
    this.#orphans.clear();
    this.#notices = [];
    for (const subscription of this.#subscriptions.values()) subscription.held = [];
  }

  #cacheChannels(): string[] {
    const names: string[] = [];
    for (const { channel } of this.#subscriptions.values())
      if (channel.cache) names.push(channel.name);
    return names;
  }

  async #end(isOver: boolean): Promise<void> {
    this.#context.pacer.delete(this);
    this.#abort.abort();
    this.#notes.end();
    const queue = await this.#ready.catch(() => this.#queue);
    this.#subscriptions.clear();
    this.#orphans.clear();
    if (queue === undefined) return;
    await (isOver ? queue.close() : queue.park());
  }
}

/** Names a publication among those of the session. */
function nameOf({ channel, id }: Delivery): string {
  return `${channel} ${id}`;
}

function ignoreClosed(error: unknown): void {
  if (error instanceof BrokerError) return;
  throw error;
}
