import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { Delivery, SessionQueue, SessionQueues, SessionReceiver } from '../../broker/port.ts';
import { parseChannel } from '../../contracts/channel.ts';
import { parseAppId, parseSocketId } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { OwnQueue } from '../../edge/delivery/own-queue.ts';
import { RoadLoad } from '../../edge/delivery/road-load.ts';
import { type Subscriber, Subscription } from '../../edge/delivery/subscription.ts';
import { textFrame } from '../../edge/socket/websocket-frame.ts';
import { EdgeTally } from '../../edge/tally.ts';
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
class ScriptedQueues implements SessionQueues {
  readonly opened = deferred();
  readonly binds: Deferred[] = [];
  readonly calls: string[] = [];
  readonly acked: number[] = [];
  receiver: SessionReceiver | undefined;
  signal: AbortSignal | undefined;
  /** The signal makes `open` reject, as the port demands; false: the queue opens all the same. */
  obeysAbort = true;

  async open(_spec: unknown, receiver: SessionReceiver, signal?: AbortSignal) {
    this.calls.push('open');
    this.receiver = receiver;
    this.signal = signal;
    signal?.addEventListener('abort', () => {
      if (this.obeysAbort) this.opened.reject(new BrokerError('closed', 'aborted'));
    });
    await this.opened.promise;
    const queue: SessionQueue = {
      resumed: false,
      bind: (key) => {
        this.calls.push(`bind ${key}`);
        const bind = deferred();
        this.binds.push(bind);
        return bind.promise;
      },
      unbind: async (key) => {
        this.calls.push(`unbind ${key}`);
      },
      ack: ({ tag }) => {
        this.acked.push(tag);
      },
      note: async () => {},
      reset: async () => {},
      park: async () => {},
      close: async () => {
        this.calls.push('close');
      },
    };
    return queue;
  }
}

const appId = parseAppId('app');
const socketId = parseSocketId('1.1');
if (appId === undefined || socketId === undefined) throw new Error('bad fixture');
const app = appId;
const socket = socketId;

function subscriptionTo(
  name: string,
  subscriber: Subscriber = { revoked: () => undefined },
): Subscription {
  const channel = okOf(parseChannel(name));
  return new Subscription(channel, channelKey(app, channel.name), subscriber);
}

