/** Finds the key that a token must have been signed with. Nothing that a token says leads anywhere but to a key that was configured. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { type CryptoKey, decodeProtectedHeader } from 'jose';
import type { JwtConfig } from '../../contracts/warren-config.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Metrics } from '../../runtime/metrics.ts';
import { QuietLog } from '../../runtime/quiet-log.ts';
import { KeySet, type KeySetTimings } from './key-set.ts';

export type TokenKey = Uint8Array | KeyObject | CryptoKey;

/** Why a token is refused: a fixed word for log and metrics, never for the client. */
export type TokenRefusal =
  | 'no_token'
  | 'malformed'
  | 'algorithm'
  | 'unknown_key'
  | 'signature'
  | 'expired'
  | 'not_yet_valid'
  | 'issuer'
  | 'audience'
  | 'claims'
  | 'keys_unavailable';

export class TokenRefused extends Error {
  readonly why: TokenRefusal;
  /** Where the same token may hold later. */
  readonly retryAfterSeconds: number | undefined;

  constructor(why: TokenRefusal, retryAfterSeconds?: number) {
    super(why);
    this.why = why;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export interface TokenKeysContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly keySetTimings?: Partial<KeySetTimings>;
}

export class TokenKeys {
  readonly jwt: JwtConfig;
  readonly #fixed: TokenKey | undefined;
  readonly #set: KeySet | undefined;
  readonly #log: QuietLog;
  readonly #refused: (why: TokenRefusal) => void;

  constructor(jwt: JwtConfig, { clock, log, metrics, keySetTimings }: TokenKeysContext) {
    this.jwt = jwt;
    this.#log = new QuietLog(log, clock);
    const refused = metrics?.counter(
      'warren_tokens_refused_total',
      'Tokens that authorization endpoints refused, by reason; keys_unavailable: answered 503, as the key set could not be fetched.',
    );
    this.#refused = (why) => refused?.add(1, { why });
    if ('secret' in jwt) this.#fixed = new TextEncoder().encode(jwt.secret);
    else if ('publicKey' in jwt) this.#fixed = createPublicKey(jwt.publicKey);
    else {
      const fetches = metrics?.counter(
        'warren_jwks_fetches_total',
        'Fetches of the key set, by outcome: ok, failed.',
      );
      const set = new KeySet({
        url: jwt.jwksUri,
        clock,
        log: this.#log,
        fetched: (outcome) => fetches?.add(1, { outcome }),
        ...(keySetTimings === undefined ? {} : { timings: keySetTimings }),
      });
      this.#set = set;
      metrics?.gauge(
        'warren_jwks_age_seconds',
        'How old the key set in use is; absent without one. Above 300 its host does not answer.',
        () => {
          const age = set.ageSeconds;
          return age === undefined ? [] : age;
        },
      );
    }
  }

  start(): void {
    this.#set?.start();
  }

  stop(): void {
    this.#set?.stop();
  }

  /** @throws TokenRefused */
  async find(token: string): Promise<TokenKey> {
    const { alg, kid } = headerOf(token);
    const algorithms: readonly unknown[] = this.jwt.algorithms;
    if (typeof alg !== 'string' || !algorithms.includes(alg)) throw new TokenRefused('algorithm');
    if (this.#fixed !== undefined) return this.#fixed;
    if (this.#set === undefined) throw new Error('there are no keys');
    if (kid !== undefined && typeof kid !== 'string') throw new TokenRefused('malformed');
    const found = await this.#set.find({ alg, ...(kid === undefined ? {} : { kid }) });
    switch (found.kind) {
      case 'key':
        return found.key;
      case 'none':
        throw new TokenRefused('unknown_key');
      case 'unavailable':
        throw new TokenRefused('keys_unavailable', found.retryAfterSeconds);
    }
  }

  /** Counts, and tells the operator. */
  refused(why: TokenRefusal): void {
    this.#refused(why);
    this.#log.warn(why, { why }, 'a bearer request was refused');
  }
}

function headerOf(token: string): { readonly alg?: unknown; readonly kid?: unknown } {
  try {
    return decodeProtectedHeader(token);
  } catch {
    throw new TokenRefused('malformed');
  }
}
