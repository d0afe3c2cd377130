import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { Delivery, SessionQueue, SessionQueues, SessionReceiver } from '../../broker/port.ts';
import { parseChannel } from '../../contracts/channel.ts';
import { type AppId, parseAppId } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { ContinuityQueue } from '../../edge/delivery/continuity-queue.ts';
import { PingPacer } from '../../edge/delivery/ping-pacer.ts';
import { decodeNote, encodeNote } from '../../edge/delivery/session-note.ts';
import { Subscription } from '../../edge/delivery/subscription.ts';
import { EdgeTally } from '../../edge/tally.ts';
import { createLog } from '../../runtime/log.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';
import { okOf } from '../support/result.ts';

const app = parseAppId('app') as AppId;
const prefetch = 10;

/** A session at the broker, played by the test. */
class ScriptedSession implements SessionQueues {
  readonly calls: string[] = [];
  readonly acked: number[] = [];
  readonly notes: string[] = [];
  receiver!: SessionReceiver;
  failures: Error[] = [];
  signal: AbortSignal | undefined;
  isStuck = false;
  resumed = false;
  /** Called when it delivers, and its handle has not been given out yet. */
  ahead: () => void = () => undefined;
  epoch = 1;
  #tag = 0;

  async open(
    _spec: unknown,
    receiver: SessionReceiver,
    signal?: AbortSignal,
  ): Promise<SessionQueue> {
    this.calls.push('open');
    this.receiver = receiver;
    this.signal = signal;
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    if (this.isStuck) {
      await new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(new BrokerError('closed', 'aborted')));
      });
    }
    this.ahead();
    return {
      resumed: this.resumed,
      bind: async (key) => void this.calls.push(`bind ${key}`),
      unbind: async (key) => void this.calls.push(`unbind ${key}`),
      ack: ({ tag, epoch }) => {
        if (epoch === this.epoch) this.acked.push(tag);
      },
      note: async (text) => void this.notes.push(text),
      reset: async () => {
        this.calls.push('reset');
        this.epoch += 1;
      },
      park: async () => void this.calls.push('park'),
      close: async () => void this.calls.push('close'),
    };
  }

  /** @returns the tag */
  deliver(channel: string, id: string, more: Partial<Delivery> = {}): number {
    this.#tag += 1;
    this.receiver.delivered({
      tag: this.#tag,
      epoch: this.epoch,
      key: channelKey(app, okOf(parseChannel(channel)).name),
      channel,
      id,
      body: Buffer.from(id),
      redelivered: false,
      ...more,
    });
    return this.#tag;
  }

  lose(reason: 'overflow' | 'unknown' = 'overflow'): number {
    this.#tag += 1;
    this.receiver.lost({ tag: this.#tag, epoch: this.epoch, reason });
    return this.#tag;
  }

  /** The connection breaks and is back; what was not acknowledged is for the test to deliver again. */
  interrupt(): void {
    this.receiver.interrupted();
    this.epoch += 1;
    this.receiver.restored();
  }
}

/** The socket: what it was sent, in order, with frames as their text. */
class Socket {
  readonly socketIdPrefix = '77.';
  readonly sent: string[] = [];
  readonly outbox = {
    push: (frame: Buffer) => void this.sent.push(frame.subarray(2).toString()),
  };
  queue: ContinuityQueue | undefined;
  send(text: string): void {
    const { event, channel = '', data } = JSON.parse(text);
    this.sent.push(`${event} ${channel}${data}`);
  }
  requestPong(): void {
    this.sent.push('ping');
    this.queue?.pinged();
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('ContinuityQueue', () => {
  let clock: ManualClock;
  let broker: ScriptedSession;
  let socket: Socket;
  let queue: ContinuityQueue;
  let tally: EdgeTally;

  async function open(script: Partial<ScriptedSession> = {}): Promise<void> {
    clock = createManualClock();
    broker = Object.assign(new ScriptedSession(), script);
    socket = new Socket();
    tally = new EdgeTally();
    const spec = {
      kind: 'continuity',
      key: 'k'.repeat(43),
      prefetch,
      maxLength: 100,
      windowMs: 120_000,
    } as const;
    const context = {
      queues: broker,
      pacer: new PingPacer(clock),
      clock,
      log: createLog('silent'),
      tally,
    };
    queue = new ContinuityQueue(context, spec, socket);
    socket.queue = queue;
    await turn();
  }

  /** As the use case does: join, success, start. */
  async function subscribe(name: string): Promise<Subscription> {
    const channel = okOf(parseChannel(name));
    const subscription = new Subscription(channel, channelKey(app, channel.name), {
      revoked: () => undefined,
    });
    await queue.join(subscription);
    socket.sent.push(`success ${name}`);
    subscription.state = 'live';
    queue.start(subscription);
    return subscription;
  }

  const pong = () => queue.ponged();
  const session = (resumed: boolean) => `warren:session {"resumed":${resumed},"window":120}`;
  const lost = (name: string, reason = 'overflow') =>
    `warren:continuity_lost ${name}{"reason":"${reason}"}`;

  it('opens at once and says what became of the session before anything else', async () => {
    await open();
    expect(socket.sent).to.deep.equal([session(false)]);
    await open({ resumed: true });
    expect(socket.sent).to.deep.equal([session(true)]);
  });

  it('holds what waited in the broker until its channel is subscribed, and then lets it go in order', async () => {
    await open({ resumed: true });
    broker.deliver('a', 'a1');
    broker.deliver('b', 'b1');
    broker.deliver('a', 'a2');
    await subscribe('a');
    broker.deliver('a', 'a3');
    await subscribe('b');
    expect(socket.sent.slice(1)).to.deep.equal(['success a', 'a1', 'a2', 'a3', 'success b', 'b1']);
    expect(broker.acked).to.deep.equal([]);
  });

  it('keeps order where messages come while the channel is being bound', async () => {
    await open({ resumed: true });
    broker.deliver('a', '1');
    const channel = okOf(parseChannel('a'));
    const subscription = new Subscription(channel, channelKey(app, channel.name), {
      revoked: () => undefined,
    });
    const joined = queue.join(subscription);
    broker.deliver('a', '2');
    await joined;
    broker.deliver('a', '3');
    subscription.state = 'live';
    queue.start(subscription);
    expect(socket.sent.slice(1)).to.deep.equal(['1', '2', '3']);
  });

  it('keeps a parked revocation in its place, and acknowledges it without asking the client', async () => {
    await open({ resumed: true });
    const first = broker.deliver('a', '1');
    const revocation = broker.deliver('a', 'r', { revokes: 'bob', body: Buffer.alloc(0) });
    const last = broker.deliver('a', '2');
    const channel = okOf(parseChannel('a'));
    const subscription = new Subscription(channel, channelKey(app, channel.name), {
      revoked(one, user) {
        socket.sent.push(`revoked ${user}`);
        one.state = 'left';
        queue.leave(one);
      },
    });
    await queue.join(subscription);
    expect(broker.acked).to.deep.equal([]);
    subscription.state = 'live';
    queue.start(subscription);
    expect(socket.sent.slice(1)).to.deep.equal(['1', 'revoked bob']);
    expect(broker.acked).to.deep.equal([revocation, last]);
    const straggler = broker.deliver('a', 's', { revokes: 'bob', body: Buffer.alloc(0) });
    expect(broker.acked).to.deep.equal([revocation, last, straggler]);
    clock.advance(1_000);
    pong();
    expect(broker.acked.at(-1)).to.equal(first);
    expect(tally.deliveries).to.equal(1);
  });

  it('knows whose session it is by the note, before the client signs in again', async () => {
    await open({ resumed: true });
    expect(queue.isOf('digest of bob')).to.equal(false);
    broker.receiver?.noted(JSON.stringify({ user: 'digest of bob', cacheChannels: [] }));
    expect(queue.isOf('digest of bob')).to.equal(true);
    expect(queue.isOf('digest of ann')).to.equal(false);
  });

  it('acknowledges with the n-th pong what was written before the n-th ping, and nothing without', async () => {
    await open();
    await subscribe('a');
    const tags = ['1', '2'].map((id) => broker.deliver('a', id));
    clock.advance(1_000);
    expect(socket.sent.at(-1)).to.equal('ping');
    const third = broker.deliver('a', '3');
    expect(broker.acked).to.deep.equal([]);
    pong();
    expect(broker.acked).to.deep.equal(tags);
    clock.advance(1_000);
    pong();
    expect(broker.acked).to.deep.equal([...tags, third]);
    pong();
    expect(broker.acked).to.have.length(3);
  });

  it('asks a few times a second at most, at once when half of the window is open, and not without need', async () => {
    await open();
    await subscribe('a');
    const pings = () => socket.sent.filter((item) => item === 'ping').length;
    clock.advance(5_000);
    expect(pings()).to.equal(0);
    for (let n = 0; n < 10; n += 1) {
      broker.deliver('a', `slow ${n}`);
      clock.advance(100);
      pong();
    }
    expect(pings()).to.be.within(3, 5);
    clock.advance(1_000);
    pong();
    const before = pings();
    for (let n = 0; n < prefetch / 2; n += 1) broker.deliver('a', `fast ${n}`);
    expect(pings()).to.equal(before + 1);
  });

  it('gives up after 10 s what nobody came back for, and says so to whoever comes later', async () => {
    await open({ resumed: true });
    const tags = [broker.deliver('a', '1'), broker.deliver('a', '2')];
    await clock.advanceAsync(9_999);
    expect(broker.acked).to.deep.equal([]);
    await clock.advanceAsync(1);
    expect(broker.acked).to.deep.equal(tags);
    expect(broker.calls.filter((call) => call.startsWith('unbind'))).to.deep.equal([
      'unbind app.a',
    ]);
    broker.deliver('late', 'nobody knows it');
    await turn();
    expect(broker.calls.at(-1)).to.equal('unbind app.late');
    await subscribe('a');
    await subscribe('new');
    expect(socket.sent.slice(1)).to.deep.equal(['success a', lost('a', 'unknown'), 'success new']);
    await subscribe('late');
    expect(socket.sent.at(-1)).to.equal(lost('late', 'unknown'));
  });

  it('waits also while the window is full of what nobody came back for yet: the client may be about to', async () => {
    await open({ resumed: true });
    await subscribe('a');
    for (let n = 1; n <= prefetch; n += 1) broker.deliver('slow', String(n));
    await clock.advanceAsync(9_000);
    expect(broker.acked).to.deep.equal([]);
    await subscribe('slow');
    expect(socket.sent.filter((text) => text !== 'ping').slice(-prefetch)).to.deep.equal(
      Array.from({ length: prefetch }, (_, n) => String(n + 1)),
    );
    expect(socket.sent).not.to.include(lost('slow', 'unknown'));
  });

  it('acknowledges what comes ahead of the opened queue and is for nobody, once it is open', async () => {
    await open({
      resumed: true,
      ahead: () => {
        broker.deliver('a', 'mine', { except: `${socket.socketIdPrefix}1` });
        expect(broker.acked).to.deep.equal([]);
      },
    });
    expect(broker.acked).to.deep.equal([1]);
  });

  it('does not wait for anybody where the session is new', async () => {
    await open();
    const tag = broker.deliver('stray', '1');
    expect(broker.acked).to.deep.equal([tag]);
  });

  it('tells live channels of a loss, and acknowledges the notice when the client has answered', async () => {
    await open();
    await subscribe('a');
    const tag = broker.lose();
    expect(socket.sent.at(-1)).to.equal(lost('a'));
    clock.advance(1_000);
    expect(broker.acked).to.deep.equal([]);
    pong();
    expect(broker.acked).to.deep.equal([tag]);
    await subscribe('b');
    expect(socket.sent.at(-1)).to.equal(lost('b'), 'it may have been bound before');
  });

  it('keeps the notice of a resume until its channels had time to come back, and tells each', async () => {
    await open({ resumed: true });
    const tag = broker.lose('unknown');
    clock.advance(1_000);
    pong();
    await subscribe('a');
    await subscribe('b');
    expect(socket.sent.filter((item) => item.startsWith('warren:continuity'))).to.deep.equal([
      lost('a', 'unknown'),
      lost('b', 'unknown'),
    ]);
    expect(broker.acked, 'a client that ends now is told again').to.deep.equal([]);
    await clock.advanceAsync(10_000);
    pong();
    expect(broker.acked).to.deep.equal([tag]);
    expect(tally.losses.get('unknown')).to.equal(1);
  });

  it('writes nothing twice to a socket when the broker was away', async () => {
    await open();
    await subscribe('a');
    for (const id of ['1', '2']) broker.deliver('a', id);
    clock.advance(1_000);
    broker.deliver('a', '3');
    broker.interrupt();
    pong();
    const first = broker.deliver('a', '1', { redelivered: true });
    const second = broker.deliver('a', '2', { redelivered: true });
    expect(broker.acked, 'answered meanwhile').to.deep.equal([first, second]);
    const third = broker.deliver('a', '3', { redelivered: true });
    const fourth = broker.deliver('a', '4');
    clock.advance(1_000);
    pong();
    pong();
    expect(broker.acked.slice(2)).to.deep.equal([third, fourth]);
    expect(socket.sent.filter((item) => /^\d$/.test(item))).to.deep.equal(['1', '2', '3', '4']);
  });

  it('drops what a router has published once more under the same id', async () => {
    await open();
    await subscribe('a');
    await subscribe('b');
    broker.deliver('a', '1');
    const again = broker.deliver('a', '1');
    broker.deliver('b', '1');
    expect(broker.acked).to.deep.equal([again]);
    expect(socket.sent.filter((item) => item === '1')).to.have.length(2);
  });

  it('leaves out the session that the publisher excluded, on whatever connection it was then', async () => {
    await open({ resumed: true });
    await subscribe('a');
    const excluded = broker.deliver('a', 'mine', { except: '77.123' });
    broker.deliver('a', 'other', { except: '7.77' });
    expect(socket.sent.slice(2)).to.deep.equal(['other']);
    expect(broker.acked).to.deep.equal([excluded]);
  });

  it('drops what comes behind an unsubscribe, and what is older than coming back', async () => {
    await open();
    const subscription = await subscribe('a');
    subscription.state = 'left';
    queue.leave(subscription);
    const late = broker.deliver('a', 'late');
    expect(broker.acked).to.deep.equal([late]);
    await subscribe('a');
    broker.deliver('a', 'new');
    expect(socket.sent.slice(1)).to.deep.equal(['success a', 'success a', 'new']);
  });

  it('knows where a cache channel goes on, by the note of its former owner', async () => {
    await open();
    const one = await subscribe('cache-a');
    expect(queue.continues(one)).to.equal(false);
    await turn();
    const note = broker.notes.at(-1) ?? '';
    expect(decodeNote(note).cacheChannels).to.deep.equal(['cache-a']);

    await open({ resumed: true });
    broker.receiver.noted(note);
    expect(queue.continues(await subscribe('cache-a'))).to.equal(true);
    expect(queue.continues(await subscribe('cache-b'))).to.equal(false);
    await turn();
    expect(decodeNote(broker.notes.at(-1) ?? '').cacheChannels).to.deep.equal([
      'cache-a',
      'cache-b',
    ]);

    await open({ resumed: true });
    broker.receiver.noted(note);
    broker.lose();
    expect(queue.continues(await subscribe('cache-a'))).to.equal(false);
  });

  it('begins anew for another user, whether the note or the sign-in comes first', async () => {
    const note = encodeNote({ user: 'ada', cacheChannels: ['cache-a'] });
    for (const signinFirst of [true, false]) {
      await open({ resumed: true });
      await subscribe('a');
      if (signinFirst) queue.signedIn('bob');
      broker.receiver.noted(note);
      if (!signinFirst) queue.signedIn('bob');
      await turn();
      expect(broker.calls.slice(-2)).to.deep.equal(['reset', 'bind app.a']);
      expect(socket.sent.at(-1)).to.equal(session(false));
      expect(decodeNote(broker.notes.at(-1) ?? '').user).to.equal('bob');
      expect(queue.continues(await subscribe('cache-a'))).to.equal(false);
    }
    await open({ resumed: true });
    broker.receiver.noted(note);
    queue.signedIn('ada');
    await turn();
    expect(broker.calls).not.to.include('reset');
  });

  it('parks when the client may come back, and deletes when its page is gone', async () => {
    await open();
    await queue.end(false);
    await queue.end(true);
    expect(broker.calls).to.deep.equal(['open', 'park']);
    await open();
    await queue.end(true);
    expect(broker.calls).to.deep.equal(['open', 'close']);
    expect(clock.pendingTimers, 'but for the pacer of the edge').to.equal(1);
  });

  it('lets go of an opening that is under way', async () => {
    await open({ isStuck: true });
    const joining = subscribe('a').catch((error: unknown) => error);
    await queue.end(false);
    expect(broker.signal?.aborted).to.equal(true);
    expect(await joining).to.be.instanceOf(BrokerError);
    expect(socket.sent).to.deep.equal([]);
  });

  it('tries again where opening may succeed later, and gives up where it cannot', async () => {
    await open({ failures: [new BrokerError('broker_timeout', 'late')] });
    await clock.advanceAsync(1_000);
    expect(broker.calls).to.deep.equal(['open', 'open']);
    expect(socket.sent).to.deep.equal([session(false)]);
    await open({ failures: [new BrokerError('broker_forbidden', 'no')] });
    const error = await subscribe('a').catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(BrokerError).with.property('code', 'broker_forbidden');
  });
});
