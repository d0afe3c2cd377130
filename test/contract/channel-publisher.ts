/** The guarantees of `ChannelPublisher`, one test for each sentence. */
import { assert } from 'chai';
import type { AppId, ChannelName } from '../../contracts/ids.ts';
import { createRevocation } from '../../contracts/publication.ts';
import { eventually } from '../support/eventually.ts';
import {
  appId,
  type BrokerAdapter,
  edgeId,
  keyOf,
  publication,
  Recorder,
  range,
  rejectionOf,
  useBroker,
} from './adapter.ts';
import { hostileNames } from './hostile-names.ts';

const plain = { kind: 'plain', prefetch: 500, maxLength: 10_000 } as const;

export function describeChannelPublisher(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: ChannelPublisher`, () => {
    const current = useBroker(adapter);

    it('says whether a queue was bound to the key', async () => {
      const { broker } = current();
      const publish = () => broker.channelPublisher.publish(publication('room', '1'));
      assert.deepEqual(await publish(), { routed: false });
      const session = await broker.sessionQueues.open(plain, new Recorder());
      await session.bind(keyOf('room'));
      assert.deepEqual(await publish(), { routed: true });
      await session.unbind(keyOf('room'));
      assert.deepEqual(await publish(), { routed: false });
    });

    it('says it of each publication of many under way', async () => {
      const { broker } = current();
      const session = await broker.sessionQueues.open(plain, new Recorder());
      await session.bind(keyOf('bound'));
      const answers = await Promise.all(
        range(100).map((n) =>
          broker.channelPublisher.publish(publication(n % 3 === 0 ? 'bound' : 'free', String(n))),
        ),
      );
      assert.deepEqual(
        answers.map(({ routed }) => routed),
        range(100).map((n) => n % 3 === 0),
      );
    });

    it('has the publication in every bound queue once it resolves', async () => {
      const { broker, peer, sessionKey } = current();
      const other = await peer();
      const spec = { ...plain, kind: 'continuity', key: sessionKey(), windowMs: 60_000 } as const;
      const parked = await broker.sessionQueues.open(spec, new Recorder());
      await parked.bind(keyOf('room'));
      await parked.park();
      const live = new Recorder();
      await (await other.sessionQueues.open(plain, live)).bind(keyOf('room'));
      await broker.channelPublisher.publish(publication('room', '1'));
      const late = new Recorder();
      const resumed = await other.sessionQueues.open(spec, late);
      await eventually(() => assert.deepEqual([live.ids, late.ids], [['1'], ['1']]));
      await resumed.close();
    });

    it('keeps call order, over all channels, without waiting for one another', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const recorder = new Recorder((delivery) => session.ack(delivery));
      const session = await other.sessionQueues.open(plain, recorder);
      for (const channel of ['a', 'b', 'c']) await session.bind(keyOf(channel));
      const ids = range(2_000).map(String);
      await Promise.all(
        ids.map((id, n) =>
          broker.channelPublisher.publish(publication(['a', 'b', 'c'][n % 3] ?? 'a', id)),
        ),
      );
      await eventually(() => assert.lengthOf(recorder.ids, ids.length));
      assert.deepEqual(recorder.ids, ids);
    });

    it('carries a publication unchanged', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const recorder = new Recorder();
      const session = await other.sessionQueues.open(plain, recorder);
      await session.bind(keyOf('room'));
      const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
      const full = {
        ...publication('room', 'full', { traceparent }),
        except: '123.456' as never,
        body: Buffer.from(range(256)),
      };
      await broker.channelPublisher.publish(full);
      await broker.channelPublisher.publish(publication('room', 'bare', { data: '"é🐇\u2028"' }));
      await eventually(() => assert.lengthOf(recorder.deliveries, 2));
      const [first, second] = recorder.deliveries;
      assert.deepEqual([...(first?.body ?? [])], range(256));
      assert.equal(first?.key, full.key);
      assert.equal(first?.channel, 'room');
      assert.equal(first?.id, 'full');
      assert.equal(first?.except, '123.456');
      assert.equal(first?.traceparent, traceparent);
      assert.isFalse(first?.redelivered);
      assert.notProperty(second, 'except');
      assert.notProperty(second, 'traceparent');
      const expected = publication('room', 'bare', { data: '"é🐇\u2028"' }).body;
      assert.isTrue(expected.equals(second?.body ?? Buffer.alloc(0)));
    });

    it('carries a revocation in its place among the channel’s events, and takes nothing else for one', async () => {
      const { broker, peer, sessionKey } = current();
      const other = await peer();
      const recorders = [new Recorder(), new Recorder(), new Recorder()] as const;
      const spec = { ...plain, kind: 'continuity', key: sessionKey(), windowMs: 60_000 } as const;
      const parked = await other.sessionQueues.open(spec, new Recorder());
      await parked.bind(keyOf('room'));
      await parked.park();
      await (await other.sessionQueues.open(plain, recorders[0])).bind(keyOf('room'));
      const shared = await other.edgeQueues.open(
        { edgeId: edgeId('edge-a'), maxLength: 100 },
        recorders[1],
      );
      await shared.bind(keyOf('room'));
      const channel = 'room' as ChannelName;
      const revocation = createRevocation({ appId, channel, user: 'é|{"x":1}' });
      await broker.channelPublisher.publish(publication('room', '1'));
      assert.deepEqual(await broker.channelPublisher.publish(revocation), { routed: true });
      // A body makes it an event, whatever stands beside it.
      const forged = { ...publication('room', '2'), revokes: 'other' };
      await broker.channelPublisher.publish(forged);
      const resumed = await other.sessionQueues.open(spec, recorders[2]);
      for (const recorder of recorders) {
        await eventually(() =>
          assert.deepEqual(
            recorder.deliveries.map(({ id, revokes }) => [id, revokes]),
            [
              ['1', undefined],
              [revocation.id, 'é|{"x":1}'],
              ['2', undefined],
            ],
          ),
        );
        assert.notProperty(recorder.deliveries[0], 'revokes');
        assert.equal(recorder.deliveries[1]?.channel, 'room');
        assert.equal(recorder.deliveries[1]?.body.length, 0);
      }
      await resumed.close();
      await shared.close();
    });

    it('reaches the channel of exactly that name and app, whatever its name is', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const places = [appId, 'app-2' as AppId].flatMap((app) =>
        hostileNames.map((name) => ({ app, name })),
      );
      const recorders = await Promise.all(
        places.map(async ({ app, name }) => {
          const recorder = new Recorder();
          const session = await other.sessionQueues.open(plain, recorder);
          await session.bind(keyOf(name, app));
          await session.bind(keyOf('sentinel'));
          return recorder;
        }),
      );
      await Promise.all(
        places.map(({ app, name }, n) =>
          broker.channelPublisher.publish(publication(name, `place ${n}`, { appId: app })),
        ),
      );
      await broker.channelPublisher.publish(publication('sentinel', 'sentinel'));
      await eventually(() => {
        for (const { ids } of recorders) assert.equal(ids.at(-1), 'sentinel');
      });
      for (const [n, { app, name }] of places.entries()) {
        const recorder = recorders[n];
        assert.deepEqual(recorder?.ids, [`place ${n}`, 'sentinel'], `${app} ${name}`);
        assert.equal(recorder?.deliveries[0]?.channel, name);
        assert.equal(recorder?.deliveries[0]?.key, keyOf(name, app));
      }
    });

    it('rejects at once while the broker is away, and publishes when it is back', async () => {
      const { broker, cutOff, reconnect } = current();
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const error = await rejectionOf(broker.channelPublisher.publish(publication('room', '1')));
      assert.equal(error.code, 'broker_unavailable');
      assert.isTrue(error.retryable);
      await reconnect();
      await eventually(() => assert.isTrue(broker.status().ready));
      await broker.channelPublisher.publish(publication('room', '2'));
    });

    it('rejects all pending calls before a later one can succeed', async () => {
      const { broker, interrupt } = current();
      const settled: string[] = [];
      const publish = (id: string) =>
        broker.channelPublisher.publish(publication('room', id)).then(
          () => settled.push('ok'),
          () => settled.push('failed'),
        );
      const pending = range(200).map((n) => publish(String(n)));
      await interrupt();
      await eventually(() => broker.channelPublisher.publish(publication('room', 'later')));
      assert.lengthOf(settled, 200, 'nothing is pending any more');
      const firstFailure = settled.indexOf('failed');
      if (firstFailure >= 0) {
        assert.notInclude(settled.slice(firstFailure), 'ok', 'no success after a failure');
      }
      await Promise.all(pending);
    });

    it('delivers in order what it confirms around a loss of the connection', async () => {
      const { broker, peer, interrupt } = current();
      const other = await peer();
      const recorder = new Recorder((delivery) => session.ack(delivery));
      const session = await other.sessionQueues.open(plain, recorder);
      await session.bind(keyOf('room'));
      const publishUntilConfirmed = async (n: number) => {
        await eventually(() =>
          broker.channelPublisher.publish(publication('room', String(n).padStart(4, '0'))),
        );
      };
      for (const n of range(60)) {
        if (n === 20 || n === 40) await interrupt();
        await publishUntilConfirmed(n);
      }
      await eventually(() => assert.equal(recorder.ids.at(-1), '0059'));
      const firsts = [...new Set(recorder.ids)];
      assert.lengthOf(firsts, 60, 'none is lost');
      assert.deepEqual(firsts, [...firsts].sort(), 'first sightings are in order');
    });
  });
}
