/** Many events, and clients that do not read them. */
import { expect } from 'chai';
import { createMemoryBroker, type MemoryBroker } from '../../broker/memory/broker.ts';
import type { Delivery, SessionQueues } from '../../broker/port.ts';
import type { ChannelName } from '../../contracts/ids.ts';
import { createPublication } from '../../contracts/publication.ts';
import { systemClock } from '../../runtime/clock.ts';
import { startTestEdge, type TestEdge } from '../support/edge.ts';
import { eventually } from '../support/eventually.ts';
import { createManualClock } from '../support/manual-clock.ts';

/** Counts what comes from the broker and what is acknowledged, per socket in order of opening. */
function watched(queues: SessionQueues) {
  const counts: { delivered: number; acked: number }[] = [];
  const watching: SessionQueues = {
    async open(spec, receiver, signal) {
      const count = { delivered: 0, acked: 0 };
      counts.push(count);
      const queue = await queues.open(
        spec,
        {
          delivered(delivery) {
            count.delivered += 1;
            receiver.delivered(delivery);
          },
          lost: (notice) => receiver.lost(notice),
          noted: (text) => receiver.noted(text),
          interrupted: () => receiver.interrupted(),
          restored: () => receiver.restored(),
        },
        signal,
      );
      return {
        resumed: queue.resumed,
        bind: (key) => queue.bind(key),
        unbind: (key) => queue.unbind(key),
        ack(delivery: Pick<Delivery, 'tag' | 'epoch'>) {
          count.acked += 1;
          queue.ack(delivery);
        },
        note: (text) => queue.note(text),
        reset: () => queue.reset(),
        park: () => queue.park(),
        close: () => queue.close(),
      };
    },
  };
  return { counts, queues: watching };
}

describe('edge flow', () => {
  let test: TestEdge;
  let broker: MemoryBroker;
  beforeEach(() => {
    broker = createMemoryBroker({ clock: systemClock });
  });
  afterEach(async () => {
    await test.close();
    await broker.close();
  });

  const publish = (event: string, data: string) =>
    broker.channelPublisher.publish(
      createPublication({
        appId: test.app.id,
        channel: 'news' as ChannelName,
        event,
        data,
      }),
    );

  it('delivers 10,000 events in order to every subscriber', async function () {
    this.timeout(30_000);
    test = await startTestEdge({ broker });
    const clients = await Promise.all([test.connect(), test.connect(), test.connect()]);
    for (const client of clients) await client.subscribe('news');
    const total = 10_000;
    for (let sent = 0; sent < total; sent += 500) {
      const batch = Array.from({ length: 500 }, (_, at) => publish('n', String(sent + at)));
      await Promise.all(batch);
    }
    await publish('end', '{}');
    for (const client of clients) {
      await client.next('end');
      const numbers = client
        .events('news')
        .slice(0, -1)
        .map(({ data }) => Number(data));
      expect(numbers).to.deep.equal(Array.from({ length: total }, (_, at) => at));
    }
    expect(await test.metric('warren_deliveries_total')).to.equal(3 * (total + 1));
  });

  it('keeps memory bounded under a client that does not read, serves the others, and closes it with 4100', async function () {
    this.timeout(30_000);
    const clock = createManualClock();
    const { counts, queues } = watched(broker.sessionQueues);
    const bound = 65_536;
    const prefetch = 20;
    test = await startTestEdge({
      broker,
      clock,
      sessionQueues: queues,
      settings: { socketBufferBytes: bound, prefetch, slowSocketMs: 30_000, queueMaxLength: 100 },
    });
    const [slow, quick] = [await test.connect(), await test.connect()];
    await slow.subscribe('news');
    await quick.subscribe('news');
    slow.socket.pause();

    const data = 'x'.repeat(10_000);
    const total = 2_500;
    for (let sent = 0; sent < total; sent += 1) await publish('n', data);
    await quick.next('n');
    await eventually(() => expect(quick.events('news')).to.have.length(total));

    const [slowCount, quickCount] = counts;
    if (slowCount === undefined || quickCount === undefined) throw new Error('no queues');
    expect(quickCount.acked).to.equal(total);
    expect(slowCount.delivered, 'the broker holds the rest').to.be.lessThan(total);
    expect(slowCount.delivered - slowCount.acked).to.equal(prefetch);
    const buffered = await test.metric('warren_socket_buffered_bytes');
    expect(buffered).to.be.within(bound, bound + (prefetch + 2) * 10_200);

    // Not closed before its time, however silent it is.
    clock.advance(29_000);
    await quick.roundTrip();
    expect(await test.metric('warren_connections')).to.equal(2);
    clock.advance(1_000);
    expect(await test.metric('warren_connections_closed_total', 'code="4100"')).to.equal(1);
    expect(test.held().queues, 'its queue is gone at once').to.equal(1);
    // It never reads its close frame either.
    clock.advance(5_000);
    await eventually(async () => expect(await test.metric('warren_connections')).to.equal(1));
    await quick.roundTrip();
  });

  it('goes on where it stopped when the client reads again, in order and without loss', async function () {
    this.timeout(30_000);
    const { counts, queues } = watched(broker.sessionQueues);
    test = await startTestEdge({
      broker,
      sessionQueues: queues,
      settings: { socketBufferBytes: 65_536, prefetch: 20 },
    });
    const client = await test.connect();
    await client.subscribe('news');
    client.socket.pause();
    const padding = 'x'.repeat(10_000);
    const total = 1_500;
    for (let sent = 0; sent < total; sent += 1) await publish('n', `${sent} ${padding}`);
    const [count] = counts;
    if (count === undefined) throw new Error('no queue');
    await eventually(() => expect(count.delivered - count.acked).to.equal(20));
    expect(count.acked).to.be.lessThan(total);
    client.socket.resume();
    await eventually(() => expect(client.events('news')).to.have.length(total));
    expect(
      client.events('news').map(({ data }) => Number.parseInt(String(data), 10)),
    ).to.deep.equal(Array.from({ length: total }, (_, at) => at));
    await eventually(() => expect(count.acked).to.equal(total));
    expect(await test.metric('warren_socket_buffered_bytes')).to.equal(0);
  });
});
