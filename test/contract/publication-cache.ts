/** The guarantees of `PublicationCache`, one test for each sentence. */
import { assert } from 'chai';
import type { Broker, CachedPublication, CacheReceiver } from '../../broker/port.ts';
import type { ChannelName } from '../../contracts/ids.ts';
import { createRevocation } from '../../contracts/publication.ts';
import { eventually } from '../support/eventually.ts';
import {
  appId,
  type BrokerAdapter,
  keyOf,
  publication,
  Recorder,
  range,
  rejectionOf,
  roundTrips,
  useBroker,
} from './adapter.ts';
import { hostileNames } from './hostile-names.ts';

export function describePublicationCache(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: PublicationCache`, () => {
    const current = useBroker(adapter);

    it('has handed over all that is kept, oldest first, when it resolves, and then what is published', async () => {
      const { broker, peer } = current();
      const publisher = await peer();
      await publishCached(publisher, range(1_200));
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      assert.deepEqual(follower.numbers, range(1_200));
      await publishCached(publisher, range(100, 1_200));
      await eventually(() => assert.deepEqual(follower.numbers, range(1_300)));
      await following.close();
    });

    it('carries a publication unchanged, with the time of its publishing', async () => {
      const { broker, peer } = current();
      const follower = new Following();
      const following = await (await peer()).publicationCache.follow(follower);
      const before = Date.now();
      const sent = hostileNames.map((name, n) => ({
        ...publication(name, `id ${n}`, { cached: true }),
        body: Buffer.from([0xff, n, 0x00]),
      }));
      for (const each of sent) await broker.channelPublisher.publish(each);
      const after = Date.now();
      await following.caughtUp();
      assert.deepEqual(
        follower.seen.map(({ publishedAtMs: _, ...rest }) => rest),
        sent.map(({ key, channel, id, body }) => ({ key, channel, id, body })),
      );
      for (const { publishedAtMs } of follower.seen) {
        assert.isAtLeast(publishedAtMs, before);
        assert.isAtMost(publishedAtMs, after);
      }
      await following.close();
    });

    it('keeps revocations among them, in one order', async () => {
      const { broker, peer } = current();
      const follower = new Following();
      const following = await (await peer()).publicationCache.follow(follower);
      const channel = 'private-room' as ChannelName;
      const revocation = createRevocation({ appId, channel, user: 'é|1' });
      await broker.channelPublisher.publish(publication('a', '1', { cached: true }));
      assert.deepEqual(await broker.channelPublisher.publish(revocation), { routed: true });
      await broker.channelPublisher.publish(publication('b', '2', { cached: true }));
      await following.caughtUp();
      assert.deepEqual(
        follower.seen.map(({ id, revokes }) => [id, revokes]),
        [
          ['1', undefined],
          [revocation.id, 'é|1'],
          ['2', undefined],
        ],
      );
      const [, kept] = follower.seen;
      assert.include(kept, { key: revocation.key, channel: 'private-room' });
      assert.isAtMost(Math.abs((kept?.publishedAtMs ?? 0) - Date.now()), 60_000);
      await following.close();
    });

    it('keeps publications that are cached, and nothing else', async () => {
      const { broker, peer } = current();
      const other = await (await peer()).publicationCache.follow(new Following());
      await broker.channelPublisher.publish(publication('room', '0'));
      await broker.channelPublisher.publish(publication('room', '1', { cached: true }));
      await other.caughtUp();
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      await broker.channelPublisher.publish(publication('room', '2'));
      await Promise.all([following.caughtUp(), other.caughtUp()]);
      await broker.channelPublisher.publish(publication('room', '3', { cached: true }));
      await following.caughtUp();
      assert.deepEqual(follower.numbers, [1, 3]);
      await following.close();
      await other.close();
    });

    it('delivers a cached publication once to whoever is bound, and calls it routed in any case', async () => {
      const { broker } = current();
      const recorder = new Recorder();
      const session = await broker.sessionQueues.open(
        { kind: 'plain', prefetch: 100, maxLength: 100 },
        recorder,
      );
      await session.bind(keyOf('bound'));
      for (const channel of ['bound', 'free']) {
        const cached = publication(channel, channel, { cached: true });
        assert.deepEqual(await broker.channelPublisher.publish(cached), { routed: true });
      }
      await broker.channelPublisher.publish(publication('bound', 'last'));
      await eventually(() => assert.equal(recorder.ids.at(-1), 'last'));
      assert.deepEqual(recorder.ids, ['bound', 'last']);
    });

    it('has one order for all followers, whoever publishes', async () => {
      const { broker, peer } = current();
      const edges = [broker, await peer(), await peer()];
      const early = new Following();
      await broker.publicationCache.follow(early);
      await Promise.all(
        edges.map((edge, index) => publishCached(edge, range(200, (index + 1) * 1_000))),
      );
      const late = edges.map(() => new Following());
      await Promise.all(
        edges.map((edge, index) => edge.publicationCache.follow(late[index] ?? new Following())),
      );
      await eventually(() => assert.lengthOf(early.numbers, 600));
      for (const { numbers } of late) assert.deepEqual(numbers, early.numbers);
    });

    it('keeps what an edge published that is gone since', async () => {
      const { broker, peer } = current();
      const follower = new Following();
      const publisher = await peer();
      await publishCached(publisher, range(10));
      await publisher.close();
      await broker.publicationCache.follow(follower);
      assert.deepEqual(follower.numbers, range(10));
    });

    it('waits for a broker that is away', async () => {
      const { broker, peer, cutOff, reconnect } = current();
      const publisher = await peer();
      await publishCached(publisher, [0]);
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const follower = new Following();
      const following = broker.publicationCache.follow(follower);
      await publishCached(publisher, [1]);
      await reconnect();
      await following;
      assert.deepEqual(follower.numbers, [0, 1]);
    });

    it('gives up when the signal aborts, and hands over nothing afterwards', async () => {
      const { broker, cutOff, reconnect } = current();
      const over = AbortSignal.abort();
      const follower = new Following();
      assert.equal(
        (await rejectionOf(broker.publicationCache.follow(follower, over))).code,
        'closed',
      );
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const abort = new AbortController();
      const refused = rejectionOf(broker.publicationCache.follow(follower, abort.signal));
      abort.abort();
      assert.equal((await refused).code, 'closed');
      await reconnect();
      await eventually(() => assert.isTrue(broker.status().ready));
      await publishCached(broker, [1]);
      const next = new Following();
      await (await broker.publicationCache.follow(next)).caughtUp();
      assert.deepEqual(next.numbers, [1]);
      assert.isEmpty(follower.seen);
    });

    it('rejects with closed once the broker was closed', async () => {
      const { broker } = current();
      await broker.close();
      const error = await rejectionOf(broker.publicationCache.follow(new Following()));
      assert.equal(error.code, 'closed');
    });

    it('takes an abort calmly that comes after it has resolved', async () => {
      const { broker } = current();
      const abort = new AbortController();
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower, abort.signal);
      abort.abort();
      await publishCached(broker, [1]);
      await following.caughtUp();
      assert.deepEqual(follower.numbers, [1]);
    });

    it('goes on by itself after a loss of the connection: nothing is missed, first sightings are in order', async () => {
      const { broker, peer, interrupt, cutOff, reconnect } = current();
      const publisher = await peer();
      const follower = new Following();
      await broker.publicationCache.follow(follower);
      let published = 0;
      for (const burst of range(4)) {
        await publishCached(publisher, range(200, burst * 200));
        published += 200;
        await interrupt();
      }
      await eventually(() => assert.equal(follower.numbers.at(-1), published - 1));
      // The last interruption is over, or it would end the next one.
      await eventually(() => assert.isTrue(broker.status().ready));
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      await publishCached(publisher, range(200, published));
      published += 200;
      await reconnect();
      await eventually(() => assert.equal(follower.numbers.at(-1), published - 1));
      const firsts = [...new Set(follower.numbers)];
      assert.deepEqual(firsts, range(published));
    });

    it('hands over again, if at all, in order from where it repeats', async () => {
      const { broker, peer, interrupt } = current();
      const publisher = await peer();
      const follower = new Following();
      const following = await broker.publicationCache.follow(follower);
      await publishCached(publisher, range(50));
      await following.caughtUp();
      await interrupt();
      await publishCached(publisher, range(50, 50));
      await eventually(() => assert.equal(follower.numbers.at(-1), 99));
      const again = follower.numbers.slice(50);
      const from = again[0] ?? Number.NaN;
      assert.deepEqual(again, range(100 - from, from));
    });

    describe('caughtUp', () => {
      it('has handed over everything that was confirmed before the call', async () => {
        const { broker, peer } = current();
        const publisher = await peer();
        const follower = new Following();
        const following = await broker.publicationCache.follow(follower);
        for (const round of range(20)) {
          await publishCached(publisher, range(30, round * 30));
          await following.caughtUp();
          assert.lengthOf(follower.numbers, (round + 1) * 30);
        }
      });

      it('means what was confirmed before each call, also of calls that wait at the same time', async () => {
        const { broker, peer } = current();
        const publisher = await peer();
        const follower = new Following();
        const following = await broker.publicationCache.follow(follower);
        const waiting: Promise<void>[] = [];
        for (const n of range(200)) {
          await publishCached(publisher, [n]);
          waiting.push(
            following.caughtUp().then(() => assert.include(follower.numbers, n, `call ${n}`)),
          );
        }
        await Promise.all(waiting);
      });

      it('rejects while the broker is away, and works again afterwards', async () => {
        const { broker, cutOff, reconnect } = current();
        const follower = new Following();
        const following = await broker.publicationCache.follow(follower);
        await cutOff();
        await eventually(() => assert.isFalse(broker.status().ready));
        const error = await rejectionOf(following.caughtUp());
        assert.equal(error.code, 'broker_unavailable');
        assert.isTrue(error.retryable);
        await reconnect();
        await eventually(() => publishCached(broker, [1]));
        await eventually(() => following.caughtUp());
        assert.deepEqual(follower.numbers, [1]);
      });

      it('rejects calls that wait when the connection is lost or the follower closed', async () => {
        const { broker, interrupt } = current();
        const following = await broker.publicationCache.follow(new Following());
        const lost = rejectionOf(following.caughtUp());
        await interrupt();
        assert.isTrue((await lost).retryable);
        await eventually(() => following.caughtUp());
        const waiting = [rejectionOf(following.caughtUp())];
        // One that is under way, and one that waits for it.
        for (const _ of range(10)) await Promise.resolve();
        waiting.push(rejectionOf(following.caughtUp()));
        await following.close();
        for (const error of await Promise.all(waiting)) assert.equal(error.code, 'closed');
        assert.equal((await rejectionOf(following.caughtUp())).code, 'closed');
      });
    });

    it('hands over nothing once it is closed, which can be done twice, and others go on', async () => {
      const { broker } = current();
      const [follower, other] = [new Following(), new Following()];
      const following = await broker.publicationCache.follow(follower);
      const going = await broker.publicationCache.follow(other);
      await publishCached(broker, [1]);
      await following.caughtUp();
      await Promise.all([following.close(), following.close()]);
      await publishCached(broker, [2]);
      await going.caughtUp();
      await roundTrips(broker);
      assert.deepEqual(follower.numbers, [1]);
      assert.deepEqual(other.numbers, [1, 2]);
    });
  });
}

/** Writes down what it is handed. */
export class Following implements CacheReceiver {
  readonly seen: CachedPublication[] = [];

  published(cached: CachedPublication): void {
    this.seen.push(cached);
  }

  /** Ids that are numbers, in the order of their coming. */
  get numbers(): readonly number[] {
    return this.seen.map(({ id }) => Number(id));
  }
}

export async function publishCached(broker: Broker, numbers: readonly number[]): Promise<void> {
  await Promise.all(
    numbers.map((n) =>
      broker.channelPublisher.publish(publication('room', String(n), { cached: true })),
    ),
  );
}
