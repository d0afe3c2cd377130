/** What can go wrong between Warren and its broker. */

export type BrokerErrorCode =
  /** No connection, or it broke before the broker confirmed. Nothing is known about the message: publish again. */
  | 'broker_unavailable'
  /** The broker took the message and refused it (negative confirm). */
  | 'broker_refused'
  /** The broker has not answered within the deadline. */
  | 'broker_timeout'
  /** Too many unconfirmed publications are under way. */
  | 'broker_busy'
  /** Permissions forbid it; trying again changes nothing. */
  | 'broker_forbidden'
  /** The name is taken by something with other properties, or what is needed does not exist. */
  | 'broker_topology'
  /** The handle was closed by its owner. */
  | 'closed';

export class BrokerError extends Error {
  readonly code: BrokerErrorCode;
  /** True where the same call may succeed later. */
  readonly retryable: boolean;

  constructor(code: BrokerErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BrokerError';
    this.code = code;
    this.retryable = code !== 'broker_forbidden' && code !== 'broker_topology' && code !== 'closed';
  }
}
