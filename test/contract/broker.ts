/** The guarantees of `Broker` itself: status, and what `close` leaves behind. */
import { assert } from 'chai';
import type { BrokerStatus } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerAdapter,
  edgeId,
  keyOf,
  publication,
  Recorder,
  rejectionOf,
  silentMember,
  useBroker,
} from './adapter.ts';

export function describeBroker(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: Broker`, () => {
    const current = useBroker(adapter);
    const plain = { kind: 'plain', prefetch: 10, maxLength: 100 } as const;

    it('is ready while publishing and consuming work, and says why when they do not', async () => {
      const { broker, cutOff, reconnect } = current();
      assert.deepEqual(broker.status(), { ready: true });
      await cutOff();
      const away = await eventually(() => {
        const status = broker.status();
        assert.isFalse(status.ready);
        return status;
      });
      assert.isNotEmpty(away.reason);
      assert.notInclude(away.reason, 'guest', 'no credentials');
      await reconnect();
      await eventually(() => assert.deepEqual(broker.status(), { ready: true }));
    });

    it('tells listeners of each change, until they stop listening', async () => {
      const { broker, cutOff, reconnect } = current();
      const heard: BrokerStatus[] = [];
      const forgotten: BrokerStatus[] = [];
      broker.onStatus((status) => heard.push(status));
      const stop = broker.onStatus((status) => forgotten.push(status));
      stop();
      await cutOff();
      await eventually(() =>
        assert.deepEqual(
          heard.map(({ ready }) => ready),
          [false],
        ),
      );
      await reconnect();
      await eventually(() =>
        assert.deepEqual(
          heard.map(({ ready }) => ready),
          [false, true],
        ),
      );
      assert.isEmpty(forgotten);
    });

    it('leaves no queue behind when it is closed', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const session = await broker.sessionQueues.open(plain, new Recorder());
      await session.bind(keyOf('session'));
      const edge = await broker.edgeQueues.open(
        { edgeId: edgeId('edge-a'), maxLength: 100 },
        new Recorder(),
      );
      await edge.bind(keyOf('edge'));
      for (const channel of ['session', 'edge']) {
        const { routed } = await other.channelPublisher.publish(publication(channel, 'before'));
        assert.isTrue(routed, channel);
      }
      await broker.close();
      for (const channel of ['session', 'edge']) {
        const { routed } = await other.channelPublisher.publish(publication(channel, 'after'));
        assert.isFalse(routed, channel);
      }
    });

    it('parks sessions with continuity when it is closed, as when their edge dies', async () => {
      const { broker, peer, sessionKey } = current();
      const other = await peer();
      const spec = {
        kind: 'continuity',
        key: sessionKey(),
        prefetch: 10,
        maxLength: 100,
        windowMs: 60_000,
      } as const;
      const session = await broker.sessionQueues.open(spec, new Recorder());
      await session.bind(keyOf('room'));
      await broker.close();
      await other.channelPublisher.publish(publication('room', 'meanwhile'));
      const recorder = new Recorder();
      const resumed = await other.sessionQueues.open(spec, recorder);
      assert.isTrue(resumed.resumed);
      await eventually(() => assert.deepEqual(recorder.ids, ['meanwhile']));
      await resumed.close();
    });

    it('can be closed twice, and closing what was opened through it afterwards is harmless', async () => {
      const { broker } = current();
      const session = await broker.sessionQueues.open(plain, new Recorder());
      const edge = await broker.edgeQueues.open(
        { edgeId: edgeId('edge-a'), maxLength: 100 },
        new Recorder(),
      );
      await Promise.all([broker.close(), broker.close()]);
      await broker.close();
      await session.close();
      await edge.close();
      assert.isFalse(broker.status().ready);
    });

    it('closes within a few seconds while the broker is away', async () => {
      const { broker, cutOff } = current();
      await broker.sessionQueues.open(plain, new Recorder());
      await cutOff();
      const since = performance.now();
      await broker.close();
      assert.isBelow(performance.now() - since, 5_000);
    });

    it('refuses to publish once it is closed', async () => {
      const { broker } = current();
      await broker.close();
      await rejectionOf(broker.channelPublisher.publish(publication('room', 'late')));
    });

    it('rejects with closed what waits for the broker when it is closed', async () => {
      const { broker, cutOff, webhookTarget } = current();
      const session = await broker.sessionQueues.open(plain, new Recorder());
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const waiting = [
        broker.sessionQueues.open(plain, new Recorder()),
        session.bind(keyOf('room')),
        broker.edgeQueues.open({ edgeId: edgeId('edge-a'), maxLength: 100 }, new Recorder()),
        broker.edgeBus.join(edgeId('edge-a'), silentMember),
        broker.publicationCache.follow({ published: () => undefined }),
        broker.webhookQueues.consume({
          target: webhookTarget(),
          prefetch: 1,
          handle: async () => ({ kind: 'done' }),
        }),
      ].map(rejectionOf);
      await broker.close();
      for (const error of await Promise.all(waiting)) assert.equal(error.code, 'closed');
    });
  });
}
