/**
 * One service that says who may subscribe, asked through a bulkhead and a circuit breaker. Without an answer nobody is let in: who
 * asks is told to come back. Subscriptions that exist are not asked about again.
 */
import { EventEmitter } from 'node:events';
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import CircuitBreaker from 'opossum';
import { signWebhook } from '../../contracts/pusher/signature.ts';
import type { AppConfig, AuthorizerConfig } from '../../contracts/warren-config.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { QuietLog } from '../../runtime/quiet-log.ts';
import { exchange } from '../exchange.ts';
import { type Answer, isOutage, maxAnswerBytes, type Outage, readAnswer } from './answer.ts';
import { AnswerCache, answerKey } from './answer-cache.ts';
import { Gate } from './gate.ts';

export interface Question {
  readonly app: Pick<AppConfig, 'id' | 'key' | 'secret'>;
  readonly channel: string;
  readonly socketId: string;
  /** Absent where the token names no user. */
  readonly userId?: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
}

export type Decision =
  | { readonly kind: 'allowed'; readonly userInfo?: Readonly<Record<string, unknown>> }
  | { readonly kind: 'refused' }
  /** Not known now. */
  | { readonly kind: 'unavailable'; readonly retryAfterSeconds: number };

/** What became of a question; `busy`: no turn in time, `open`: the breaker let nothing through. */
export type Outcome = Answer['kind'] | Outage['kind'] | 'busy' | 'open' | 'cached';

export interface BreakerLimits {
  /** Questions in the window before it may open; of them more than half must have failed. */
  readonly requests: number;
  readonly openMs: number;
}

const defaultBreakerLimits: BreakerLimits = { requests: 5, openMs: 5_000 };

export interface AuthorizerContext {
  readonly clock: Clock;
  readonly log: QuietLog;
  readonly counted: (outcome: Outcome) => void;
  readonly breaker?: BreakerLimits;
}

const windowBuckets = 10;
const bucketMs = 1_000;
const waitingPerRequest = 10;
const maxCachedAnswers = 10_000;

class NoAnswer extends Error {
  readonly outage: Outage;

  constructor(outage: Outage) {
    super(outage.kind);
    this.outage = outage;
  }
}

export class Authorizer {
  readonly #config: AuthorizerConfig;
  readonly #context: AuthorizerContext;
  readonly #url: URL;
  readonly #host: string;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #gate: Gate;
  readonly #circuit: CircuitBreaker<[Question, number], Answer>;
  readonly #limits: BreakerLimits;
  readonly #stopRotation: () => void;
  readonly #cache = new AnswerCache<Exclude<Decision, { kind: 'unavailable' }>>(maxCachedAnswers);
  /** Answers that were under way before a reload are not kept. */
  #generation = 0;
  #openUntilMs = 0;

