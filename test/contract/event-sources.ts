/** The guarantees of `DomainEvents` about where events come from: bindings, further exchanges, further queues. */
import { assert } from 'chai';
import type { Broker, ConsumeOptions, EventSources, Outcome } from '../../broker/port.ts';
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import { eventually } from '../support/eventually.ts';
import { type BrokerAdapter, range, rejectionOf, roundTrips, useBroker } from './adapter.ts';

const done: Outcome = { kind: 'done' };

export function describeEventSources(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: sources of DomainEvents`, () => {
    const current = useBroker(adapter);

    it('leave no binding of a former process behind', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const former = await broker.domainEvents.consume(new Heard().options(['old', 'kept']));
      await former.stop(1_000);
      const heard = new Heard();
      const consumption = await other.domainEvents.consume(heard.options(['kept', 'new']));
      await publish(other, 'old', 'kept', 'new');
      await eventually(() => assert.include(heard.keys, 'new'));
      assert.deepEqual(heard.keys, ['kept', 'new']);
      await consumption.stop(1_000);
    });

    it('leave none behind of a process that was cut off', async () => {
      const { broker, peer, cutOff } = current();
      const other = await peer();
      await broker.domainEvents.consume(new Heard().options(['old', 'kept']));
      await cutOff();
      const heard = new Heard();
      const consumption = await other.domainEvents.consume(heard.options(['kept', 'new']));
      await eventually(async () => {
        heard.events.length = 0;
        await publish(other, 'old', 'kept', 'new');
        await eventually(() => assert.include(heard.keys, 'new'), 500);
      });
      assert.deepEqual(heard.keys, ['kept', 'new']);
      await consumption.stop(1_000);
    });

    it('are those of the active consumer, and when the next takes over, those of that one', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const [first, second] = [new Heard(), new Heard()];
      const active = await broker.domainEvents.consume(first.options(['a', 'both']));
      const standby = await other.domainEvents.consume(second.options(['b', 'both']));
      await publish(other, 'b', 'a', 'both');
      await eventually(() => assert.deepEqual(first.keys, ['a', 'both']));
      await active.stop(1_000);
      await eventually(async () => {
        await publish(other, 'b');
        assert.include(second.keys, 'b');
      });
      second.events.length = 0;
      await publish(other, 'a', 'both');
      await eventually(() => assert.include(second.keys, 'both'));
      assert.notInclude(second.keys, 'a');
      await standby.stop(1_000);
    });

    it('of one that stands by can be changed at once, and hold when it takes over', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const heard = new Heard();
      const active = await broker.domainEvents.consume(new Heard().options(['a']));
      const standby = await other.domainEvents.consume(heard.options(['b']));
      let calls = 0;
      await standby.rebind({ patterns: ['c'] }, () => {
        calls += 1;
      });
      assert.equal(calls, 1);
      await active.stop(1_000);
      await eventually(async () => {
        await publish(other, 'c');
        assert.include(heard.keys, 'c');
      });
      heard.events.length = 0;
      await publish(other, 'a', 'b', 'c');
      await eventually(() => assert.include(heard.keys, 'c'));
      assert.notIncludeMembers(heard.keys, ['a', 'b']);
      await standby.stop(1_000);
    });

    it('are bound before `between` and unbound after it', async () => {
      const { broker, peer } = current();
      const publisher = await peer();
      const heard = new Heard();
      const consumption = await broker.domainEvents.consume(heard.options(['old', 'kept']));
      const publishing: Promise<void>[] = [];
      let calls = 0;
      await consumption.rebind({ patterns: ['kept', 'new'] }, () => {
        calls += 1;
        publishing.push(publish(publisher, 'new'));
      });
      await Promise.all(publishing);
      await eventually(() => assert.deepEqual(heard.keys, ['new']));
      assert.equal(calls, 1);
      await consumption.stop(1_000);
    });

    it('are changed when the broker is back, and of several changes the latest holds', async () => {
      const { broker, peer, cutOff, reconnect } = current();
      const publisher = await peer();
      const heard = new Heard();
      const consumption = await broker.domainEvents.consume(heard.options(['old']));
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const called: string[] = [];
      const changes = ['middle', 'new'].map((pattern) =>
        consumption.rebind({ patterns: [pattern] }, () => called.push(pattern)),
      );
      await roundTrips(publisher);
      assert.isEmpty(called);
      await reconnect();
      await Promise.all(changes);
      assert.deepEqual(called, ['middle', 'new']);
      await eventually(() => assert.isTrue(broker.status().ready));
      await publish(publisher, 'old', 'middle', 'new');
      await eventually(() => assert.deepEqual(heard.keys, ['new']));
      await consumption.stop(1_000);
    });

    it('cannot be changed once the consumption was stopped', async () => {
      const { broker } = current();
      const consumption = await broker.domainEvents.consume(new Heard().options(['a']));
      await consumption.stop(1_000);
      const error = await rejectionOf(consumption.rebind({ patterns: ['b'] }));
      assert.equal(error.code, 'closed');
    });

    it('may be further exchanges, with the same patterns, for as long as they are named', async () => {
      const { broker, foreignName, declareExchange, publishRaw } = current();
      const legacy = foreignName('legacy');
      await declareExchange(legacy);
      const heard = new Heard();
      const consumption = await broker.domainEvents.consume(
        heard.options(['a.*'], { exchanges: [legacy] }),
      );
      const body = Buffer.from('{}');
      await publishRaw({ exchange: legacy, routingKey: 'a.1', body, headers: { 'x-tenant': 'b' } });
      await publishRaw({ exchange: legacy, routingKey: 'b.1', body });
      await publishRaw({ routingKey: 'a.2', body });
      await eventually(() => assert.deepEqual(heard.keys, ['a.1', 'a.2']));
      assert.equal(heard.events[0]?.exchange, legacy);
      assert.equal(heard.events[0]?.headers['x-tenant'], 'b');
      await consumption.rebind({ patterns: ['a.*'] });
      await publishRaw({ exchange: legacy, routingKey: 'a.3', body });
      await publishRaw({ routingKey: 'a.4', body });
      await eventually(() => assert.include(heard.keys, 'a.4'));
      assert.notInclude(heard.keys, 'a.3');
      await consumption.stop(1_000);
    });

    it('that are missing are told, stop no others, and are taken up when they are there', async () => {
      const { broker, foreignName, declareExchange, declareQueue, publishRaw } = current();
      const [exchange, queue] = [foreignName('late'), foreignName('late.queue')];
      const heard = new Heard();
      const consumption = await broker.domainEvents.consume(
        heard.options(['#'], { exchanges: [exchange], queues: [queue] }),
      );
      await eventually(() => {
        const [first, second, ...others] = heard.problems;
        assert.isEmpty(others);
        assert.include(first, `the exchange ${exchange} does not exist`);
        assert.include(second, `the queue ${queue} does not exist`);
      });
      const body = Buffer.from('{}');
      await publishRaw({ routingKey: 'main', body });
      await eventually(() => assert.deepEqual(heard.keys, ['main']));
      await declareExchange(exchange);
      await declareQueue(queue);
      await eventually(() => assert.isEmpty(heard.problems));
      await publishRaw({ exchange, routingKey: 'late', body });
      await publishRaw({ exchange: '', routingKey: queue, body });
      await eventually(() => assert.sameMembers(heard.keys, ['main', 'late', queue]));
      await consumption.stop(1_000);
    });

    it('cannot be Warren’s own', async () => {
      const { broker, foreignName } = current();
      const heard = new Heard();
      const consumption = await broker.domainEvents.consume(
        heard.options(['#'], {
          exchanges: [foreignName('warren.channels')],
          queues: [foreignName('router.events'), foreignName('edge.session.x')],
        }),
      );
      assert.lengthOf(heard.problems, 3);
      for (const problem of heard.problems) assert.include(problem, 'Warren');
      await publish(broker, 'a');
      await eventually(() => assert.deepEqual(heard.keys, ['a']));
      await consumption.stop(1_000);
    });

    it('may be further queues, each handled and settled in its order, with dead letters', async () => {
      const { broker, foreignName, declareQueue, publishRaw, deadLetters } = current();
      const queue = foreignName('orders.outbox');
      await declareQueue(queue);
      for (const n of range(40)) {
        await publishRaw({ exchange: '', routingKey: queue, body: Buffer.from(String(n)) });
      }
      let failures = 1;
      const heard = new Heard(async (event) => {
        const n = Number(event.body.toString());
        if (n === 3) return { kind: 'dead-letter', refusal: { code: 'invalid_json', text: 'no' } };
        if (n === 20 && failures > 0) {
          failures -= 1;
          throw new Error('the broker was away');
        }
        return done;
      });
      const consumption = await broker.domainEvents.consume(
        heard.options(['nothing'], { queues: [queue] }),
      );
      await eventually(() => assert.equal(heard.bodies.at(-1), '39'));
      const again = heard.bodies.lastIndexOf('20');
      assert.deepEqual(heard.bodies.slice(0, 21), range(21).map(String));
      assert.deepEqual(heard.bodies.slice(again), range(20, 20).map(String));
      const [letter, ...others] = await eventually(async () => {
        const letters = await deadLetters();
        assert.isNotEmpty(letters);
        return letters;
      });
      assert.isEmpty(others);
      assert.equal(letter?.body.toString(), '3');
      assert.equal(letter?.routingKey, queue);
      await consumption.stop(1_000);
      const after = new Heard();
      const next = await broker.domainEvents.consume(after.options(['x'], { queues: [queue] }));
      await publishRaw({ exchange: '', routingKey: queue, body: Buffer.from('last') });
      await eventually(() => assert.deepEqual(after.bodies, ['last']));
      await next.stop(1_000);
    });

    it('as queues are consumed by the active consumer alone, and by the next when it stops', async () => {
      const { broker, peer, foreignName, declareQueue, publishRaw } = current();
      const other = await peer();
      const queue = foreignName('orders.outbox');
      await declareQueue(queue);
      let stopping: Promise<void> | undefined;
      const first = new Heard(async (event) => {
        if (event.body.toString() === '30') stopping = active.stop(5_000);
        return done;
      });
      const second = new Heard();
      const sources = { queues: [queue] };
      const active = await broker.domainEvents.consume(first.options(['x'], sources));
      const standby = await other.domainEvents.consume(second.options(['x'], sources));
      for (const n of range(80)) {
        await publishRaw({ exchange: '', routingKey: queue, body: Buffer.from(String(n)) });
      }
      await eventually(() => assert.equal(second.bodies.at(-1), '79'));
      await stopping;
      assert.deepEqual(first.bodies, range(31).map(String));
      assert.deepEqual(second.bodies, range(49, 31).map(String));
      await standby.stop(1_000);
    });

    it('as queues are let go when they are not named any more', async () => {
      const { broker, foreignName, declareQueue, publishRaw } = current();
      const queue = foreignName('orders.outbox');
      await declareQueue(queue);
      const heard = new Heard();
      const consumption = await broker.domainEvents.consume(
        heard.options(['a'], { queues: [queue] }),
      );
      const send = (text: string) =>
        publishRaw({ exchange: '', routingKey: queue, body: Buffer.from(text) });
      await send('1');
      await eventually(() => assert.deepEqual(heard.bodies, ['1']));
      await consumption.rebind({ patterns: ['a'] });
      await roundTrips(broker);
      await send('2');
      await roundTrips(broker);
      assert.deepEqual(heard.bodies, ['1']);
      await consumption.rebind({ patterns: ['a'], queues: [queue] });
      await eventually(() => assert.deepEqual(heard.bodies, ['1', '2']));
      await consumption.stop(1_000);
    });
  });
}

/** What a consumer was handed and told. */
class Heard {
  readonly events: IncomingEvent[] = [];
  problems: readonly string[] = [];
  readonly #handle: (event: IncomingEvent) => Promise<Outcome>;

  constructor(handle: (event: IncomingEvent) => Promise<Outcome> = async () => done) {
    this.#handle = handle;
  }

  get keys(): string[] {
    return this.events.map(({ routingKey }) => routingKey);
  }

  get bodies(): string[] {
    return this.events.map(({ body }) => body.toString());
  }

  options(patterns: readonly string[], more: Omit<EventSources, 'patterns'> = {}): ConsumeOptions {
    return {
      patterns,
      ...more,
      prefetch: 10,
      handle: (event) => {
        this.events.push(event);
        return this.#handle(event);
      },
      problems: (sentences) => {
        this.problems = sentences;
      },
    };
  }
}

async function publish(broker: Broker, ...keys: readonly string[]): Promise<void> {
  for (const routingKey of keys) {
    await broker.domainEvents.publish({ routingKey, body: Buffer.from('{}') });
  }
}
