/** What can go wrong between Warren and its broker. */

interface BrokerErrorMeaning {
  readonly text: string;
  /** True where the same call may succeed later. */
  readonly retryable: boolean;
}

/** Each code, what it means and whether trying again can help; docs/errors.md is printed from it. */
export const brokerErrors = {
  broker_unavailable: {
    text: 'No connection, or it broke before the broker confirmed. Nothing is known about the message: publish again.',
    retryable: true,
  },
  broker_refused: {
    text: 'The broker took the message and refused it (negative confirm).',
    retryable: true,
  },
  broker_timeout: { text: 'The broker has not answered within the deadline.', retryable: true },
  broker_busy: { text: 'Too many unconfirmed publications are under way.', retryable: true },
  broker_forbidden: {
    text: 'Permissions forbid it. Trying again changes nothing.',
    retryable: false,
  },
  broker_topology: {
    text: 'The name is taken by something with other properties, or what is needed does not exist.',
    retryable: false,
  },
  closed: { text: 'The handle was closed by its owner.', retryable: false },
} as const satisfies Record<string, BrokerErrorMeaning>;

export type BrokerErrorCode = keyof typeof brokerErrors;

export class BrokerError extends Error {
  readonly code: BrokerErrorCode;
  /** True where the same call may succeed later. */
  readonly retryable: boolean;

  constructor(code: BrokerErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BrokerError';
    this.code = code;
    this.retryable = brokerErrors[code].retryable;
  }
}
