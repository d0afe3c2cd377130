/**
 * The circuit breaker of one target: opens when most requests of the last minutes failed, then lets one through now and again to see
 * whether the target is back. How long it stays open is measured by opossum's own timer, not by a `Clock`.
 */
import { EventEmitter } from 'node:events';
import CircuitBreaker from 'opossum';
import type { Clock } from '../../runtime/clock.ts';
import type { PostOutcome } from './target-client.ts';

export interface BreakerLimits {
  /** Requests within the window before it may open. */
  readonly breakerRequests: number;
  /** How long it stays open before the next trial. */
  readonly breakerOpenMs: number;
}

/** Of these requests more than half must have failed. */
const windowBuckets = 12;
const bucketMs = 10_000;

type Attempt = () => Promise<PostOutcome>;

class AttemptFailed extends Error {
  readonly outcome: PostOutcome;

  constructor(outcome: PostOutcome) {
    super('the request failed');
    this.outcome = outcome;
  }
}

export class Breaker {
  readonly #circuit: CircuitBreaker<[Attempt], PostOutcome>;
  readonly #stopRotation: () => void;

  /** @param changed called once when the target begins to fail and once when it works again, however many trials fail between */
  constructor(clock: Clock, limits: BreakerLimits, changed: (failing: boolean) => void) {
    let failing = false;
    const rotation = new EventEmitter();
    this.#stopRotation = clock.every(bucketMs, () => rotation.emit('rotate'));
    this.#circuit = new CircuitBreaker(attempt, {
      // The request has its own time-out, which ends the request as well.
      timeout: false,
      volumeThreshold: limits.breakerRequests,
      errorThresholdPercentage: 50,
      resetTimeout: limits.breakerOpenMs,
      rollingCountBuckets: windowBuckets,
      rotateBucketController: rotation,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    });
    this.#circuit.on('open', () => {
      if (!failing) changed(true);
      failing = true;
    });
    this.#circuit.on('close', () => {
      failing = false;
      changed(false);
    });
  }

  /** Nothing may be sent now. */
  get open(): boolean {
    return this.#circuit.opened;
  }

  /** False also while one request finds out whether the target is back. */
  get closed(): boolean {
    return this.#circuit.closed;
  }

  /** Must not be called while open. */
  async send(send: Attempt): Promise<PostOutcome> {
    try {
      return await this.#circuit.fire(send);
    } catch (error) {
      if (error instanceof AttemptFailed) return error.outcome;
      throw error;
    }
  }

  /** Calls once when the next trial may be made. Returns the way to stop waiting. */
  whenTrialDue(call: () => void): () => void {
    this.#circuit.once('halfOpen', call);
    return () => void this.#circuit.off('halfOpen', call);
  }

  shutdown(): void {
    this.#stopRotation();
    this.#circuit.shutdown();
  }
}

async function attempt(send: Attempt): Promise<PostOutcome> {
  const outcome = await send();
  if (outcome.kind === 'failed') throw new AttemptFailed(outcome);
  return outcome;
}
