/** Promises that wait for one condition: a connection that is up, a queue that is held. */
import { BrokerError } from '../errors.ts';

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: BrokerError) => void;
}

export class Waiters {
  #waiting = new Set<Waiter>();

  /** Resolves at the next `release`; rejects at the next `fail`, or with `closed` when `signal` aborts. */
  wait(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting.delete(waiter);
        signal?.removeEventListener('abort', aborted);
      };
      const aborted = () => {
        leave();
        reject(closedError());
      };
      const waiter: Waiter = {
        resolve: () => {
          leave();
          resolve();
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      if (signal?.aborted === true) {
        reject(closedError());
        return;
      }
      signal?.addEventListener('abort', aborted, { once: true });
      this.#waiting.add(waiter);
    });
  }

  release(): void {
    for (const waiter of [...this.#waiting]) waiter.resolve();
  }

  fail(error: BrokerError): void {
    for (const waiter of [...this.#waiting]) waiter.reject(error);
  }
}

export function closedError(): BrokerError {
  return new BrokerError('closed', 'the handle was closed by its owner');
}
