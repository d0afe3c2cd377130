/** The authorizers of all channel rules: rules that name the same one in the same way share its breaker, its queue and its answers. */
import type { AuthorizerConfig, ChannelRule } from '../../contracts/warren-config.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Log } from '../../runtime/log.ts';
import type { Labels, Metrics } from '../../runtime/metrics.ts';
import { QuietLog } from '../../runtime/quiet-log.ts';
import { Authorizer, type BreakerLimits, type Decision, type Question } from './authorizer.ts';

export interface AuthorizersContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: Metrics;
  readonly breaker?: BreakerLimits;
}

interface Entry {
  readonly app: string;
  readonly authorizer: Authorizer;
}

export class Authorizers {
  readonly #context: AuthorizersContext;
  readonly #log: QuietLog;
  readonly #entries = new Map<string, Entry>();
  readonly #counted: (labels: Labels) => void;

  constructor(rules: readonly ChannelRule[], context: AuthorizersContext) {
    this.#context = context;
    this.#log = new QuietLog(context.log, context.clock);
    const requests = context.metrics?.counter(
      'warren_authorizer_questions_total',
      'Questions to authorizers by app and outcome: allowed, refused, cached; malformed (refused too); busy, open, timeout, connection, status (answered 503).',
    );
    this.#counted = (labels) => requests?.add(1, labels);
    context.metrics?.gauge(
      'warren_authorizer_breakers_open',
      'Authorizers that get no questions, or only trials, because most of the last ones failed, by app.',
      () => this.#breakersOpen(),
    );
    this.replace(rules);
  }

  /** Takes the place of the rules so far: authorizers that stay keep their breaker, and nothing that was answered is kept. */
  replace(rules: readonly ChannelRule[]): void {
    const next = new Map<string, Entry>();
    for (const { app, authorizer: config } of rules) {
      if (config === undefined) continue;
      const key = keyOf(app, config);
      const entry = next.get(key) ?? this.#entries.get(key) ?? this.#open(app, config);
      next.set(key, entry);
    }
    for (const [key, { authorizer }] of this.#entries) {
      if (next.has(key)) authorizer.forget();
      else authorizer.stop();
    }
    this.#entries.clear();
    for (const [key, entry] of next) this.#entries.set(key, entry);
  }

  /** Never rejects. One that no rule names any more refuses. */
  async ask(config: AuthorizerConfig, question: Question): Promise<Decision> {
    const entry = this.#entries.get(keyOf(question.app.id, config));
    return entry === undefined ? { kind: 'refused' } : await entry.authorizer.ask(question);
  }

  stop(): void {
    this.replace([]);
  }

  #open(app: string, config: AuthorizerConfig): Entry {
    const { clock, breaker } = this.#context;
    return {
      app,
      authorizer: new Authorizer(config, {
        clock,
        log: this.#log,
        counted: (outcome) => this.#counted({ app, outcome }),
        ...(breaker === undefined ? {} : { breaker }),
      }),
    };
  }

  #breakersOpen(): readonly (readonly [number, Labels])[] {
    const open = new Map<string, number>();
    for (const { app, authorizer } of this.#entries.values()) {
      open.set(app, (open.get(app) ?? 0) + (authorizer.breakerClosed ? 0 : 1));
    }
    return [...open].map(([app, count]) => [count, { app }] as const);
  }
}

function keyOf(app: string, config: AuthorizerConfig): string {
  const { url, timeoutMs, concurrency, cacheSeconds, refusalCacheSeconds } = config;
  return JSON.stringify([app, url, timeoutMs, concurrency, cacheSeconds, refusalCacheSeconds]);
}
