/**
 * The issuer's JSON Web Key Set: fetched in the background, kept through an outage of its host, and fetched at once where a token names
 * a key that is not in it. However many such tokens come, the host is asked once in a cool-down.
 */
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { type CryptoKey, createLocalJWKSet, errors, type JSONWebKeySet } from 'jose';
import { maxJsonDepth, nestsDeeperThan } from '../../contracts/json-guard.ts';
import { type Clock, delay } from '../../runtime/clock.ts';
import type { QuietLog } from '../../runtime/quiet-log.ts';
import { exchange } from '../exchange.ts';

/** The protected header of a token, as far as a key is looked up by it. */
export interface KeyHeader {
  readonly alg: string;
  readonly kid?: string;
}

interface FoundKey {
  readonly kind: 'key';
  readonly key: CryptoKey;
}

export type KeyLookup =
  | FoundKey
  /** The set, as it is now, has no such key, or several that the token does not tell apart. */
  | { readonly kind: 'none' }
  /** Whether there is such a key cannot be known now. */
  | { readonly kind: 'unavailable'; readonly retryAfterSeconds: number };

export interface KeySetTimings {
  /** Between two fetches in the background: a key that was taken out of the set is refused after this. */
  readonly refreshMs: number;
  /** Between two fetches, whatever asks for them. */
  readonly coolDownMs: number;
  readonly timeoutMs: number;
  /** Without a successful fetch for so long, the keys are not believed any more. */
  readonly maxAgeMs: number;
}

const defaultKeySetTimings: KeySetTimings = {
  refreshMs: 300_000,
  coolDownMs: 5_000,
  timeoutMs: 5_000,
  maxAgeMs: 3_600_000,
};

/** Of the document: some hundred keys with certificates. */
const maxBytes = 262_144;
const maxKeys = 200;
/** Requests that wait for the next fetch. */
const maxWaiting = 256;

export interface KeySetOptions {
  readonly url: string;
  readonly clock: Clock;
  readonly log: QuietLog;
  readonly timings?: Partial<KeySetTimings>;
  /** Called after each fetch. */
  readonly fetched: (outcome: 'ok' | 'failed') => void;
}

export class KeySet {
  readonly #options: KeySetOptions;
  readonly #timings: KeySetTimings;
  readonly #url: URL;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #stopping = new AbortController();
  #stopRefresh: () => void = () => undefined;
  #find: ReturnType<typeof createLocalJWKSet> | undefined;
  /** When the fetch of the set began; monotonic. */
  #asOfMs = 0;
  /** The last fetch did. */
  #failed = false;
  #triedAtMs = Number.NEGATIVE_INFINITY;
  /** The next fetch, the wait for its turn included. */
  #next: Promise<void> | undefined;
  #waiting = 0;

  constructor(options: KeySetOptions) {
    this.#options = options;
    this.#timings = { ...defaultKeySetTimings, ...options.timings };
    this.#url = new URL(options.url);
    this.#agent = this.#url.protocol === 'https:' ? new HttpsAgent() : new HttpAgent();
  }

