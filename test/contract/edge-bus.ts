/** The guarantees of `EdgeBus`, one test for each sentence. */
import { assert } from 'chai';
import type { BusMessage, EdgeBusReceiver } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import {
  type BrokerAdapter,
  edgeId,
  keyOf,
  range,
  rejectionOf,
  roundTrips,
  useBroker,
} from './adapter.ts';

export function describeEdgeBus(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: EdgeBus`, () => {
    const current = useBroker(adapter);

    async function threeMembers() {
      const { broker, peer } = current();
      const brokers = [broker, await peer(), await peer()] as const;
      const ears = [new Ear(), new Ear(), new Ear()] as const;
      const members = [
        await brokers[0].edgeBus.join(edgeId('edge-a'), ears[0]),
        await brokers[1].edgeBus.join(edgeId('edge-b'), ears[1]),
        await brokers[2].edgeBus.join(edgeId('edge-c'), ears[2]),
      ] as const;
      return { ears, members };
    }

    it('brings an announcement of somebody who is no member to every member', async () => {
      const { ears } = await threeMembers();
      const { broker, peer } = current();
      const body = Buffer.from(range(256));
      await (await peer()).edgeBus.announce(edgeId('router'), body);
      await broker.edgeBus.announce(edgeId('router'), Buffer.from('second'));
      for (const ear of ears) {
        await eventually(() => assert.lengthOf(ear.messages, 2));
        const [first, second] = ear.messages;
        assert.equal(first?.from, 'router');
        assert.equal(first?.to, 'all');
        assert.deepEqual([...(first?.body ?? [])], [...body]);
        assert.equal(second?.body.toString(), 'second');
      }
    });

    it('rejects an announcement at once while the broker is away', async () => {
      const { broker, cutOff } = current();
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const announced = broker.edgeBus.announce(edgeId('router'), Buffer.from('x'));
      assert.equal((await rejectionOf(announced)).code, 'broker_unavailable');
    });

    it('brings a message for all to every member, the sender too', async () => {
      const { ears, members } = await threeMembers();
      const body = Buffer.from(range(256));
      await members[0].send({ kind: 'all' }, body);
      for (const ear of ears) {
        const [message] = await eventually(() => {
          assert.lengthOf(ear.messages, 1);
          return ear.messages;
        });
        assert.equal(message?.from, 'edge-a');
        assert.equal(message?.to, 'all');
        assert.isTrue(body.equals(message?.body ?? Buffer.alloc(0)));
      }
    });

    it('brings a message for one edge to that edge alone', async () => {
      const { ears, members } = await threeMembers();
      await members[0].send({ kind: 'edge', edgeId: edgeId('edge-b') }, Buffer.from('for b'));
      await members[0].send({ kind: 'edge', edgeId: edgeId('edge-a') }, Buffer.from('for a'));
      await members[0].send({ kind: 'edge', edgeId: edgeId('edge-x') }, Buffer.from('for nobody'));
      await members[0].send({ kind: 'all' }, Buffer.from('sentinel'));
      const expected = [['for a', 'sentinel'], ['for b', 'sentinel'], ['sentinel']];
      for (const [index, ear] of ears.entries()) {
        await eventually(() => assert.deepEqual(ear.texts, expected[index]));
      }
      assert.equal(ears[1].messages[0]?.to, 'edge');
    });

    it('brings a message on a topic to those who listen to it, while they do', async () => {
      const { ears, members } = await threeMembers();
      const topic = { kind: 'topic', topic: keyOf('presence-room') } as const;
      const other = { kind: 'topic', topic: keyOf('presence-other') } as const;
      await members[0].listen(topic.topic);
      await members[1].listen(topic.topic);
      await members[1].listen(topic.topic);
      await members[2].listen(other.topic);
      await members[2].send(topic, Buffer.from('1'));
      await members[1].unlisten(topic.topic);
      await members[1].unlisten(topic.topic);
      await members[2].send(topic, Buffer.from('2'));
      await members[2].send({ kind: 'all' }, Buffer.from('sentinel'));
      const expected = [['1', '2', 'sentinel'], ['1', 'sentinel'], ['sentinel']];
      for (const [index, ear] of ears.entries()) {
        await eventually(() => assert.deepEqual(ear.texts, expected[index]));
      }
      assert.equal(ears[0].messages[0]?.to, 'topic');
    });

    it('never takes an address of one kind for one of another', async () => {
      const { ears, members } = await threeMembers();
      const hostile = ['all', 'edge.edge-b', '!all', '!edge.edge-b', '#', '*'];
      for (const text of hostile) {
        await members[0].send({ kind: 'topic', topic: keyOf(text) }, Buffer.from(text));
      }
      await members[0].send({ kind: 'all' }, Buffer.from('sentinel'));
      for (const ear of ears) {
        await eventually(() => assert.deepEqual(ear.texts, ['sentinel']));
      }
    });

    it('keeps the order of each sender, for all members', async () => {
      const { ears, members } = await threeMembers();
      await Promise.all(
        members.flatMap((member, sender) =>
          range(200).map((n) => member.send({ kind: 'all' }, Buffer.from(`${sender} ${n}`))),
        ),
      );
      for (const ear of ears) {
        await eventually(() => assert.lengthOf(ear.texts, 600));
        for (const sender of range(3)) {
          const own = ear.texts.filter((text) => text.startsWith(`${sender} `));
          assert.deepEqual(
            own,
            range(200).map((n) => `${sender} ${n}`),
          );
        }
      }
    });

    it('is joined again after a loss of the connection, with the topics listened to', async () => {
      const { interrupt } = current();
      const { ears, members } = await threeMembers();
      const topic = { kind: 'topic', topic: keyOf('presence-room') } as const;
      await members[0].listen(topic.topic);
      await interrupt();
      await eventually(() => assert.equal(ears[0].restorations, 1));
      assert.equal(ears[0].interruptions, 1);
      assert.equal(ears[1].interruptions, 0);
      await members[1].send(topic, Buffer.from('topic'));
      await members[1].send({ kind: 'edge', edgeId: edgeId('edge-a') }, Buffer.from('edge'));
      await members[1].send({ kind: 'all' }, Buffer.from('all'));
      await eventually(() => assert.deepEqual(ears[0].texts, ['topic', 'edge', 'all']));
      await eventually(() => members[0].send({ kind: 'all' }, Buffer.from('back')));
      await eventually(() => assert.include(ears[1].texts, 'back'));
    });

    it('rejects to send while the broker is away', async () => {
      const { broker, cutOff } = current();
      const member = await broker.edgeBus.join(edgeId('edge-a'), new Ear());
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const error = await rejectionOf(member.send({ kind: 'all' }, Buffer.from('lost')));
      assert.equal(error.code, 'broker_unavailable');
    });

    it('is silent once it was left', async () => {
      const { broker } = current();
      const { ears, members } = await threeMembers();
      await members[0].listen(keyOf('presence-room'));
      await members[0].leave();
      await members[0].leave();
      await members[1].send({ kind: 'topic', topic: keyOf('presence-room') }, Buffer.from('topic'));
      await members[1].send({ kind: 'all' }, Buffer.from('all'));
      await eventually(() => assert.deepEqual(ears[2].texts, ['all']));
      await roundTrips(broker);
      assert.deepEqual(ears[0].texts, []);
      assert.equal((await rejectionOf(members[0].listen(keyOf('other')))).code, 'closed');
    });
  });
}

/** A member's receiver that remembers. */
class Ear implements EdgeBusReceiver {
  readonly messages: BusMessage[] = [];
  interruptions = 0;
  restorations = 0;

  get texts(): readonly string[] {
    return this.messages.map(({ body }) => body.toString('utf8'));
  }

  message(message: BusMessage): void {
    this.messages.push(message);
  }

  interrupted(): void {
    this.interruptions += 1;
  }

  restored(): void {
    this.restorations += 1;
  }
}