  constructor(config: AuthorizerConfig, context: AuthorizerContext) {
    const { clock } = context;
    this.#config = config;
    this.#context = context;
    this.#limits = context.breaker ?? defaultBreakerLimits;
    this.#url = new URL(config.url);
    this.#host = this.#url.host;
    const agentOptions = { keepAlive: true, maxFreeSockets: config.concurrency };
    this.#agent =
      this.#url.protocol === 'https:' ? new HttpsAgent(agentOptions) : new HttpAgent(agentOptions);
    this.#gate = new Gate(clock, config.concurrency, config.concurrency * waitingPerRequest);
    const rotation = new EventEmitter();
    this.#stopRotation = clock.every(bucketMs, () => rotation.emit('rotate'));
    this.#circuit = new CircuitBreaker((question, leftMs) => this.#send(question, leftMs), {
      // The request has its own time-out, which ends the request as well.
      timeout: false,
      volumeThreshold: this.#limits.requests,
      errorThresholdPercentage: 50,
      resetTimeout: this.#limits.openMs,
      rollingCountBuckets: windowBuckets,
      rotateBucketController: rotation,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
    });
    this.#circuit.on('open', () => {
      this.#openUntilMs = clock.monotonicMs() + this.#limits.openMs;
    });
  }

  get breakerClosed(): boolean {
    return this.#circuit.closed;
  }

  /** Never rejects, and resolves within the time-out. */
  async ask(question: Question): Promise<Decision> {
    const { clock, counted } = this.#context;
    const { cacheSeconds, refusalCacheSeconds, timeoutMs } = this.#config;
    const startedAtMs = clock.monotonicMs();
    const generation = this.#generation;
    const isCached = cacheSeconds > 0 || refusalCacheSeconds > 0;
    const key = isCached ? keyOf(question) : '';
    const kept = isCached ? this.#cache.get(key, startedAtMs) : undefined;
    if (kept !== undefined) {
      counted('cached');
      return kept;
    }
    if (this.#circuit.opened) return this.#unavailable('open');
    if (!(await this.#gate.enter(timeoutMs))) return this.#unavailable('busy');
    try {
      const leftMs = timeoutMs - (clock.monotonicMs() - startedAtMs);
      if (leftMs <= 0) return this.#unavailable('busy');
      const decision = this.#decide(await this.#circuit.fire(question, leftMs));
      const seconds = decision.kind === 'allowed' ? cacheSeconds : refusalCacheSeconds;
      if (decision.keep && seconds > 0 && generation === this.#generation) {
        const { keep: _, ...plain } = decision;
        this.#cache.set(key, plain, clock.monotonicMs() + seconds * 1_000);
      }
      return decision;
    } catch (error) {
      if (!(error instanceof NoAnswer)) return this.#unavailable('open');
      const { kind, reason } = error.outage;
      this.#warn(kind, reason);
      return this.#unavailable(kind);
    } finally {
      this.#gate.leave();
    }
  }

  /** Rules have changed, and perhaps because of what it knows. */
  forget(): void {
    this.#generation += 1;
    this.#cache.clear();
  }

  stop(): void {
    this.#stopRotation();
    this.#circuit.shutdown();
    this.#agent.destroy();
  }

  #decide(answer: Answer): Exclude<Decision, { kind: 'unavailable' }> & { readonly keep: boolean } {
    this.#context.counted(answer.kind);
    if (answer.kind === 'malformed') {
      this.#warn(answer.kind, answer.reason);
      return { kind: 'refused', keep: false };
    }
    return { ...answer, keep: true };
  }

  #unavailable(outcome: Outcome): Decision {
    const { clock, counted } = this.#context;
    counted(outcome);
    if (outcome === 'busy') this.#warn(outcome, 'too many questions at a time');
    const openMs = this.#circuit.opened ? this.#openUntilMs - clock.monotonicMs() : 0;
    return {
      kind: 'unavailable',
      retryAfterSeconds: Math.max(1, Math.ceil(openMs / 1_000)),
    };
  }

  #warn(kind: Outcome, why: string): void {
    this.#context.log.warn(
      kind,
      { host: this.#host, why },
      'an authorizer does not answer as agreed',
    );
  }

  async #send(question: Question, timeoutMs: number): Promise<Answer> {
    const { app, channel, socketId, userId, claims } = question;
    const body = Buffer.from(
      JSON.stringify({ app: app.id, channel, socketId, userId: userId ?? null, claims }),
    );
    const exchanged = await exchange({
      url: this.#url,
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        Accept: 'application/json',
        'User-Agent': 'Warren',
        'X-Pusher-Key': app.key,
        'X-Pusher-Signature': signWebhook(app.secret, body),
      },
      body,
      agent: this.#agent,
      clock: this.#context.clock,
      timeoutMs,
      maxAnswerBytes,
    });
    const answer = readAnswer(exchanged);
    if (isOutage(answer)) throw new NoAnswer(answer);
    return answer;
  }
}

/** Everything that the answer may depend on, but for the socket. */
function keyOf({ app, channel, userId, claims }: Question): string {
  return answerKey([app.id, channel, userId ?? null, claims]);
}
