/** The guard against a model of RabbitMQ's queue: no drop passes a look, and none survives the death of an owner unseen. */
import { assert } from 'chai';
import fc from 'fast-check';
import { ContinuityGuard } from '../../broker/amqp/continuity-guard.ts';

/** What RabbitMQ does, seen on 3.10.8: `x-max-length` counts what waits, the oldest of it goes, and a requeue is no exception. */
class QueueModel {
  readonly #length: number;
  readonly #window: number;
  /** -1 is the marker. */
  #unacknowledged: number[] = [-1];
  #waiting: number[] = [];
  #published = 0;
  dropped = 0;

  constructor(length: number, window: number) {
    this.#length = length;
    this.#window = window;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  publish(): void {
    this.#waiting.push(this.#published);
    this.#published += 1;
    this.#settle();
  }

  /** Any but the marker. */
  acknowledge(at: number): boolean {
    if (this.#unacknowledged.length < 2) return false;
    this.#unacknowledged.splice(1 + (at % (this.#unacknowledged.length - 1)), 1);
    this.#settle();
    return true;
  }

  get markerSurvivesDeath(): boolean {
    const all = [...this.#unacknowledged, ...this.#waiting];
    return all.slice(Math.max(0, all.length - this.#length)).includes(-1);
  }

  #settle(): void {
    while (this.#unacknowledged.length < this.#window) {
      const next = this.#waiting.shift();
      if (next === undefined) break;
      this.#unacknowledged.push(next);
    }
    while (this.#waiting.length > this.#length) {
      this.#waiting.shift();
      this.dropped += 1;
    }
  }
}

const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('publish'), n: fc.nat(8) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('acknowledge'), n: fc.nat(6) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('answer'), n: fc.nat() }) },
);

describe('ContinuityGuard', () => {
  it('passes no look after a drop, and the marker dies with an owner that has not looked', () => {
    const seen = { drops: 0, passes: 0 };
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(step, { maxLength: 120 }),
        (budget, more, own, steps) => {
          const length = budget + more;
          const guard = new ContinuityGuard(length, budget);
          const queue = new QueueModel(length, budget + own);
          /** What the broker read when it was asked, and had dropped by then. */
          let look: { readonly ready: number; readonly dropped: number } | undefined;
          for (const { kind, n } of steps) {
            for (let i = 0; kind === 'publish' && i < n; i += 1) queue.publish();
            for (let i = 0; kind === 'acknowledge' && i < n; i += 1) {
              if (!guard.mayAcknowledge || !queue.acknowledge(i * 7)) break;
              guard.acknowledged();
              if (!guard.wantsLook) continue;
              guard.asked();
              look = { ready: queue.waiting, dropped: queue.dropped };
            }
            if (kind === 'answer' && look !== undefined) {
              if (!guard.passes(look.ready)) return;
              seen.passes += 1;
              assert.equal(look.dropped, 0, 'a look passed after a drop');
              look = undefined;
            }
            if (queue.dropped > 0) {
              seen.drops += 1;
              assert.isFalse(queue.markerSurvivesDeath, 'a drop that nobody would learn of');
            }
          }
        },
      ),
      { numRuns: 3_000 },
    );
    assert.isAbove(seen.drops, 50);
    assert.isAbove(seen.passes, 50);
  });

  it('never holds back an owner that keeps up, once its looks are answered', () => {
    const guard = new ContinuityGuard(101, 100);
    for (let n = 0; n < 1_000; n += 1) {
      assert.isTrue(guard.mayAcknowledge);
      guard.acknowledged();
      if (!guard.wantsLook) continue;
      guard.asked();
      assert.isTrue(guard.passes(0));
    }
  });
});
