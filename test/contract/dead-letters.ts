/** The guarantees of `DeadLetters`, one test for each sentence. */
import { assert } from 'chai';
import type {
  Broker,
  DeadLetterFate,
  DeadLetters,
  DeadLetterWalk,
  Outcome,
} from '../../broker/port.ts';
import { type DeadLetter, deadLetterHeaders } from '../../contracts/dead-letter.ts';
import type { IncomingEvent } from '../../contracts/domain-event.ts';
import { eventually } from '../support/eventually.ts';
import { type BrokerAdapter, range, rejectionOf, useBroker } from './adapter.ts';

const refused: Outcome = {
  kind: 'dead-letter',
  refusal: { code: 'missing_field', text: 'events[0].to: {data.id} is not in the event' },
};
const done: Outcome = { kind: 'done' };

export function describeDeadLetters(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: DeadLetters`, () => {
    const current = useBroker(adapter);

    it('visits letters in queue order, those that were there, at most `limit`', async () => {
      const { broker, operate } = current();
      await refuse(broker, range(40));
      const letters = await operate();
      const first: number[] = [];
      const tally = await letters.walk({
        queue: 'events',
        limit: 25,
        visit: (letter) => {
          first.push(numberOf(letter));
          return 'keep';
        },
      });
      assert.deepEqual(first, range(25));
      assert.deepEqual(tally, { total: 40, visited: 25, dropped: 0, replayed: 0 });
      assert.deepEqual(await numbersIn(letters), range(40));
    });

    it('does not visit what is added meanwhile', async () => {
      const { broker, operate } = current();
      await refuse(broker, range(3));
      const router = await routerThat(broker, async () => refused);
      const letters = await operate();
      const visited: number[] = [];
      // What is put back is refused again at once.
      const tally = await letters.walk({
        queue: 'events',
        limit: 100,
        visit: (letter) => {
          visited.push(numberOf(letter));
          return 'replay';
        },
      });
      assert.deepEqual(visited, range(3));
      assert.deepEqual(tally, { total: 3, visited: 3, dropped: 0, replayed: 3 });
      await eventually(async () => assert.deepEqual(await numbersIn(letters), range(3)));
      await router.stop(1_000);
    });

    it('keeps what is kept where it was and drops the rest, over hundreds of letters', async () => {
      const { broker, operate } = current();
      await refuse(broker, range(700));
      const letters = await operate();
      const progress: number[] = [];
      const tally = await letters.walk({
        queue: 'events',
        limit: 650,
        visit: (letter) => (numberOf(letter) % 3 === 0 ? 'drop' : 'keep'),
        progress: ({ visited }) => progress.push(visited),
      });
      const left = range(700).filter((n) => n >= 650 || n % 3 !== 0);
      assert.deepEqual(tally, { total: 700, visited: 650, dropped: 217, replayed: 0 });
      assert.deepEqual(await numbersIn(letters), left);
      assert.equal(progress.at(-1), 650);
      assert.isAbove(progress.length, 1);
    });

    it('keeps every letter where it was when the walk is broken off', async () => {
      const { broker, peer, operate, interrupt } = current();
      await refuse(broker, range(700));
      const admin = await peer();
      const letters = await operate();
      let broken: Promise<void> | undefined;
      const error = await rejectionOf(
        letters.walk({
          queue: 'events',
          limit: 700,
          visit: () => 'keep',
          progress: () => {
            broken ??= interrupt();
          },
        }),
      );
      await broken;
      assert.equal(error.code, 'broker_unavailable');
      await eventually(() => assert.isTrue(admin.status().ready));
      await eventually(async () => {
        const again = await operate();
        assert.deepEqual(await numbersIn(again), range(700));
      });
    });

    it('puts letters back into the queue of the router as they were, in order', async () => {
      const { broker, operate, publishRaw, deadLetters } = current();
      const before: IncomingEvent[] = [];
      const refusing = await routerThat(broker, async (event) => {
        before.push(event);
        return refused;
      });
      const headers = { tenant: 'blue', nested: { list: [1, 'two'] } };
      for (const n of range(5)) {
        await publishRaw({
          routingKey: `order.paid.${n}`,
          body: Buffer.from(String(n)),
          headers,
          contentType: 'application/json',
          messageId: `m-${n}`,
          type: 'paid',
        });
      }
      await eventually(async () => assert.lengthOf(await deadLetters(), 5));
      await refusing.stop(1_000);
      const letters = await operate();
      const tally = await letters.walk({
        queue: 'events',
        limit: 100,
        visit: (letter) => (numberOf(letter) === 2 ? 'keep' : 'replay'),
      });
      assert.equal(tally.replayed, 4);
      assert.deepEqual(await numbersIn(letters), [2]);
      const after: IncomingEvent[] = [];
      const routing = await routerThat(broker, async (event) => {
        after.push(event);
        return done;
      });
      await eventually(() => assert.lengthOf(after, 4));
      assert.deepEqual(
        after.map(comparable),
        before.filter(({ messageId }) => messageId !== 'm-2').map(comparable),
      );
      await routing.stop(1_000);
    });

    it('keeps the first way of an event that is refused once more', async () => {
      const { broker, operate } = current();
      await refuse(broker, [7], 'chat.message.posted');
      const letters = await operate();
      for (const _ of range(2)) {
        await letters.walk({ queue: 'events', limit: 1, visit: () => 'replay' });
        const router = await routerThat(broker, async () => refused);
        await eventually(async () => assert.deepEqual(await numbersIn(letters), [7]));
        await router.stop(1_000);
      }
      const [letter] = await lettersIn(letters);
      assert.equal(letter?.event.routingKey, 'chat.message.posted');
      assert.match(letter?.event.exchange ?? '', /domain\.events$/);
    });

    it('believes no header about the routing key of what services publish', async () => {
      const { broker, publishRaw } = current();
      const keys: string[] = [];
      const router = await routerThat(broker, async (event) => {
        keys.push(event.routingKey);
        return done;
      });
      const headers = { [deadLetterHeaders.routingKey]: 'user.suspended' };
      await publishRaw({ routingKey: 'chat.typed', body: Buffer.from('1'), headers });
      await eventually(() => assert.deepEqual(keys, ['chat.typed']));
      await router.stop(1_000);
    });

    it('tells the same of a letter each time, and different ids of different letters', async () => {
      const { broker, operate } = current();
      const since = Date.now();
      await refuse(broker, range(20));
      const letters = await operate();
      const first = await lettersIn(letters);
      assert.deepEqual(await lettersIn(letters), first);
      assert.lengthOf(new Set(first.map(({ id }) => id)), 20);
      for (const letter of first) {
        assert.match(letter.id, /^[0-9a-z]{10}$/);
        assert.equal(letter.code, 'missing_field');
        assert.match(letter.reason, /^missing_field: events\[0\]/);
        assert.equal(letter.event.routingKey, 'order.paid');
        assert.isAtLeast(letter.atMs ?? 0, since);
        assert.isAtMost(letter.atMs ?? 0, Date.now());
      }
    });

    it('takes no further letter in hand after `signal` has aborted', async () => {
      const { broker, operate } = current();
      await refuse(broker, range(20));
      const letters = await operate();
      const over = new AbortController();
      const tally = await letters.walk({
        queue: 'events',
        limit: 20,
        signal: over.signal,
        visit: (letter) => {
          if (numberOf(letter) === 4) over.abort();
          return 'drop';
        },
      });
      assert.deepEqual(tally, { total: 20, visited: 5, dropped: 5, replayed: 0 });
      assert.deepEqual(await numbersIn(letters), range(15, 5));
    });

    it('reads and drops the reports that were given up, and replays none', async () => {
      const { broker, operate, webhookTarget } = current();
      const target = webhookTarget();
      for (const n of range(3)) await broker.webhookQueues.publish(target, Buffer.from(String(n)));
      const consumption = await broker.webhookQueues.consume({
        target,
        prefetch: 3,
        handle: async () => ({ kind: 'dead-letter', reason: 'answered 410' }),
      });
      const letters = await operate();
      await eventually(async () => assert.lengthOf(await lettersIn(letters, 'webhooks'), 3));
      await consumption.stop(1_000);
      const replay = letters.walk({ queue: 'webhooks', limit: 10, visit: () => 'replay' });
      assert.equal((await rejectionOf(replay)).code, 'broker_topology');
      const visit = (letter: DeadLetter): DeadLetterFate =>
        numberOf(letter) === 1 ? 'drop' : 'keep';
      await letters.walk({ queue: 'webhooks', limit: 10, visit });
      const left = await lettersIn(letters, 'webhooks');
      assert.deepEqual(left.map(numberOf), [0, 2]);
      assert.deepEqual(
        left.map(({ reason }) => reason),
        ['answered 410', 'answered 410'],
      );
      assert.include(left[0]?.event.routingKey, target);
    });

    it('rejects with broker_unavailable while the broker is away, and once it is closed', async () => {
      const { broker, operate, cutOff, reconnect } = current();
      await refuse(broker, range(1));
      const letters = await operate();
      await cutOff();
      const walk: DeadLetterWalk = { queue: 'events', limit: 1, visit: () => 'drop' };
      assert.equal((await rejectionOf(letters.walk(walk))).code, 'broker_unavailable');
      await reconnect();
      await letters.close();
      await letters.close();
      await rejectionOf(letters.walk(walk));
      await eventually(async () => assert.deepEqual(await numbersIn(await operate()), [0]));
    });

    it('refuses a limit that is out of bounds', async () => {
      const letters = await current().operate();
      for (const limit of [0, -1, 1.5, 10_001, Number.NaN]) {
        const error: unknown = await letters
          .walk({ queue: 'events', limit, visit: () => 'keep' })
          .catch((reason: unknown) => reason);
        assert.instanceOf(error, RangeError);
      }
    });
  });
}

/** Has events with these bodies refused, in this order; no router is left. */
async function refuse(broker: Broker, numbers: readonly number[], routingKey = 'order.paid') {
  let count = 0;
  const router = await routerThat(broker, async () => {
    count += 1;
    return refused;
  });
  const body = (n: number) => Buffer.from(String(n));
  await Promise.all(numbers.map((n) => broker.domainEvents.publish({ routingKey, body: body(n) })));
  await eventually(() => assert.equal(count, numbers.length));
  await router.stop(5_000);
}

function routerThat(broker: Broker, handle: (event: IncomingEvent) => Promise<Outcome>) {
  return broker.domainEvents.consume({ patterns: ['#'], prefetch: 100, handle });
}

async function lettersIn(letters: DeadLetters, queue: DeadLetterWalk['queue'] = 'events') {
  const found: DeadLetter[] = [];
  await letters.walk({
    queue,
    limit: 10_000,
    visit: (letter) => {
      found.push(letter);
      return 'keep';
    },
  });
  return found;
}

async function numbersIn(letters: DeadLetters): Promise<readonly number[]> {
  return (await lettersIn(letters)).map(numberOf);
}

function numberOf({ event }: DeadLetter): number {
  return Number(event.body.toString('utf8'));
}

function comparable({ redelivered: _, ...event }: IncomingEvent) {
  return { ...event, body: event.body.toString('utf8'), headers: { ...event.headers } };
}
