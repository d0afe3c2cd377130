import { expect } from 'chai';
import { BrokerError } from '../../broker/errors.ts';
import type { CacheFollower, PublicationCache } from '../../broker/port.ts';
import { type AppId, type ChannelKey, type ChannelName, parseAppId } from '../../contracts/ids.ts';
import { channelKey } from '../../contracts/routing-key.ts';
import { LastEvents } from '../../edge/channels/last-events.ts';
import { createLog } from '../../runtime/log.ts';
import { createManualClock, type ManualClock } from '../support/manual-clock.ts';

const app = parseAppId('app') as AppId;
const channel = 'cache-a' as ChannelName;

describe('LastEvents', () => {
  let clock: ManualClock;
  let caughtUp: () => Promise<void>;
  let closed = 0;
  let revoked: string[] = [];

  const cache: PublicationCache = {
    follow: async (): Promise<CacheFollower> => ({
      caughtUp: () => caughtUp(),
      close: async () => {
        closed += 1;
      },
    }),
  };

  function open(limits = {}, from: PublicationCache = cache): LastEvents {
    clock = createManualClock();
    caughtUp = async () => {};
    closed = 0;
    revoked = [];
    return new LastEvents({
      cache: from,
      clock,
      log: createLog('silent'),
      limits,
      revoked: ({ channel: name, user }) => revoked.push(`${user} ${name}`),
    });
  }

  function publish(last: LastEvents, id: string, name = channel, bytes = 1): void {
    const key = channelKey(app, name);
    last.published({
      key,
      channel: name,
      id,
      body: Buffer.alloc(bytes),
      publishedAtMs: clock.now(),
    });
  }

  it('keeps the last event of each channel', () => {
    const last = open();
    for (const id of ['1', '2', '3']) publish(last, id);
    publish(last, 'other', 'cache-b' as ChannelName);
    expect(last.get(app, channel, 60)?.id).to.equal('3');
    expect(last.get(app, 'cache-c' as ChannelName, 60)).to.equal(undefined);
    expect(last.size).to.equal(2);
  });

  it('keeps no revocation, and passes it on', () => {
    const last = open();
    publish(last, '1');
    const key = channelKey(app, channel);
    const about = { key, channel, id: 'r', publishedAtMs: clock.now() };
    last.published({ ...about, body: Buffer.alloc(0), revokes: 'bob' });
    expect(last.get(app, channel, 60)?.id).to.equal('1');
    expect([...(last.get(app, channel, 60)?.covers ?? [])]).to.deep.equal(['1']);
    expect(revoked).to.deep.equal(['bob cache-a']);
  });

  it('knows which publications the last one stands for, and forgets old ones', () => {
    const last = open();
    for (let n = 1; n <= 40; n += 1) publish(last, String(n));
    const covers = [...(last.get(app, channel, 60)?.covers ?? [])];
    expect(covers.at(-1)).to.equal('40');
    expect(covers).to.have.length(16);
    expect(covers[0]).to.equal('25');
  });

  it('does not take another channel behind the same hashed key for this one', () => {
    const last = open();
    const key = channelKey(app, channel) as ChannelKey;
    last.published({
      key,
      channel: 'cache-z',
      id: 'z',
      body: Buffer.alloc(1),
      publishedAtMs: clock.now(),
    });
    expect(last.get(app, channel, 60)).to.equal(undefined);
  });

  it('does not show an event that is older than the app keeps it', () => {
    const last = open();
    publish(last, '1');
    clock.advance(59_999);
    expect(last.get(app, channel, 60)?.id).to.equal('1');
    clock.advance(1);
    expect(last.get(app, channel, 60)).to.equal(undefined);
  });

  it('is bounded in channels and in bytes: the quietest go first', () => {
    const names = ['cache-1', 'cache-2', 'cache-3'] as ChannelName[];
    const few = open({ channels: 2 });
    for (const name of names) publish(few, name, name);
    expect(names.map((name) => few.get(app, name, 60)?.id)).to.deep.equal([
      undefined,
      'cache-2',
      'cache-3',
    ]);
    const small = open({ bytes: 100 });
    for (const name of names) publish(small, name, name, 40);
    publish(small, 'again', names[1], 60);
    expect(names.map((name) => small.get(app, name, 60)?.id)).to.deep.equal([
      undefined,
      'again',
      'cache-3',
    ]);
  });

  it('waits until it has read what was published before, and passes on that the broker is away', async () => {
    const last = open();
    let answer = () => {};
    caughtUp = () => new Promise((resolve) => (answer = resolve));
    let isReady = false;
    const ready = last.caughtUp().then(() => (isReady = true));
    await clock.advanceAsync(1_000);
    expect(isReady).to.equal(false);
    answer();
    await ready;
    caughtUp = () => Promise.reject(new BrokerError('broker_unavailable', 'away'));
    const error = await last.caughtUp().catch((reason: unknown) => reason);
    expect(error).to.be.instanceOf(BrokerError).with.property('code', 'broker_unavailable');
  });

  it('gives up waiting where nothing answers, and leaves no timer', async () => {
    const last = open({ waitMs: 3_000 }, { follow: () => new Promise(() => {}) });
    const ready = last.caughtUp();
    await clock.advanceAsync(3_000);
    await ready;
    const answered = open();
    await answered.caughtUp();
    caughtUp = () => Promise.reject(new BrokerError('broker_timeout', 'late'));
    await answered.caughtUp();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('closes what it follows, once it is there', async () => {
    await open().close();
    expect(closed).to.equal(1);
    let signal: AbortSignal | undefined;
    const waiting = open(
      {},
      {
        follow: (_receiver, given) =>
          new Promise((_resolve, reject) => {
            signal = given;
            given?.addEventListener('abort', () => reject(new BrokerError('closed', 'aborted')));
          }),
      },
    );
    await waiting.close();
    expect(signal?.aborted).to.equal(true);
  });
});
