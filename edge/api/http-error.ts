/** The typed answer to a request that is refused: `{"error": text, "code": code}`. */
import type { RequestHandler } from 'express';
import { BrokerError } from '../../broker/errors.ts';
import { type HttpCode, httpCodes } from '../../contracts/errors.ts';
import { ClusterIncomplete } from '../cluster/port.ts';

export class HttpError extends Error {
  readonly code: HttpCode;
  readonly #retryAfterSeconds: number | undefined;

  /**
   * @param message for the caller; the default is the catalogue's
   * @param retryAfterSeconds when the same call may succeed, where that is known; a whole number from 1
   */
  constructor(
    code: HttpCode,
    message: string = httpCodes[code].text,
    retryAfterSeconds: number | undefined = undefined,
  ) {
    super(message);
    this.name = 'HttpError';
    this.code = code;
    this.#retryAfterSeconds = retryAfterSeconds;
  }

  get status(): number {
    return httpCodes[this.code].status;
  }

  /** Of the header `Retry-After`. What answers 503 passes, and asking costs little. */
  get retryAfterSeconds(): number | undefined {
    return this.#retryAfterSeconds ?? (this.status === 503 ? 1 : undefined);
  }
}

/** What express, body-parser or our own code threw, as an answer. Nothing of an unknown error gets out. */
export function httpErrorOf(error: unknown): HttpError {
  if (error instanceof HttpError) return error;
  if (error instanceof BrokerError) return new HttpError('broker_unavailable');
  if (error instanceof ClusterIncomplete) return incomplete(error.silent.length);
  const status = statusOf(error);
  if (status === 413) return new HttpError('too_large');
  if (status !== undefined && status >= 400 && status < 500) return new HttpError('bad_request');
  return new HttpError('internal_error');
}

/** Ends the handlers of a path: whatever method gets here is none of those. @param allowed as the header `Allow` lists them */
export function refuseOtherMethods(allowed: string): RequestHandler {
  return (_request, response) => {
    response.setHeader('Allow', allowed);
    throw new HttpError('method_not_allowed', `This path is for ${allowed}.`);
  };
}

/** None is silent where the broker is away: then nobody could be asked. */
function incomplete(silent: number): HttpError {
  const { text } = httpCodes.cluster_incomplete;
  const edges = silent === 1 ? '1 edge was silent' : `${silent} edges were silent`;
  return new HttpError('cluster_incomplete', silent === 0 ? text : `${text} (${edges})`);
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('status' in error)) return undefined;
  return typeof error.status === 'number' ? error.status : undefined;
}