function harness() {
  const queues = new ScriptedQueues();
  const pushed: Buffer[] = [];
  const tally = new EdgeTally();
  const load = new RoadLoad();
  const road = new OwnQueue({
    queues,
    spec: { kind: 'plain', prefetch: 10, maxLength: 100 },
    socketId: socket,
    outbox: { push: (frame) => void pushed.push(frame) },
    load,
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
  const texts = () => pushed.map((frame) => frame.subarray(2).toString());
  /** Joins, lets the broker answer, and goes live. */
  const live = async (name: string) => {
    const subscription = subscriptionTo(name);
    const joined = road.join(subscription);
    queues.opened.resolve();
    await settle();
    queues.binds.at(-1)?.resolve();
    await joined;
    subscription.state = 'live';
    road.start(subscription);
    return subscription;
  };
  return { queues, pushed, tally, load, road, deliver, texts, live };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('OwnQueue', () => {
  it('opens one queue for all channels and binds each once', async () => {
    const { queues, live } = harness();
    await live('a');
    await live('b');
    expect(queues.calls.filter((call) => call === 'open')).to.have.length(1);
    expect(queues.calls).to.include.members(['bind app.a', 'bind app.b']);
  });

  it('passes the body on untouched behind a WebSocket header', async () => {
    const { live, deliver, pushed } = harness();
    await live('a');
    const body = '{"event":"e","channel":"a","data":"\\u00e9 1.0","id":"x"}';
    deliver('a', body);
    expect(pushed[0]?.equals(textFrame(Buffer.from(body)))).to.equal(true);
  });

  it('holds what arrives before the success, and lets it out in order', async () => {
    const { queues, road, deliver, texts } = harness();
    const subscription = subscriptionTo('a');
    const joined = road.join(subscription);
    queues.opened.resolve();
    await settle();
    deliver('a', '1');
    deliver('a', '2');
    queues.binds[0]?.resolve();
    await joined;
    expect(texts()).to.deep.equal([]);
    subscription.state = 'live';
    road.start(subscription);
    deliver('a', '3');
    expect(texts()).to.deep.equal(['1', '2', '3']);
  });

  it('acknowledges only what the socket took', async () => {
    const { queues, road, live, deliver } = harness();
    await live('a');
    deliver('a', '1');
    deliver('a', '2');
    expect(queues.acked).to.deep.equal([]);
    road.taken();
    expect(queues.acked).to.deep.equal([1, 2]);
    road.taken();
    expect(queues.acked).to.deep.equal([1, 2]);
  });

  it('acknowledges nothing of before an interruption', async () => {
    const { queues, road, live, deliver } = harness();
    await live('a');
    deliver('a', '1');
    queues.receiver?.interrupted();
    queues.receiver?.restored();
    road.taken();
    expect(queues.acked).to.deep.equal([]);
    deliver('a', '2');
    road.taken();
    expect(queues.acked).to.deep.equal([2]);
  });

  it('skips the event of this very socket, also where it was held', async () => {
    const { queues, road, tally, live, deliver, texts } = harness();
    await live('a');
    deliver('a', 'mine', { except: '1.1' });
    deliver('a', 'theirs', { except: '1.11' });
    const joining = subscriptionTo('b');
    const joined = road.join(joining);
    await settle();
    deliver('b', 'mine too', { except: '1.1' });
    queues.binds.at(-1)?.resolve();
    await joined;
    joining.state = 'live';
    road.start(joining);
    expect(texts()).to.deep.equal(['theirs']);
    expect(queues.acked).to.deep.equal([1, 3]);
    expect(tally.dropped.get('excluded')).to.equal(2);
  });

  it('drops and acknowledges another channel behind the same key, or another key', async () => {
    const { queues, tally, live, deliver, texts } = harness();
    await live('a');
    deliver('b', 'not subscribed');
    deliver('a', 'of another app', { key: subscriptionTo('z').key });
    expect(texts()).to.deep.equal([]);
    expect(queues.acked).to.deep.equal([1, 2]);
    expect([tally.dropped.get('late'), tally.dropped.get('foreign')]).to.deep.equal([1, 1]);
  });

  it('drops stragglers of a channel that was left, also when it is joined anew', async () => {
    const { queues, road, live, deliver, texts } = harness();
    const first = await live('a');
    first.state = 'left';
    road.leave(first);
    expect(queues.calls.at(-1)).to.equal('unbind app.a');
    deliver('a', 'straggler');
    const second = subscriptionTo('a');
    const joined = road.join(second);
    await settle();
    deliver('a', 'straggler too');
    queues.binds.at(-1)?.resolve();
    await joined;
    deliver('a', 'after the bind');
    second.state = 'live';
    road.start(second);
    deliver('a', 'live');
    expect(texts()).to.deep.equal(['after the bind', 'live']);
    expect(queues.acked).to.deep.equal([1, 2]);
  });

  describe('a revocation', () => {
    const revoked = (user: string) => ({ revokes: user });
    const bobOn = (road: OwnQueue) => ({
      revoked(subscription: Subscription, user: string) {
        if (user !== 'bob') return;
        subscription.state = 'left';
        road.leave(subscription);
      },
    });

    it('keeps its place among events, is never written and never counted, and is acknowledged at once', async () => {
      const { queues, road, tally, deliver, texts } = harness();
      const subscription = subscriptionTo('a', bobOn(road));
      const joined = road.join(subscription);
      queues.opened.resolve();
      await settle();
      queues.binds.at(-1)?.resolve();
      await joined;
      subscription.state = 'live';
      road.start(subscription);
      deliver('a', '1');
      deliver('a', '', revoked('ann'));
      deliver('a', '2');
      deliver('a', '', revoked('bob'));
      deliver('a', '3');
      expect(texts()).to.deep.equal(['1', '2']);
      expect(queues.acked).to.deep.equal([2, 4, 5]);
      expect(tally.deliveries).to.equal(2);
      expect(tally.dropped.get('late')).to.equal(1);
      expect(queues.calls.at(-1)).to.equal('unbind app.a');
    });

    it('waits for the success as events do, also where they would be dropped as belonging to the past', async () => {
      const { queues, road, live, deliver, texts } = harness();
      const first = await live('a');
      first.state = 'left';
      road.leave(first);
      const again = subscriptionTo('a', bobOn(road));
      const joined = road.join(again);
      await settle();
      deliver('a', 'straggler');
      deliver('a', '', revoked('bob'));
      queues.binds.at(-1)?.resolve();
      await joined;
      deliver('a', 'after');
      expect(again.held.map(({ revokes }) => revokes)).to.deep.equal(['bob', undefined]);
      again.state = 'live';
      road.start(again);
      expect(texts()).to.deep.equal([]);
      expect(queues.acked).to.deep.equal([1, 2, 3]);
    });

    it('concerns nobody where nobody listens, or only to another channel behind the key', async () => {
      const { queues, tally, live, deliver } = harness();
      const subscription = await live('a');
      deliver('b', '', revoked('bob'));
      deliver('a', '', { ...revoked('bob'), key: subscriptionTo('z').key });
      expect(subscription.state).to.equal('live');
      expect(queues.acked).to.deep.equal([1, 2]);
      expect([...tally.dropped.entries()]).to.deep.equal([]);
    });
  });

  it('acknowledges what it held for a channel that is left before it succeeded', async () => {
    const { queues, road, deliver, texts } = harness();
    const subscription = subscriptionTo('a');
    void road.join(subscription);
    queues.opened.resolve();
    await settle();
    deliver('a', 'held');
    subscription.state = 'left';
    road.leave(subscription);
    expect(queues.acked).to.deep.equal([1]);
    expect(texts()).to.deep.equal([]);
  });

  it('ignores the leaving of an older subscription to a channel that was joined anew', async () => {
    const { road, live, deliver, texts } = harness();
    const first = await live('a');
    first.state = 'left';
    road.leave(first);
    await live('a');
    road.leave(first);
    deliver('a', 'live');
    expect(texts()).to.deep.equal(['live']);
  });

  it('binds nothing for a channel that was left while the queue was opening', async () => {
    const { queues, road } = harness();
    const subscription = subscriptionTo('a');
    const joined = road.join(subscription);
    subscription.state = 'left';
    road.leave(subscription);
    queues.opened.resolve();
    await joined;
    expect(queues.calls).to.deep.equal(['open']);
  });

  it('closes its queue once', async () => {
    const { queues, road, live } = harness();
    await live('a');
    await Promise.all([road.close(), road.close()]);
    await road.close();
    expect(queues.calls.filter((call) => call === 'close')).to.have.length(1);
  });

  it('aborts an opening that is under way, and rejects those who wait', async () => {
    const { queues, road } = harness();
    const joined = road.join(subscriptionTo('a')).catch((error: BrokerError) => error.code);
    await road.close();
    expect(queues.signal?.aborted).to.equal(true);
    expect(await joined).to.equal('closed');
    expect(queues.calls).to.deep.equal(['open']);
  });

  it('closes a queue that opened although it was no longer wanted', async () => {
    const { queues, road } = harness();
    queues.obeysAbort = false;
    const joined = road.join(subscriptionTo('a')).catch(() => 'rejected');
    const closed = road.close();
    queues.opened.resolve();
    await closed;
    expect(queues.calls.filter((call) => call === 'close')).to.have.length(1);
    // Whatever became of its bind: nothing may be left waiting.
    queues.binds[0]?.reject(new BrokerError('closed', 'closed'));
    await joined;
  });

  it('opens nothing when it is closed before it was used, and refuses to join afterwards', async () => {
    const { queues, road } = harness();
    await road.close();
    const outcome = await road.join(subscriptionTo('a')).catch((error: BrokerError) => error.code);
    expect(outcome).to.equal('closed');
    expect(queues.calls).to.deep.equal([]);
  });

  describe('what it counts', () => {
    const counts = ({ ownQueues, attaching }: RoadLoad) => [ownQueues, attaching];

    it('is a queue from the first join until it is closed, attaching until it is there', async () => {
      const { load, queues, road, live } = harness();
      expect(counts(load)).to.deep.equal([0, 0]);
      void road.join(subscriptionTo('b'));
      expect(counts(load)).to.deep.equal([1, 1]);
      await live('a');
      expect(counts(load)).to.deep.equal([1, 0]);
      await road.close();
      expect(counts(load)).to.deep.equal([0, 0]);
      for (const bind of queues.binds) bind.resolve();
    });

    it('is nothing where the queue could not be opened, was given up, or was never asked for', async () => {
      const failed = harness();
      const joined = failed.road.join(subscriptionTo('a')).catch(() => 'failed');
      failed.queues.opened.reject(new BrokerError('broker_timeout', 'not now'));
      expect(await joined).to.equal('failed');
      expect(counts(failed.load)).to.deep.equal([0, 0]);

      const givenUp = harness();
      const waiting = givenUp.road.join(subscriptionTo('a')).catch(() => 'failed');
      await givenUp.road.close();
      expect(await waiting).to.equal('failed');
      expect(counts(givenUp.load)).to.deep.equal([0, 0]);

      const unused = harness();
      await unused.road.close();
      expect(counts(unused.load)).to.deep.equal([0, 0]);
    });

    it('is attaching again while the broker has lost it, however that ends', async () => {
      const { load, queues, live, road } = harness();
      await live('a');
      queues.receiver?.interrupted();
      queues.receiver?.interrupted();
      expect(counts(load)).to.deep.equal([1, 1]);
      queues.receiver?.restored();
      expect(counts(load)).to.deep.equal([1, 0]);
      queues.receiver?.interrupted();
      await road.close();
      queues.receiver?.interrupted();
      expect(counts(load)).to.deep.equal([0, 0]);
    });
  });
});
