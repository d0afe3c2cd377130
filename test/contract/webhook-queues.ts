/** The guarantees of `WebhookQueues`, one test for each sentence. */
import { assert } from 'chai';
import type { Broker, WebhookOutcome, WebhookReport } from '../../broker/port.ts';
import { eventually } from '../support/eventually.ts';
import { type BrokerAdapter, range, rejectionOf, roundTrips, useBroker } from './adapter.ts';

const done: WebhookOutcome = { kind: 'done' };

export function describeWebhookQueues(adapter: BrokerAdapter): void {
  describe(`${adapter.name}: WebhookQueues`, () => {
    const current = useBroker(adapter);

    it('keeps reports until somebody consumes them, though their publisher is gone', async () => {
      const { broker, peer, webhookTarget } = current();
      const target = webhookTarget();
      const publisher = await peer();
      await publishReports(publisher, target, range(20));
      await publisher.close();
      const log = new Handling(async () => done);
      await broker.webhookQueues.consume(log.options(target));
      await eventually(() => assert.deepEqual(log.calls, range(20)));
    });

    it('hands reports over as they were published, with the time of their publishing', async () => {
      const { broker, webhookTarget } = current();
      const target = webhookTarget();
      const reports: WebhookReport[] = [];
      const before = Date.now();
      await broker.webhookQueues.publish(target, Buffer.from([0xff, 0x00, 0x7b]));
      const after = Date.now();
      await broker.webhookQueues.consume({
        target,
        prefetch: 10,
        async handle(report) {
          reports.push(report);
          return done;
        },
      });
      await eventually(() => assert.lengthOf(reports, 1));
      assert.deepEqual([...(reports[0]?.body ?? [])], [0xff, 0x00, 0x7b]);
      assert.isAtLeast(reports[0]?.publishedAtMs ?? 0, before);
      assert.isAtMost(reports[0]?.publishedAtMs ?? 0, after);
    });

    it('hands them over in call order, up to `prefetch` at a time, however their handlers resolve', async () => {
      const { broker, webhookTarget } = current();
      const target = webhookTarget();
      const log = new Handling(async (n) => {
        await turns((n * 7) % 11);
        return done;
      });
      await broker.webhookQueues.consume(log.options(target, 16));
      await publishReports(broker, target, range(300));
      await eventually(() => assert.lengthOf(log.resolved, 300));
      assert.deepEqual(log.calls, range(300));
      assert.notDeepEqual(log.resolved, range(300), 'they resolved out of order');
      assert.equal(log.mostUnresolved, 16);
    });

    it('keeps targets apart', async () => {
      const { broker, webhookTarget } = current();
      const targets = [webhookTarget(), webhookTarget()] as const;
      const logs = targets.map(() => new Handling(async () => done));
      for (const [index, target] of targets.entries()) {
        await broker.webhookQueues.consume((logs[index] ?? new Handling(never)).options(target));
      }
      await Promise.all([
        publishReports(broker, targets[0], [1, 2]),
        publishReports(broker, targets[1], [3]),
      ]);
      await eventually(() =>
        assert.deepEqual(
          logs.map(({ calls }) => calls),
          [[1, 2], [3]],
        ),
      );
    });

    it('refuses a target that cannot name a queue', async () => {
      const { broker } = current();
      for (const target of ['', 'a.b', '#', 'x'.repeat(65)]) {
        const calls = [
          broker.webhookQueues.publish(target, Buffer.alloc(0)),
          broker.webhookQueues.consume(new Handling(never).options(target)),
        ];
        for (const call of calls) assert.equal((await rejectionOf(call)).code, 'broker_topology');
      }
    });

    it('removes a report that is done', async () => {
      const { broker, webhookTarget } = current();
      const target = webhookTarget();
      const first = new Handling(async () => done);
      const consumption = await broker.webhookQueues.consume(first.options(target));
      await publishReports(broker, target, range(5));
      await eventually(() => assert.lengthOf(first.resolved, 5));
      await consumption.stop(1_000);
      await publishReports(broker, target, [5]);
      const second = new Handling(async () => done);
      await broker.webhookQueues.consume(second.options(target));
      await eventually(() => assert.include(second.calls, 5));
      assert.deepEqual(second.calls, [5]);
    });

    it('moves a report to the dead letters with the reason, and goes on', async () => {
      const { broker, webhookTarget, webhookDeadLetters } = current();
      const target = webhookTarget();
      const log = new Handling(async (n) =>
        n === 1 ? { kind: 'dead-letter', reason: 'the target answered 410' } : done,
      );
      const consumption = await broker.webhookQueues.consume(log.options(target));
      await publishReports(broker, target, range(3));
      await eventually(() => assert.deepEqual(log.resolved, range(3)));
      await eventually(async () =>
        assert.deepEqual(await webhookDeadLetters(), [
          { body: '1', reason: 'the target answered 410' },
        ]),
      );
      await consumption.stop(1_000);
      const next = new Handling(async () => done);
      await broker.webhookQueues.consume(next.options(target));
      await publishReports(broker, target, [3]);
      await eventually(() => assert.deepEqual(next.calls, [3], 'it is not in the queue any more'));
    });

    it('hands a report over again whose handler rejects, and those behind it in order', async () => {
      const { broker, webhookTarget } = current();
      const target = webhookTarget();
      let failures = 2;
      const log = new Handling(async (n) => {
        if (n === 3 && failures > 0) {
          failures -= 1;
          throw new Error('the edge is going away');
        }
        return done;
      });
      await broker.webhookQueues.consume(log.options(target, 4));
      await publishReports(broker, target, range(10));
      await eventually(() => assert.include(log.resolved, 9));
      assert.deepEqual(log.calls.slice(log.calls.lastIndexOf(3)), range(7, 3));
      assert.equal(log.calls.filter((n) => n === 3).length, 3);
    });

    it('has one active consumer per target, and the next takes over in order when it stops', async () => {
      const { broker, peer, webhookTarget } = current();
      const target = webhookTarget();
      const first = new Handling(async () => {
        await turns(2);
        return done;
      });
      const second = new Handling(async () => done);
      const active = await broker.webhookQueues.consume(first.options(target, 7));
      await (await peer()).webhookQueues.consume(second.options(target, 7));
      const publishing = publishReports(broker, target, range(200));
      await eventually(() => assert.isAbove(first.calls.length, 40));
      assert.isEmpty(second.calls);
      await active.stop(5_000);
      const taken = first.calls.length;
      await publishing;
      await publishReports(broker, target, [200]);
      await eventually(() => assert.equal(second.calls.at(-1), 200));
      assert.equal(first.calls.length, taken, 'it took nothing after it had stopped');
      assert.deepEqual([...first.calls, ...second.calls], range(201));
    });

    it('hands what the active consumer has not settled to the next when its connection is lost', async () => {
      const { broker, peer, cutOff, webhookTarget } = current();
      const target = webhookTarget();
      const other = await peer();
      const first = new Handling(async (n) => (n < 5 ? done : never()));
      const second = new Handling(async () => done);
      await broker.webhookQueues.consume(first.options(target, 4));
      await other.webhookQueues.consume(second.options(target, 4));
      await publishReports(other, target, range(30));
      await eventually(() => assert.include(first.calls, 8));
      await cutOff();
      await eventually(() => assert.equal(second.calls.at(-1), 29));
      const from = second.calls[0] ?? Number.NaN;
      assert.isAtMost(from, 5, 'from the first that was not settled');
      assert.deepEqual(second.calls, range(30 - from, from));
    });

    it('goes on by itself after a loss of the connection, from what was not settled', async () => {
      const { broker, peer, interrupt, webhookTarget } = current();
      const target = webhookTarget();
      const publisher = await peer();
      const gate = new Gate();
      const log = new Handling(async (n) => {
        if (n >= 5) await gate.opened;
        return done;
      });
      await broker.webhookQueues.consume(log.options(target, 4));
      await publishReports(publisher, target, range(12));
      await eventually(() => assert.include(log.calls, 8));
      await interrupt();
      await eventually(() => assert.isFalse(broker.status().ready));
      gate.open();
      await eventually(() => assert.equal(log.calls.at(-1), 11));
      const again = log.calls.slice(9);
      const from = again[0] ?? Number.NaN;
      assert.isAtMost(from, 5);
      assert.deepEqual(again, range(12 - from, from));
    });

    it('waits for a broker that is away', async () => {
      const { broker, peer, cutOff, reconnect, webhookTarget } = current();
      const target = webhookTarget();
      await publishReports(await peer(), target, range(3));
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const log = new Handling(async () => done);
      const consuming = broker.webhookQueues.consume(log.options(target));
      await reconnect();
      await consuming;
      await eventually(() => assert.deepEqual(log.calls, range(3)));
    });

    it('rejects with closed to consume once the broker was closed', async () => {
      const { broker, webhookTarget } = current();
      await broker.close();
      const call = broker.webhookQueues.consume(new Handling(never).options(webhookTarget()));
      assert.equal((await rejectionOf(call)).code, 'closed');
    });

    it('rejects to publish at once while the broker is away, and publishes when it is back', async () => {
      const { broker, cutOff, reconnect, webhookTarget } = current();
      const target = webhookTarget();
      await cutOff();
      await eventually(() => assert.isFalse(broker.status().ready));
      const error = await rejectionOf(broker.webhookQueues.publish(target, Buffer.from('0')));
      assert.equal(error.code, 'broker_unavailable');
      assert.isTrue(error.retryable);
      await reconnect();
      await eventually(() => assert.isTrue(broker.status().ready));
      await publishReports(broker, target, [1]);
      const log = new Handling(async () => done);
      await broker.webhookQueues.consume(log.options(target));
      await eventually(() => assert.deepEqual(log.calls, [1]));
    });

    it('takes nothing more when it stops, and waits for what is in hand', async () => {
      const { broker, peer, webhookTarget } = current();
      const target = webhookTarget();
      const gates = [new Gate(), new Gate()] as const;
      const log = new Handling(async (n) => {
        await gates[n === 0 ? 0 : 1].opened;
        return done;
      });
      const consumption = await broker.webhookQueues.consume(log.options(target, 2));
      await publishReports(broker, target, range(6));
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
      assert.isFalse(stopped, 'a report is still in hand');
      gates[1].open();
      await stopping;
      assert.deepEqual(log.calls, [0, 1]);
      const next = new Handling(async () => done);
      await (await peer()).webhookQueues.consume(next.options(target));
      await eventually(() => assert.deepEqual(next.calls, [2, 3, 4, 5]));
    });

    it('lets go at the deadline: what did not settle by then stays in the queue', async () => {
      const { broker, peer, webhookTarget } = current();
      const target = webhookTarget();
      const log = new Handling(async (n) => (n === 0 ? done : never()));
      const consumption = await broker.webhookQueues.consume(log.options(target, 3));
      await publishReports(broker, target, range(3));
      await eventually(() => assert.lengthOf(log.calls, 3));
      await consumption.stop(50);
      const next = new Handling(async () => done);
      await (await peer()).webhookQueues.consume(next.options(target));
      await eventually(() => assert.deepEqual(next.calls, [1, 2]));
    });

    describe('with a lifetime of 400 ms and three reports to wait at most', () => {
      const bounded = useBroker(adapter, { webhookLifetimeMs: 400, maxWebhookReports: 3 });

      it('gives up what nobody has taken in its lifetime', async () => {
        const { broker, webhookTarget, webhookDeadLetters } = bounded();
        const target = webhookTarget();
        await publishReports(broker, target, [0, 1]);
        assert.isEmpty(await webhookDeadLetters());
        await eventually(async () =>
          assert.deepEqual(await webhookDeadLetters(), [
            { body: '0', reason: 'expired' },
            { body: '1', reason: 'expired' },
          ]),
        );
        const log = new Handling(async () => done);
        await broker.webhookQueues.consume(log.options(target));
        await publishReports(broker, target, [2]);
        await eventually(() => assert.deepEqual(log.calls, [2]));
      });

      it('leaves alone what is in hand, however long that takes, and gives up what waits behind it', async () => {
        const { broker, webhookTarget, webhookDeadLetters } = bounded();
        const target = webhookTarget();
        const gate = new Gate();
        const log = new Handling(async () => {
          await gate.opened;
          return done;
        });
        await broker.webhookQueues.consume(log.options(target, 1));
        await publishReports(broker, target, [0, 1]);
        await eventually(async () =>
          assert.deepEqual(await webhookDeadLetters(), [{ body: '1', reason: 'expired' }]),
        );
        gate.open();
        await eventually(() => assert.deepEqual(log.resolved, [0]));
        await publishReports(broker, target, [2]);
        await eventually(() => assert.deepEqual(log.resolved, [0, 2]));
        assert.lengthOf(await webhookDeadLetters(), 1);
      });

      it('gives up the oldest beyond the bound', async () => {
        const { broker, webhookTarget, webhookDeadLetters } = bounded();
        const target = webhookTarget();
        await publishReports(broker, target, range(5));
        await eventually(async () => {
          const overflown = (await webhookDeadLetters()).filter(
            ({ reason }) => reason === 'maxlen',
          );
          assert.deepEqual(
            overflown.map(({ body }) => body),
            ['0', '1'],
          );
        });
      });
    });
  });
}

/** Handles numbered reports and writes down what happened. */
class Handling {
  readonly calls: number[] = [];
  readonly resolved: number[] = [];
  mostUnresolved = 0;
  #unresolved = 0;
  readonly #handle: (n: number) => Promise<WebhookOutcome>;

  constructor(handle: (n: number) => Promise<WebhookOutcome>) {
    this.#handle = handle;
  }

  options(target: string, prefetch = 10) {
    return { target, prefetch, handle: (report: WebhookReport) => this.#record(report) };
  }

  async #record(report: WebhookReport): Promise<WebhookOutcome> {
    const n = Number(report.body.toString('utf8'));
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

async function publishReports(
  broker: Broker,
  target: string,
  numbers: readonly number[],
): Promise<void> {
  await Promise.all(
    numbers.map((n) => broker.webhookQueues.publish(target, Buffer.from(String(n)))),
  );
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
