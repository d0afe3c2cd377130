/** The typed answer to a request that is refused: `{"error": text, "code": code}`. */
import { BrokerError } from '../../broker/errors.ts';
import { type HttpCode, httpCodes } from '../../contracts/errors.ts';

export class HttpError extends Error {
  readonly code: HttpCode;

  /** @param message for the caller; the default is the catalogue's */
  constructor(code: HttpCode, message: string = httpCodes[code].text) {
    super(message);
    this.name = 'HttpError';
    this.code = code;
  }

  get status(): number {
    return httpCodes[this.code].status;
  }
}

/** What express, body-parser or our own code threw, as an answer. Nothing of an unknown error gets out. */
export function httpErrorOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof BrokerError) return new HttpError('broker_unavailable');
  const status = statusOf(error);
  if (status === 413) return new HttpError('too_large');
  if (status !== undefined && status >= 400 && status < 500) return new HttpError('bad_request');
  return new HttpError('internal_error');
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('status' in error)) return undefined;
  return typeof error.status === 'number' ? error.status : undefined;
}
