/** The guarantees of `DomainEvents`, one test for each sentence. */
import { assert } from 'chai';
import type { Broker, ConsumeOptions, Outcome } from '../../broker/port.ts';
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import { eventually } from '../support/eventually.ts';
import { type BrokerAdapter, range, rejectionOf, roundTrips, useBroker } from './adapter.ts';

const done: Outcome = { kind: 'done' };
const key = 'chat.message.posted';

export function describeDomainEvents(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: DomainEvents`, () => {
    const current = useBroker(adapter);

    it('hands events over in queue order, however their handlers resolve', async () => {
      const { broker } = current();
      const log = new Handling(async (n) => {
        await turns((n * 7) % 11);
        return done;
      });
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 16 }));
      await publishNumbers(broker, range(300));
      await eventually(() => assert.lengthOf(log.resolved, 300));
      assert.deepEqual(log.calls, range(300));
      assert.notDeepEqual(log.resolved, range(300), 'they resolved out of order');
      await consumption.stop(1_000);
    });

    it('leaves at most `prefetch` promises unresolved, also across a loss of the connection', async () => {
      const { broker, peer, interrupt } = current();
      const publisher = await peer();
      const log = new Handling(async () => {
        // The first ones are still at work when the connection is back.
        if (log.calls.length <= 5) await milliseconds(600);
        return done;
      });
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 5 }));
      await publishNumbers(publisher, range(12));
      await eventually(() => assert.lengthOf(log.calls, 5));
      await interrupt();
      await eventually(() => assert.includeMembers([...log.resolved], [...range(12)]));
      assert.equal(log.mostUnresolved, 5);
      await consumption.stop(1_000);
    });

    it('settles in queue order: nothing behind an unsettled event is removed before it', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const log = new Handling(async (n) => (n === 0 ? never() : done));
      await broker.domainEvents.consume(log.options({ prefetch: 10 }));
      await publishNumbers(broker, range(5));
      await eventually(() => assert.sameMembers([...log.resolved], [1, 2, 3, 4]));
      await broker.close();
      const next = new Handling(async () => done);
      const consumption = await other.domainEvents.consume(next.options());
      await eventually(() => assert.deepEqual(next.calls, range(5)));
      await consumption.stop(1_000);
    });

    it('removes an event that is done', async () => {
      const { broker } = current();
      const first = new Handling(async () => done);
      const consumption = await broker.domainEvents.consume(first.options());
      await publishNumbers(broker, range(5));
      await eventually(() => assert.lengthOf(first.resolved, 5));
      await consumption.stop(1_000);
      await publishNumbers(broker, [5]);
      const second = new Handling(async () => done);
      const again = await broker.domainEvents.consume(second.options());
      await eventually(() => assert.include(second.calls, 5));
      assert.deepEqual(second.calls, [5]);
      await again.stop(1_000);
    });

    it('moves a refused event to the dead letters, with the reason and otherwise as it was, and goes on', async () => {
      const { broker, publishRaw, deadLetters } = current();
      const bodies: string[] = [];
      const consumption = await broker.domainEvents.consume({
        patterns: ['#'],
        prefetch: 10,
        async handle(event) {
          bodies.push(event.body.toString('latin1'));
          return event.routingKey === 'bad'
            ? { kind: 'dead-letter', refusal: { code: 'invalid_json', text: 'not JSON' } }
            : done;
        },
      });
      const body = Buffer.from([0x00, 0xff, 0x7b, 0x80, 0x0a]);
      const headers = { tenant: 'blue', count: 7, nested: { list: [1, 'two'] } };
      await publishRaw({
        routingKey: 'bad',
        body,
        headers,
        contentType: 'text/odd',
        messageId: 'm-1',
      });
      await publishRaw({ routingKey: 'good', body: Buffer.from('good') });
      const [letter, ...others] = await eventually(async () => {
        assert.include(bodies, 'good');
        const letters = await deadLetters();
        assert.isNotEmpty(letters);
        return letters;
      });
      assert.isEmpty(others);
      assert.equal(letter?.reason, 'invalid_json: not JSON');
      assert.equal(letter?.routingKey, 'bad');
      assert.isTrue(body.equals(letter?.body ?? Buffer.alloc(0)), 'the body, byte for byte');
      assert.deepInclude({ ...letter?.headers }, headers);
      assert.equal(letter?.messageId, 'm-1');
      assert.equal(letter?.contentType, 'text/odd');
      await consumption.stop(1_000);
      const after = new Handling(async () => done);
      const again = await broker.domainEvents.consume(after.options());
      await publishNumbers(broker, [1]);
      await eventually(() => assert.deepEqual(after.calls, [1], 'it is not in the queue any more'));
      await again.stop(1_000);
    });

    it('stops at an event whose handler rejects, and resumes from that event in order', async () => {
      const { broker } = current();
      let failures = 2;
      const log = new Handling(async (n) => {
        if (n === 3 && failures > 0) {
          failures -= 1;
          throw new Error('the broker was away');
        }
        return done;
      });
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 4 }));
      await publishNumbers(broker, range(10));
      await eventually(() => assert.include(log.resolved, 9));
      const last = log.calls.lastIndexOf(3);
      assert.deepEqual(log.calls.slice(0, 4), range(4));
      assert.deepEqual(log.calls.slice(last), range(7, 3), 'all from it on, in order');
      assert.equal(log.calls.filter((n) => n === 3).length, 3);
      assert.deepEqual(
        log.calls.filter((n) => n < 3),
        range(3),
        'those before it were settled',
      );
      await consumption.stop(1_000);
    });

    it('takes nothing new between a rejection and the repetition', async () => {
      const { broker } = current();
      const [behind, gate] = [new Gate(), new Gate()];
      let failures = 1;
      const log = new Handling(async (n) => {
        if (n === 1 && failures > 0) {
          failures -= 1;
          await behind.opened;
          throw new Error('the broker was away');
        }
        if (n === 2) {
          behind.open();
          await gate.opened;
        }
        return done;
      });
      const consumption = await broker.domainEvents.consume(log.options());
      await publishNumbers(broker, range(3));
      await behind.opened;
      await publishNumbers(broker, [3, 4]);
      await roundTrips(broker);
      gate.open();
      await eventually(() => assert.equal(log.calls.at(-1), 4));
      assert.deepEqual(log.calls, [0, 1, 2, 1, 2, 3, 4]);
      await consumption.stop(1_000);
    });

    it('settles what is before a rejected event, even where its handler takes longer', async () => {
      const { broker } = current();
      const gate = new Gate();
      let failures = 1;
      const log = new Handling(async (n) => {
        if (n === 0) await gate.opened;
        if (n === 1 && failures > 0) {
          failures -= 1;
          throw new Error('the broker was away');
        }
        return done;
      });
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 4 }));
      await publishNumbers(broker, range(4));
      await eventually(() => assert.include(log.calls, 1));
      await roundTrips(broker);
      gate.open();
      await eventually(() => assert.include(log.resolved, 1));
      await eventually(() => assert.equal(log.calls.at(-1), 3));
      assert.deepEqual(
        log.calls.filter((n) => n === 0),
        [0],
      );
      await consumption.stop(1_000);
    });

    it('never handles an event beside its own repetition', async () => {
      const { broker } = current();
      let failures = 3;
      const running = new Map<number, number>();
      let doubled = 0;
      const log = new Handling(async (n) => {
        const count = (running.get(n) ?? 0) + 1;
        running.set(n, count);
        doubled = Math.max(doubled, count);
        try {
          if (n === 0 && failures > 0) {
            failures -= 1;
            throw new Error('the broker was away');
          }
          if (n > 0) await milliseconds(400);
          return done;
        } finally {
          running.set(n, count - 1);
        }
      });
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 4 }));
      await publishNumbers(broker, range(4));
      await eventually(() => assert.includeMembers([...log.resolved], [...range(4)]));
      assert.equal(doubled, 1);
      await consumption.stop(1_000);
    });

    it('gives the events as they were published', async () => {
      const { broker, publishRaw } = current();
      const events: IncomingEvent[] = [];
      const consumption = await broker.domainEvents.consume({
        patterns: [key],
        prefetch: 10,
        async handle(event) {
          events.push(event);
          return done;
        },
      });
      const headers = JSON.parse('{"tenant":"blue","n":3,"__proto__":{"admin":true}}') as object;
      await publishRaw({
        routingKey: key,
        body: Buffer.from([0xff, 0x00]),
        headers: headers as Readonly<Record<string, unknown>>,
        contentType: 'application/json',
        contentEncoding: 'identity',
        messageId: 'm-1',
        type: 'posted',
      });
      await publishRaw({ routingKey: key, body: Buffer.alloc(0) });
      await eventually(() => assert.lengthOf(events, 2));
      const [full, bare] = events;
      assert.equal(full?.routingKey, key);
      assert.match(full?.exchange ?? '', /domain\.events$/);
      assert.deepEqual([...(full?.body ?? [])], [0xff, 0x00]);
      assert.equal(full?.contentType, 'application/json');
      assert.equal(full?.contentEncoding, 'identity');
      assert.equal(full?.messageId, 'm-1');
      assert.equal(full?.type, 'posted');
      assert.isFalse(full?.redelivered);
      assert.isNull(Object.getPrototypeOf(full?.headers));
      assert.deepInclude({ ...full?.headers }, { tenant: 'blue', n: 3 });
      assert.isUndefined(full?.headers['admin'], 'a header cannot become the prototype');
      assert.equal(bare?.body.length, 0);
      assert.notProperty(bare, 'messageId');
      assert.deepEqual({ ...bare?.headers }, {});
      await consumption.stop(1_000);
    });

    it('is bound to the patterns when it resolves, and to nothing else', async () => {
      const { broker } = current();
      const keys: string[] = [];
      const consumption = await broker.domainEvents.consume({
        patterns: ['chat.*.posted', 'user.#', 'exact.key'],
        prefetch: 10,
        async handle(event) {
          keys.push(event.routingKey);
          return done;
        },
      });
      const matching = ['chat.message.posted', 'user', 'user.a.b', 'exact.key'];
      const others = ['chat.posted', 'chat.a.b.posted', 'users.a', 'exact.key.more', ''];
      for (const routingKey of [...others, ...matching]) {
        await broker.domainEvents.publish({ routingKey, body: Buffer.from('{}') });
      }
      await eventually(() => assert.include(keys, 'exact.key'));
      assert.deepEqual(keys, matching);
      await consumption.stop(1_000);
    });

    it('keeps events while nobody consumes', async () => {
      const { broker } = current();
      const first = await broker.domainEvents.consume(new Handling(async () => done).options());
      await first.stop(1_000);
      await publishNumbers(broker, range(3));
      const log = new Handling(async () => done);
      const second = await broker.domainEvents.consume(log.options());
      await eventually(() => assert.deepEqual(log.calls, range(3)));
      await second.stop(1_000);
    });

    it('waits for a broker that is away', async () => {
      const { broker, cutOff, reconnect } = current();
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const log = new Handling(async () => done);
      const consuming = broker.domainEvents.consume(log.options());
      await reconnect();
      const consumption = await consuming;
      await eventually(() => assert.isTrue(broker.status().ready));
      await publishNumbers(broker, range(3));
      await eventually(() => assert.deepEqual(log.calls, range(3)));
      await consumption.stop(1_000);
    });

    it('has one consumer at a time, and the next takes over in order when it stops', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const midway = new Gate();
      const first = new Handling(async (n) => {
        if (n === 40) midway.open();
        await turns(2);
        return done;
      });
      const second = new Handling(async () => done);
      const active = await broker.domainEvents.consume(first.options({ prefetch: 7 }));
      const standby = await other.domainEvents.consume(second.options({ prefetch: 7 }));
      const publishing = publishNumbers(other, range(200));
      await midway.opened;
      assert.isEmpty(second.calls);
      await active.stop(5_000);
      const taken = first.calls.length;
      await publishing;
      await eventually(() => assert.equal(second.calls.at(-1), 199));
      assert.equal(first.calls.length, taken, 'it took nothing after it had stopped');
      assert.deepEqual([...first.calls, ...second.calls], range(200));
      await standby.stop(1_000);
    });

    it('loses nothing and keeps the order when the active consumer loses its connection', async () => {
      const { broker, peer, cutOff } = current();
      const other = await peer();
      const first = new Handling(async (n) => (n < 5 ? done : never()));
      const second = new Handling(async () => done);
      await broker.domainEvents.consume(first.options({ prefetch: 4 }));
      const standby = await other.domainEvents.consume(second.options({ prefetch: 4 }));
      await publishNumbers(other, range(30));
      await eventually(() => assert.include(first.calls, 8));
      await cutOff();
      await eventually(() => assert.equal(second.calls.at(-1), 29));
      const from = second.calls[0] ?? Number.NaN;
      assert.isAtMost(from, 5, 'from the first that was not settled');
      assert.deepEqual(second.calls, range(30 - from, from));
      await standby.stop(1_000);
    });

    it('resumes by itself after a loss of the connection, in order, from what was not settled', async () => {
      const { broker, peer, interrupt } = current();
      const publisher = await peer();
      const gate = new Gate();
      const log = new Handling(async (n) => {
        if (n >= 5) await gate.opened;
        return done;
      });
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 4 }));
      await publishNumbers(publisher, range(12));
      await eventually(() => assert.include(log.calls, 8));
      await interrupt();
      await eventually(() => assert.isFalse(broker.status().ready));
      gate.open();
      await eventually(() => assert.equal(log.calls.at(-1), 11));
      const again = log.calls.slice(9);
      const from = again[0] ?? Number.NaN;
      assert.isAtMost(from, 5);
      assert.deepEqual(again, range(12 - from, from));
      await consumption.stop(1_000);
    });

    it('misses nothing that old and new patterns both match while it is bound anew', async () => {
      const { broker, peer } = current();
      const publisher = await peer();
      const log = new Handling(async () => done);
      const consumption = await broker.domainEvents.consume(
        log.options({ prefetch: 50, patterns: ['chat.#'] }),
      );
      let rebinding = true;
      const storm = (async () => {
        let n = 0;
        for (; rebinding || n < 300; n += 1) await publishNumbers(publisher, [n]);
        return n;
      })();
      for (const patterns of [['chat.message.*'], ['*.message.posted', 'x'], ['#'], ['chat.#']]) {
        await consumption.rebind({ patterns });
      }
      rebinding = false;
      const count = await storm;
      await eventually(() => assert.lengthOf(log.calls, count));
      assert.deepEqual(log.calls, range(count));
      await consumption.stop(1_000);
    });

    it('gets nothing of a pattern that is gone after `rebind`', async () => {
      const { broker } = current();
      const keys: string[] = [];
      const consumption = await broker.domainEvents.consume({
        patterns: ['old', 'kept'],
        prefetch: 10,
        async handle(event) {
          keys.push(event.routingKey);
          return done;
        },
      });
      await consumption.rebind({ patterns: ['kept', 'new'] });
      for (const routingKey of ['old', 'new', 'kept']) {
        await broker.domainEvents.publish({ routingKey, body: Buffer.from('{}') });
      }
      await eventually(() => assert.include(keys, 'kept'));
      assert.deepEqual(keys, ['new', 'kept']);
      await consumption.stop(1_000);
    });

    it('takes nothing more when it stops, and waits for what is in hand', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const gates = [new Gate(), new Gate()] as const;
      const log = new Handling(async (n) => {
        await gates[n === 0 ? 0 : 1].opened;
        return done;
      });
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 2 }));
      await publishNumbers(broker, range(6));
      await eventually(() => assert.lengthOf(log.calls, 2));
      let stopped = false;
      const stopping = Promise.all([
        consumption.stop(5_000).then(() => {
          stopped = true;
        }),
        consumption.stop(5_000),
      ]);
      gates[0].open();
      await eventually(() => assert.deepEqual(log.resolved, [0]));
      await roundTrips(broker);
      assert.isFalse(stopped, 'an event is still in hand');
      gates[1].open();
      const since = performance.now();
      await stopping;
      await consumption.stop(5_000);
      assert.isBelow(performance.now() - since, 4_000, 'nobody waited for the deadline');
      assert.deepEqual(log.calls, [0, 1]);
      const next = new Handling(async () => done);
      const again = await other.domainEvents.consume(next.options());
      await eventually(() => assert.deepEqual(next.calls, [2, 3, 4, 5]));
      await again.stop(1_000);
    });

    it('lets go at the deadline: what did not settle by then stays in the queue', async () => {
      const { broker, peer } = current();
      const other = await peer();
      const log = new Handling(async (n) => (n === 0 ? done : never()));
      const consumption = await broker.domainEvents.consume(log.options({ prefetch: 3 }));
      await publishNumbers(broker, range(3));
      await eventually(() => assert.lengthOf(log.calls, 3));
      await consumption.stop(50);
      const events: IncomingEvent[] = [];
      const again = await other.domainEvents.consume({
        patterns: ['#'],
        prefetch: 3,
        async handle(event) {
          events.push(event);
          return done;
        },
      });
      await eventually(() => assert.deepEqual(events.map(numberOf), [1, 2]));
      assert.isTrue(events.every(({ redelivered }) => redelivered));
      await again.stop(1_000);
    });

    it('confirms an event that no pattern matches', async () => {
      const { broker } = current();
      await broker.domainEvents.publish({ routingKey: 'nobody.listens', body: Buffer.from('{}') });
    });

    it('rejects what it cannot publish, and goes on with the rest', async () => {
      const { broker } = current();
      const log = new Handling(async () => done);
      const consumption = await broker.domainEvents.consume(log.options());
      const tooLong = 'ä'.repeat(128);
      await rejectionOf(
        broker.domainEvents.publish({ routingKey: tooLong, body: Buffer.alloc(0) }),
      );
      await publishNumbers(broker, [1]);
      await eventually(() => assert.deepEqual(log.calls, [1]));
      await consumption.stop(1_000);
    });

    it('rejects to publish at once while the broker is away', async () => {
      const { broker, cutOff } = current();
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const event = { routingKey: key, body: Buffer.from('1') };
      const error = await rejectionOf(broker.domainEvents.publish(event));
      assert.equal(error.code, 'broker_unavailable');
      assert.isTrue(error.retryable);
    });
  });
}

/** Handles numbered events and writes down what happened. */
class Handling {
  readonly calls: number[] = [];
  readonly resolved: number[] = [];
  mostUnresolved = 0;
  #unresolved = 0;
  readonly #handle: (n: number) => Promise<Outcome>;

  constructor(handle: (n: number) => Promise<Outcome>) {
    this.#handle = handle;
  }

  options(more: Partial<Omit<ConsumeOptions, 'handle'>> = {}): ConsumeOptions {
    return { patterns: ['#'], prefetch: 10, ...more, handle: (event) => this.#record(event) };
  }

  async #record(event: IncomingEvent): Promise<Outcome> {
    const n = numberOf(event);
    this.calls.push(n);
    this.#unresolved += 1;
    this.mostUnresolved = Math.max(this.mostUnresolved, this.#unresolved);
    try {
      const outcome = await this.#handle(n);
      this.resolved.push(n);
      return outcome;
    } finally {
      this.#unresolved -= 1;
    }
  }
}

class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

function numberOf(event: IncomingEvent): number {
  return Number(event.body.toString('utf8'));
}

async function publishNumbers(broker: Broker, numbers: readonly number[]): Promise<void> {
  await Promise.all(
    numbers.map((n) =>
      broker.domainEvents.publish({ routingKey: key, body: Buffer.from(String(n)) }),
    ),
  );
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Work that takes this long. */
function milliseconds(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
