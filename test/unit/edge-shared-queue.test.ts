import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { Delivery, EdgeQueue, EdgeQueueReceiver, EdgeQueues } from '../../broker/port.ts';
import { parseChannel } from '../../contracts/channel.ts';
import { type EdgeId, parseAppId, parseSocketId } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { type SharedListener, SharedQueue } from '../../edge/delivery/shared-queue.ts';
import { Subscription } from '../../edge/delivery/subscription.ts';
import { textFrame } from '../../edge/socket/websocket-frame.ts';
import { EdgeTally } from '../../edge/tally.ts';
import { createManualClock } from '../support/manual-clock.ts';
import { okOf } from '../support/result.ts';

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function deferred(): Deferred {
  let resolve = () => {};
  let reject = (_error: unknown) => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** A broker whose every step the test lets happen. */
class ScriptedQueues implements EdgeQueues {
  opened = deferred();
  readonly binds: Deferred[] = [];
  readonly calls: string[] = [];
  receiver: EdgeQueueReceiver | undefined;

  async open(spec: Parameters<EdgeQueues['open']>[0], receiver: EdgeQueueReceiver) {
    this.calls.push(`open ${spec.edgeId} ${spec.maxLength}`);
    this.receiver = receiver;
    await this.opened.promise;
    const queue: EdgeQueue = {
      bind: (key) => {
        this.calls.push(`bind ${key}`);
        const bind = deferred();
        this.binds.push(bind);
        return bind.promise;
      },
      unbind: async (key) => {
        this.calls.push(`unbind ${key}`);
      },
      close: async () => {
        this.calls.push('close');
      },
    };
    return queue;
  }

  count(call: string): number {
    return this.calls.filter((one) => one === call).length;
  }
}

const app = parseAppId('app') ?? fail();
const settle = () => new Promise((resolve) => setImmediate(resolve));

function fail(): never {
  throw new Error('bad fixture');
}

function subscriptionTo(name: string): Subscription {
  const channel = okOf(parseChannel(name));
  return new Subscription(channel, channelKey(app, channel.name), { revoked: () => undefined });
}

/** A socket that keeps what it was given; `taken` frames no longer count as buffered. */
class FakeSocket implements SharedListener {
  readonly socketId;
  readonly frames: Buffer[] = [];
  overflows = 0;
  /** The kernel takes everything when it is flushed. */
  isQuick = true;
  whenOverflown: () => void = () => {};
  #bytes = 0;
  readonly outbox;

  constructor(id: string) {
    this.socketId = parseSocketId(id) ?? fail();
    const socket = this;
    this.outbox = {
      push: (frame: Buffer) => {
        this.frames.push(frame);
        this.#bytes += frame.length;
      },
      flush: () => {
        if (this.isQuick) this.#bytes = 0;
      },
      get bufferedBytes() {
        return socket.#bytes;
      },
    };
  }

  overflow(): void {
    this.overflows += 1;
    this.whenOverflown();
  }

  get texts(): string[] {
    return this.frames.map((frame) => frame.subarray(frame[1] === 126 ? 4 : 2).toString());
  }
}

function harness(socketBufferBytes = 1_000_000) {
  const queues = new ScriptedQueues();
  const tally = new EdgeTally();
  const clock = createManualClock();
  const shared = new SharedQueue({
    queues,
    edgeId: 'edge-1' as EdgeId,
    queueMaxLength: 10,
    socketBufferBytes,
    clock,
    tally,
  });
  let tag = 0;
  const deliver = (channel: string, text: string, more: Partial<Delivery> = {}) => {
    tag += 1;
    const { key } = subscriptionTo(channel);
    queues.receiver?.delivered({
      tag,
      epoch: 1,
      key,
      channel,
      id: String(tag),
      body: Buffer.from(text),
      redelivered: false,
      ...more,
    });
  };
  let sockets = 0;
  const socket = () => {
    sockets += 1;
    return new FakeSocket(`${sockets}.1`);
  };
  /** Joins and lets the broker answer. */
  const joined = async (name: string, listener: FakeSocket) => {
    const subscription = subscriptionTo(name);
    const joining = shared.join(subscription, listener);
    queues.opened.resolve();
    await settle();
    queues.binds.at(-1)?.resolve();
    await joining;
    return subscription;
  };
  const live = async (name: string, listener: FakeSocket) => {
    const subscription = await joined(name, listener);
    subscription.state = 'live';
    shared.start(subscription);
    return subscription;
  };
  const leave = (subscription: Subscription) => {
    subscription.state = 'left';
    shared.leave(subscription);
  };
  return { queues, tally, clock, shared, deliver, socket, joined, live, leave };
}

describe('SharedQueue', () => {
  it('opens one queue with the first subscriber and binds each channel once', async () => {
    const { queues, live, socket, shared } = harness();
    expect(queues.calls).to.deep.equal([]);
    await live('a', socket());
    await live('a', socket());
    await live('b', socket());
    expect(queues.calls).to.deep.equal(['open edge-1 50000', 'bind app.a', 'bind app.b']);
    expect(shared.bindings).to.equal(2);
  });

  it('writes the same frame to every subscriber, the body untouched', async () => {
    const { live, socket, deliver, tally } = harness();
    const [one, two] = [socket(), socket()];
    await live('a', one);
    await live('a', two);
    const body = '{"event":"e","channel":"a","data":"\\u00e9 1.0","id":"x"}';
    deliver('a', body);
    expect(one.frames[0]?.equals(textFrame(Buffer.from(body)))).to.equal(true);
    expect(two.frames[0]).to.equal(one.frames[0]);
    expect(tally.deliveries).to.equal(2);
  });

  it('leaves out the socket that is excluded, live or joining', async () => {
    const { live, joined, shared, socket, deliver, tally } = harness();
    const [sender, joining, other] = [socket(), socket(), socket()];
    await live('a', sender);
    await live('a', other);
    const waiting = await joined('a', joining);
    deliver('a', '1', { except: sender.socketId });
    deliver('a', '2', { except: joining.socketId });
    waiting.state = 'live';
    shared.start(waiting);
    expect([sender.texts, joining.texts, other.texts]).to.deep.equal([['2'], ['1'], ['1', '2']]);
    expect(tally.dropped.get('excluded')).to.equal(2);
    expect(tally.deliveries).to.equal(4);
  });

  it('holds for one who joins, until it starts, in order', async () => {
    const { shared, joined, socket, deliver, tally } = harness();
    const listener = socket();
    const subscription = await joined('a', listener);
    deliver('a', '1');
    deliver('a', '2');
    expect(listener.texts).to.deep.equal([]);
    subscription.state = 'live';
    shared.start(subscription);
    deliver('a', '3');
    expect(listener.texts).to.deep.equal(['1', '2', '3']);
    expect(tally.deliveries).to.equal(3);
    expect([subscription.held.length, subscription.heldBytes]).to.deep.equal([0, 0]);
  });

  it('drops nothing of what it holds: beyond 1,000 messages or the bytes of a socket the connection ends', async () => {
    const { joined, socket, deliver, live } = harness(10_000);
    const [many, large, other] = [socket(), socket(), socket()];
    await live('a', other);
    const first = await joined('a', many);
    for (let sent = 0; sent < 1_000; sent += 1) deliver('a', 'x');
    expect([many.overflows, first.held.length]).to.deep.equal([0, 1_000]);
    deliver('a', 'x');
    expect([many.overflows, first.held.length]).to.deep.equal([1, 1_000]);
    expect(other.frames).to.have.length(1_001);

    const second = await joined('b', large);
    deliver('b', 'x'.repeat(40_000));
    expect([large.overflows, second.held.length]).to.deep.equal([0, 1]);
    deliver('b', 'x');
    expect([large.overflows, second.held.length]).to.deep.equal([1, 1]);
  });

  it('passes a revocation on in its place, to live and joining subscribers, and writes and counts nothing of it', async () => {
    const { queues, shared, tally, deliver } = harness();
    const channel = okOf(parseChannel('a'));
    const told: string[] = [];
    const sockets = ['bob', 'ann', 'bob'].map((user, n) => {
      const subscription = new Subscription(channel, channelKey(app, channel.name), {
        revoked(one, revoked) {
          told.push(`${n} ${revoked}`);
          if (revoked !== user) return;
          one.state = 'left';
          shared.leave(one);
        },
      });
      return { subscription, socket: new FakeSocket(`${n}.1`) };
    });
    const joined = sockets.map(({ subscription, socket }) => shared.join(subscription, socket));
    queues.opened.resolve();
    await settle();
    for (const bind of queues.binds) bind.resolve();
    await Promise.all(joined);
    const start = (n: number) => {
      const one = sockets[n]?.subscription ?? fail();
      one.state = 'live';
      shared.start(one);
    };
    start(0);
    start(1);
    deliver('a', '1');
    deliver('a', '', { revokes: 'bob' });
    deliver('a', '2');
    expect(told).to.deep.equal(['0 bob', '1 bob']);
    start(2);
    expect(told).to.deep.equal(['0 bob', '1 bob', '2 bob']);
    deliver('a', '3');
    deliver('b', '', { revokes: 'bob' });
    expect(sockets.map(({ socket }) => socket.texts)).to.deep.equal([
      ['1'],
      ['1', '2', '3'],
      ['1'],
    ]);
    expect(tally.deliveries).to.equal(5);
    expect([...tally.dropped.entries()]).to.deep.equal([]);
  });

  it('drops what the replay of a cache channel stands for', async () => {
    const { live, socket, deliver, tally } = harness();
    const [replayed, other] = [socket(), socket()];
    const subscription = await live('cache-a', replayed);
    await live('cache-a', other);
    subscription.covered = new Set(['7', '8']);
    deliver('cache-a', 'old', { id: '7' });
    deliver('cache-a', 'new', { id: '9' });
    expect(replayed.texts).to.deep.equal(['new']);
    expect(other.texts).to.deep.equal(['old', 'new']);
    expect(tally.dropped.get('covered')).to.equal(1);
    expect(tally.deliveries).to.equal(3);
  });

  it('drops another channel behind the same key, and a key that nobody wants', async () => {
    const { live, socket, deliver, tally } = harness();
    const listener = socket();
    await live('a', listener);
    deliver('b', 'behind the key of a', { key: subscriptionTo('a').key });
    deliver('c', 'not bound');
    expect(listener.texts).to.deep.equal([]);
    expect([tally.dropped.get('foreign'), tally.dropped.get('late')]).to.deep.equal([1, 1]);
  });

  it('delivers nothing to one who left, and everything to those who stay', async () => {
    const { live, leave, socket, deliver, queues } = harness();
    const [goes, stays] = [socket(), socket()];
    const left = await live('a', goes);
    await live('a', stays);
    leave(left);
    leave(left);
    deliver('a', '1');
    expect(goes.texts).to.deep.equal([]);
    expect(stays.texts).to.deep.equal(['1']);
    expect(queues.count('unbind app.a')).to.equal(0);
  });

  it('does not take the place of a subscription that was joined anew by leaving an older one', async () => {
    const { live, leave, socket, deliver } = harness();
    const listener = socket();
    const first = await live('a', listener);
    leave(first);
    await live('a', listener);
    leave(first);
    deliver('a', '1');
    expect(listener.texts).to.deep.equal(['1']);
  });

  it('drops what it held for one who leaves before it starts', async () => {
    const { joined, leave, socket, deliver, tally } = harness();
    const listener = socket();
    const subscription = await joined('a', listener);
    deliver('a', '1');
    leave(subscription);
    expect([subscription.held.length, subscription.heldBytes]).to.deep.equal([0, 0]);
    expect(tally.dropped.get('late')).to.equal(1);
    expect(listener.texts).to.deep.equal([]);
  });

  describe('a socket that does not keep up', () => {
    it('is flushed first, so that a burst within a turn closes nobody', async () => {
      const { live, socket, deliver } = harness(1_000);
      const listener = socket();
      await live('a', listener);
      for (let sent = 0; sent < 100; sent += 1) deliver('a', 'x'.repeat(500));
      expect(listener.frames).to.have.length(100);
      expect(listener.overflows).to.equal(0);
    });

    it('is closed when more than four times its bound waits, and the others go on', async () => {
      const { live, leave, socket, deliver } = harness(1_000);
      const [slow, quick] = [socket(), socket()];
      slow.isQuick = false;
      const subscription = await live('a', slow);
      await live('a', quick);
      slow.whenOverflown = () => leave(subscription);
      for (let sent = 0; sent < 100; sent += 1) deliver('a', 'x'.repeat(500));
      expect(slow.overflows).to.equal(1);
      expect(slow.outbox.bufferedBytes).to.be.within(4_001, 4_000 + 504);
      expect(quick.frames).to.have.length(100);
    });

    it('may be the only one there is', async () => {
      const { live, leave, socket, deliver, shared } = harness(1_000);
      const slow = socket();
      slow.isQuick = false;
      const subscription = await live('a', slow);
      slow.whenOverflown = () => leave(subscription);
      deliver('a', 'x'.repeat(5_000));
      deliver('a', 'x');
      expect(slow.frames).to.have.length(1);
      expect(shared.lingering).to.equal(1);
    });
  });

  describe('a channel that nobody listens to any more', () => {
    it('stays bound for five seconds, and what comes meanwhile is counted as late', async () => {
      const { live, leave, socket, deliver, queues, clock, shared, tally } = harness();
      const subscription = await live('a', socket());
      leave(subscription);
      deliver('a', '1');
      expect(tally.dropped.get('late')).to.equal(1);
      clock.advance(4_999);
      expect(queues.count('unbind app.a')).to.equal(0);
      expect([shared.bindings, shared.lingering]).to.deep.equal([1, 1]);
      clock.advance(1);
      expect(queues.count('unbind app.a')).to.equal(1);
      expect([shared.bindings, shared.lingering]).to.deep.equal([0, 0]);
      expect(clock.pendingTimers).to.equal(0);
    });

    it('costs no word with the broker when someone comes back in time, who sees nothing from before', async () => {
      const { live, leave, socket, deliver, queues, clock } = harness();
      const listener = socket();
      leave(await live('a', listener));
      deliver('a', 'while it was away');
      clock.advance(4_000);
      await live('a', listener);
      deliver('a', 'after');
      clock.advance(60_000);
      deliver('a', 'long after');
      expect(listener.texts).to.deep.equal(['after', 'long after']);
      expect(queues.calls.slice(1)).to.deep.equal(['bind app.a']);
    });

    it('lingers anew each time', async () => {
      const { live, leave, socket, queues, clock } = harness();
      leave(await live('a', socket()));
      clock.advance(4_000);
      leave(await live('a', socket()));
      clock.advance(4_000);
      expect(queues.count('unbind app.a')).to.equal(0);
      clock.advance(1_000);
      expect(queues.count('unbind app.a')).to.equal(1);
    });

    it('is bound again by whoever comes later', async () => {
      const { live, leave, socket, deliver, queues, clock } = harness();
      leave(await live('a', socket()));
      clock.advance(5_000);
      const listener = socket();
      await live('a', listener);
      deliver('a', '1');
      expect(listener.texts).to.deep.equal(['1']);
      expect(queues.count('bind app.a')).to.equal(2);
    });

    it('is let go early where 1,000 others linger, the oldest first', async () => {
      const { live, leave, socket, queues, shared, clock } = harness();
      const listener = socket();
      const subscriptions: Subscription[] = [];
      for (let n = 0; n <= 1_001; n += 1) subscriptions.push(await live(`c${n}`, listener));
      for (const subscription of subscriptions) leave(subscription);
      expect(shared.lingering).to.equal(1_000);
      const unbound = queues.calls.filter((call) => call.startsWith('unbind'));
      expect(unbound).to.deep.equal(['unbind app.c0', 'unbind app.c1']);
      clock.advance(5_000);
      expect([shared.bindings, clock.pendingTimers]).to.deep.equal([0, 0]);
    });
  });

  describe('binding', () => {
    it('is waited for by all who join meanwhile', async () => {
      const { queues, shared, socket } = harness();
      let done = 0;
      const joins = [1, 2, 3].map(() =>
        shared.join(subscriptionTo('a'), socket()).then(() => {
          done += 1;
        }),
      );
      queues.opened.resolve();
      await settle();
      expect([done, queues.binds.length]).to.deep.equal([0, 1]);
      queues.binds[0]?.resolve();
      await Promise.all(joins);
      expect(done).to.equal(3);
    });

    it('is tried again after it failed, for the same subscription too', async () => {
      const { queues, shared, socket, deliver } = harness();
      const listener = socket();
      const subscription = subscriptionTo('a');
      const first = shared.join(subscription, listener).catch((error: BrokerError) => error.code);
      queues.opened.resolve();
      await settle();
      queues.binds[0]?.reject(new BrokerError('broker_timeout', 'not now'));
      expect(await first).to.equal('broker_timeout');
      const second = shared.join(subscription, listener);
      await settle();
      queues.binds[1]?.resolve();
      await second;
      subscription.state = 'live';
      shared.start(subscription);
      deliver('a', '1');
      expect(listener.texts).to.deep.equal(['1']);
    });

    it('is tried again after the queue could not be opened', async () => {
      const { queues, live, shared, socket } = harness();
      const first = shared
        .join(subscriptionTo('a'), socket())
        .catch((error: BrokerError) => error.code);
      queues.opened.reject(new BrokerError('broker_timeout', 'not now'));
      expect(await first).to.equal('broker_timeout');
      queues.opened = deferred();
      await live('a', socket());
      expect(queues.count('open edge-1 50000')).to.equal(2);
    });

    it('is not asked for where everybody left while the queue was opening', async () => {
      const { queues, shared, socket, leave, clock } = harness();
      const subscription = subscriptionTo('a');
      const joining = shared.join(subscription, socket());
      leave(subscription);
      clock.advance(5_000);
      queues.opened.resolve();
      await joining;
      expect(queues.calls).to.deep.equal(['open edge-1 50000']);
      expect(shared.bindings).to.equal(0);
    });
  });

  it('counts each interruption, and goes on when it is restored', async () => {
    const { queues, live, socket, deliver, shared } = harness();
    const listener = socket();
    await live('a', listener);
    queues.receiver?.interrupted();
    queues.receiver?.restored();
    deliver('a', '1');
    expect(shared.interruptions).to.equal(1);
    expect(listener.texts).to.deep.equal(['1']);
  });

  describe('close', () => {
    it('closes the queue once, stops lingering and refuses whoever joins afterwards', async () => {
      const { queues, live, leave, socket, shared, clock } = harness();
      leave(await live('a', socket()));
      await Promise.all([shared.close(), shared.close()]);
      expect(queues.count('close')).to.equal(1);
      expect(clock.pendingTimers).to.equal(0);
      const late = await shared
        .join(subscriptionTo('a'), socket())
        .catch((error: BrokerError) => error.code);
      expect(late).to.equal('closed');
    });

    it('does not wait for a broker that was never there, and leaves no queue behind when it comes', async () => {
      const { queues, shared, socket } = harness();
      const joining = shared
        .join(subscriptionTo('a'), socket())
        .catch((error: BrokerError) => error.code);
      await shared.close();
      queues.opened.resolve();
      expect(await joining).to.equal('closed');
      expect(queues.calls).to.deep.equal(['open edge-1 50000', 'close']);
    });

    it('opens nothing', async () => {
      const { queues, shared } = harness();
      await shared.close();
      expect(queues.calls).to.deep.equal([]);
    });
  });
});
