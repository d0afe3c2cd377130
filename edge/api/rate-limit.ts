/** The rates of an app, as HTTP says them: `X-RateLimit-Limit` and `-Remaining` on every call that has a limit, 429 beyond it. */
import type { Response } from 'express';
import type { AppId } from '../../contracts/ids.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Cluster } from '../cluster/port.ts';
import { CallRate, type RateVerdict, shareOf } from './call-rate.ts';
import { HttpError } from './http-error.ts';

/** What is published over the HTTP API of this edge, held to the limit that all edges share. */
export class ApiEvents {
  readonly #rate: CallRate;

  constructor(clock: Clock) {
    this.#rate = new CallRate(clock);
  }

  /**
   * Counts events that are about to be published. An event to many channels is one.
   *
   * @throws HttpError `rate_limited`; then nothing is counted
   */
  admit(
    response: Response,
    cluster: Pick<Cluster, 'edges' | 'othersLoad'>,
    { id, limits }: AppConfig,
    events: number,
  ): void {
    const limit = limits.apiEventsPerSecond;
    if (limit === 0) {
      // The others may want to know, though nobody is held back.
      this.#rate.take(id, events, Number.POSITIVE_INFINITY);
      return;
    }
    const share = shareOf(limit, cluster.othersLoad(id).apiEvents, cluster.edges().length);
    tell(
      response,
      limit,
      this.#rate.take(id, events, share),
      `The app may publish ${limit} events per second over the HTTP API. Nothing was published.`,
    );
  }

  /** Events of the app in the last whole second: what the other edges are told. */
  lastSecond(app: AppId): number {
    return this.#rate.lastSecond(app);
  }
}

/** Questions to the cluster that come in over the HTTP API of this edge. */
export class ApiReads {
  readonly #rate: CallRate;

  constructor(clock: Clock) {
    this.#rate = new CallRate(clock);
  }

  /** @throws HttpError `rate_limited`; then nothing is counted */
  admit(response: Response, { id, limits }: AppConfig): void {
    const limit = limits.apiReadsPerSecond;
    if (limit === 0) return;
    tell(
      response,
      limit,
      this.#rate.take(id, 1, limit),
      `The app may ask ${limit} times per second over the HTTP API.`,
    );
  }
}

function tell(response: Response, limit: number, verdict: RateVerdict, refusal: string): void {
  response.setHeader('X-RateLimit-Limit', String(limit));
  response.setHeader('X-RateLimit-Remaining', String(verdict.allowed ? verdict.remaining : 0));
  if (!verdict.allowed) throw new HttpError('rate_limited', refusal, verdict.retryAfterSeconds);
}
