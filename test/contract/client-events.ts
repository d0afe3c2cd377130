/** The guarantees of `ClientEvents`, one test for each sentence. */
import { assert } from 'chai';
import { createEgressEvent, type EgressInput } from '../../contracts/egress-event.ts';
import type { ChannelName, SocketId } from '../../contracts/ids.ts';
import { eventually } from '../support/eventually.ts';
import { appId, type BrokerAdapter, range, rejectionOf, useBroker } from './adapter.ts';

function event(more: Partial<EgressInput> = {}) {
  return createEgressEvent({
    appId,
    channel: { name: 'private-room' as ChannelName, kind: 'private' },
    type: 'client-typing',
    timeMs: 1_700_000_000_123,
    data: '{}',
    ...more,
  });
}

export function describeClientEvents(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: ClientEvents`, () => {
    const current = useBroker(adapter);

    it('has the event in every bound queue once it resolves, attributes and body as they are', async () => {
      const { broker, hearClients } = current();
      const all = await hearClients('#');
      const some = await hearClients('app-1.private.client-typing');
      const none = await hearClients('app-1.presence.*');
      const text = '{ "z":1,\n "é":"\\ud800\\u00e9", "n":1.0 }';
      await broker.clientEvents.publish(
        event({
          id: 'one',
          socketId: '1.2' as SocketId,
          userId: 'auth0|7 é\u0000',
          data: text,
        }),
      );
      const heard = {
        key: 'app-1.private.client-typing',
        id: 'one',
        contentType: 'application/json',
        body: text,
        headers: {
          'cloudEvents:specversion': '1.0',
          'cloudEvents:id': 'one',
          'cloudEvents:source': '/apps/app-1',
          'cloudEvents:type': 'client-typing',
          'cloudEvents:time': '2023-11-14T22:13:20.123Z',
          'cloudEvents:datacontenttype': 'application/json',
          'cloudEvents:app': 'app-1',
          'cloudEvents:channel': 'private-room',
          'cloudEvents:socketid': '1.2',
          'cloudEvents:userid': 'auth0|7 é\u0000',
        },
      };
      await eventually(() => assert.deepEqual([all, some], [[heard], [heard]]));
      assert.isEmpty(none);
    });

    it('takes an event that nobody has bound a queue for', async () => {
      await current().broker.clientEvents.publish(event());
    });

    it('takes names and users as long as they may be', async () => {
      const { broker, hearClients } = current();
      const heard = await hearClients('#');
      const long = event({ type: `client-${'ß'.repeat(193)}`, userId: '𝄞'.repeat(64) });
      await broker.clientEvents.publish(long);
      await eventually(() => assert.lengthOf(heard, 1));
      assert.equal(heard[0]?.key, long.key);
      assert.deepEqual(heard[0]?.headers, long.headers);
    });

    it('reaches the broker in call order', async () => {
      const { broker, hearClients } = current();
      const heard = await hearClients('#');
      await Promise.all(
        range(200).map((n) => broker.clientEvents.publish(event({ data: String(n) }))),
      );
      await eventually(() => assert.lengthOf(heard, 200));
      assert.deepEqual(
        heard.map(({ body }) => body),
        range(200).map(String),
      );
    });

    it('rejects at once while the broker is away, and publishes when it is back', async () => {
      const { broker, cutOff, reconnect, hearClients } = current();
      const heard = await hearClients('#');
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const error = await rejectionOf(broker.clientEvents.publish(event()));
      assert.equal(error.code, 'broker_unavailable');
      await reconnect();
      await eventually(() => broker.clientEvents.publish(event({ data: '"back"' })));
      await eventually(() =>
        assert.deepEqual(
          heard.map(({ body }) => body),
          ['"back"'],
        ),
      );
    });

    it('rejects once the broker is closed', async () => {
      const { broker } = current();
      await broker.close();
      assert.equal((await rejectionOf(broker.clientEvents.publish(event()))).code, 'closed');
    });
  });
}