  /** Fetches now, so that the first token need not wait, and from now on in the background. */
  start(): void {
    this.#stopRefresh = this.#options.clock.every(this.#timings.refreshMs, () => {
      void this.#refresh();
    });
    void this.#refresh();
  }

  stop(): void {
    this.#stopRefresh();
    this.#stopping.abort();
    this.#agent.destroy();
  }

  /** Seconds since the keys were fetched; undefined where there are none that are believed. */
  get ageSeconds(): number | undefined {
    if (!this.#usable) return undefined;
    return (this.#options.clock.monotonicMs() - this.#asOfMs) / 1_000;
  }

  /** Waits for two cool-downs and fetches at most. */
  async find(header: KeyHeader): Promise<KeyLookup> {
    const askedAtMs = this.#options.clock.monotonicMs();
    const known = await this.#lookUp(header);
    if (known === 'several') return { kind: 'none' };
    if (typeof known === 'object') return known;
    if (this.#waiting >= maxWaiting) return this.#unavailable();
    this.#waiting += 1;
    try {
      return await this.#findAnew(header, askedAtMs);
    } finally {
      this.#waiting -= 1;
    }
  }

  async #findAnew(header: KeyHeader, askedAtMs: number): Promise<KeyLookup> {
    // A fetch that was under way when the token came may bring the set from before the key was added.
    for (let fetches = 0; fetches < 2; fetches += 1) {
      await this.#refresh();
      const found = await this.#lookUp(header);
      if (typeof found === 'object') return found;
      if (found !== undefined && this.#asOfMs >= askedAtMs) return { kind: 'none' };
      if (this.#failed) break;
    }
    return this.#unavailable();
  }

  get #usable(): boolean {
    const ageMs = this.#options.clock.monotonicMs() - this.#asOfMs;
    return this.#find !== undefined && ageMs < this.#timings.maxAgeMs;
  }

  #unavailable(): KeyLookup {
    return {
      kind: 'unavailable',
      retryAfterSeconds: Math.max(1, Math.ceil(this.#timings.coolDownMs / 1_000)),
    };
  }

  /** `several`: the token does not tell them apart. Undefined without keys that are believed. */
  async #lookUp({ alg, kid }: KeyHeader): Promise<FoundKey | 'unknown' | 'several' | undefined> {
    if (!this.#usable || this.#find === undefined) return undefined;
    try {
      const key = await this.#find({ alg, ...(kid === undefined ? {} : { kid }) });
      return { kind: 'key', key };
    } catch (error) {
      return error instanceof errors.JWKSMultipleMatchingKeys ? 'several' : 'unknown';
    }
  }

  /** Everybody who asks while a fetch is due or under way shares it. */
  #refresh(): Promise<void> {
    this.#next ??= this.#fetchInTurn().finally(() => {
      this.#next = undefined;
    });
    return this.#next;
  }

  async #fetchInTurn(): Promise<void> {
    const { clock, log, fetched } = this.#options;
    const waitMs = this.#triedAtMs + this.#timings.coolDownMs - clock.monotonicMs();
    if (waitMs > 0) await delay(clock, waitMs, this.#stopping.signal);
    if (this.#stopping.signal.aborted) return;
    const beganAtMs = clock.monotonicMs();
    const result = await this.#fetch();
    this.#triedAtMs = clock.monotonicMs();
    if (this.#stopping.signal.aborted) return;
    this.#failed = typeof result === 'string';
    if (typeof result === 'string') {
      fetched('failed');
      log.warn('key-set', { why: result, host: this.#url.host }, 'cannot fetch the key set');
      return;
    }
    this.#find = result;
    this.#asOfMs = beganAtMs;
    fetched('ok');
  }

  /** A text says why there is none. */
  async #fetch(): Promise<ReturnType<typeof createLocalJWKSet> | string> {
    const answer = await exchange({
      url: this.#url,
      method: 'GET',
      headers: { Accept: 'application/jwk-set+json, application/json', 'User-Agent': 'Warren' },
      agent: this.#agent,
      clock: this.#options.clock,
      timeoutMs: this.#timings.timeoutMs,
      maxAnswerBytes: maxBytes,
    });
    switch (answer.kind) {
      case 'timeout':
        return `no answer within ${this.#timings.timeoutMs} ms`;
      case 'connection':
        return `connection failed: ${answer.code}`;
      case 'too_large':
        return `the answer has more than ${maxBytes} bytes`;
    }
    if (answer.status !== 200) return `answered ${answer.status}, redirects are not followed`;
    if (nestsDeeperThan(answer.body, maxJsonDepth)) return 'the answer nests too deep';
    try {
      const set = JSON.parse(answer.body.toString('utf8')) as JSONWebKeySet;
      const find = createLocalJWKSet(set);
      return set.keys.length > maxKeys ? `the set has more than ${maxKeys} keys` : find;
    } catch {
      return 'the answer is not a JSON Web Key Set';
    }
  }
}
