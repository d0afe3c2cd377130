/**
 * The consume loop: a domain event is taken, routed, published and, when the broker has confirmed all of it, done. Nothing here waits
 * between taking an event and handing its publications to the publisher, so publications leave in the order of the events.
 */
import type { BrokerError } from '../broker/errors.ts';
import type { ChannelPublisher, EdgeBus, Outcome } from '../broker/port.ts';
import { ruleName } from '../config/rule-name.ts';
import {
  type DomainEvent,
  decodeDomainEvent,
  type IncomingEvent,
} from '../contracts/domain-event.ts';
import { encodeEdgeMessage } from '../contracts/edge-message.ts';
import type { Refusal } from '../contracts/errors.ts';
import type { EdgeId } from '../contracts/ids.ts';
import { createPublication, createRevocation, type Publication } from '../contracts/publication.ts';
import { fail, ok, type Result } from '../contracts/result.ts';
import type { EventRule } from '../contracts/warren-config.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import type { Metrics } from '../runtime/metrics.ts';
import { createRepeats, repeatKey } from './repeats.ts';
import type { Action, Routes, RuleStep } from './rules.ts';

export interface EventHandlerParts {
  readonly publisher: ChannelPublisher;
  readonly edges: Pick<EdgeBus, 'announce'>;
  readonly routes: Routes;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** From publishing to the last confirm on a local broker is about a millisecond; seconds mean a broker in trouble. */
const secondsBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Makes the `handle` of `DomainEvents.consume`.
 *
 * Resolves `done` when the broker has confirmed all that the event brings about, also where that is nothing or where the event repeats
 * one that was published already (`repeats.ts`); `dead-letter` where the event is malformed or a rule refuses it, and then nothing of it
 * was done. Rejects with the publisher's error when a publication was not confirmed: the
 * event stays in the queue and comes again, with the same publication ids where it has an id.
 */
export function createEventHandler(
  parts: EventHandlerParts,
): (event: IncomingEvent) => Promise<Outcome> {
  const { publisher, edges, clock, log } = parts;
  const count = routerMetrics(parts.metrics);
  const conditionErrors = reportConditionErrors(log, count.conditionErrors);
  const repeats = createRepeats(clock);
  const carryOut = async (steps: readonly Step[]): Promise<Outcome> => {
    const startedMs = clock.monotonicMs();
    try {
      await Promise.all(
        steps.map(async (step) => {
          if (step.kind === 'disconnect') await edges.announce(routerId, step.body);
          else {
            const { routed } = await publisher.publish(step.publication);
            if (step.kind === 'publish') count.publications(routed);
            if (step.kind === 'publish' && !routed) count.unheard(ruleName(step.rule));
          }
          if (step.kind !== 'publish') count.revocations(step.kind);
        }),
      );
    } catch (error) {
      count.events('failed');
      log.warn({ code: codeOf(error) }, 'event not confirmed, it stays in the queue');
      throw error;
    }
    count.events('routed');
    count.seconds((clock.monotonicMs() - startedMs) / 1000);
    return done;
  };
  return async (raw) => {
    const event = guarded(log, () => decodeDomainEvent(raw));
    const key = event.ok ? repeatKey(event.value) : undefined;
    const seen = key !== undefined && repeats.seen(key);
    if (seen !== false) {
      // One that fails takes its repetitions along: they come again behind it.
      await seen;
      count.events('repeated');
      return done;
    }
    const prepared = event.ok
      ? guarded(log, () => prepare(event.value, parts.routes, conditionErrors))
      : event;
    if (!prepared.ok) {
      count.events('refused');
      count.refusals(prepared.error.code);
      return { kind: 'dead-letter', refusal: prepared.error };
    }
    const steps = prepared.value;
    if (steps.length === 0) {
      // Not remembered: a rule for it may come, and whoever publishes it then anew means it.
      count.events('unmatched');
      return done;
    }
    const carriedOut = carryOut(steps);
    return key === undefined ? carriedOut : repeats.follow(key, carriedOut);
  };
}

const done: Outcome = { kind: 'done' };

/** Sender of what routers say to edges. It is not an edge, and need not be told apart from other routers. */
const routerId = 'router' as EdgeId;

/** Made of an action before the first of them is done, so that none fails half way. */
type Step =
  | { readonly kind: 'publish'; readonly publication: Publication; readonly rule: EventRule }
  | { readonly kind: 'unsubscribe'; readonly publication: Publication }
  | { readonly kind: 'disconnect'; readonly body: Buffer };

function stepOf(action: Action): Step {
  switch (action.kind) {
    case 'publish':
      return {
        kind: action.kind,
        publication: createPublication(action.publication),
        rule: action.rule,
      };
    case 'unsubscribe':
      return { kind: action.kind, publication: createRevocation(action.revocation) };
    case 'disconnect': {
      const { kind, app, user } = action;
      return { kind, body: encodeEdgeMessage({ type: 'disconnect', app, user }) };
    }
  }
}

function prepare(
  event: DomainEvent,
  routes: Routes,
  observe: (step: RuleStep) => void,
): Result<readonly Step[], Refusal> {
  const routed = routes.route(event, observe);
  if (!routed.ok) return routed;
  return ok(routed.value.map(stepOf));
}

function guarded<T>(log: Log, work: () => Result<T, Refusal>): Result<T, Refusal> {
  try {
    return work();
  } catch (error) {
    // A bug must not stop the events behind this one; the event itself waits in the dead letters.
    log.error({ err: error }, 'routing failed, which is a bug');
    return fail({ code: 'internal_error', text: 'the router failed on this event' });
  }
}

function routerMetrics(metrics: Metrics) {
  const events = metrics.counter(
    'warren_router_events_total',
    'Domain events by outcome: routed, unmatched (no rule wanted it), repeated (published already under the same id), refused (dead-lettered), failed (not confirmed, will come again).',
  );
  const refusals = metrics.counter(
    'warren_router_refusals_total',
    'Dead-lettered events by reason; docs/errors.md says what each means.',
  );
  const publications = metrics.counter(
    'warren_router_publications_total',
    'Confirmed publications; routed="false" had no listener on any edge.',
  );
  const unheard = metrics.counter(
    'warren_router_unheard_total',
    'Confirmed publications that had no listener on any edge, by the rule of warren.yaml that made them.',
  );
  const revocations = metrics.counter(
    'warren_router_revocations_total',
    'Confirmed revocations by kind: unsubscribe (a user off a channel), disconnect (a user off all).',
  );
  const conditionErrors = metrics.counter(
    'warren_router_condition_errors_total',
    'Conditions (`when`) that failed, which counts as no; a field that events do not always have needs has().',
  );
  const seconds = metrics.histogram(
    'warren_router_event_seconds',
    'From taking an event to the confirm of its last publication.',
    secondsBoundaries,
  );
  const routed = { routed: 'true' };
  const unrouted = { routed: 'false' };
  const outcomes = {
    routed: { outcome: 'routed' },
    unmatched: { outcome: 'unmatched' },
    refused: { outcome: 'refused' },
    repeated: { outcome: 'repeated' },
    failed: { outcome: 'failed' },
  };
  return {
    events: (outcome: keyof typeof outcomes) => events.add(1, outcomes[outcome]),
    refusals: (code: string) => refusals.add(1, { code }),
    publications: (reached: boolean) => publications.add(1, reached ? routed : unrouted),
    revocations: (kind: 'unsubscribe' | 'disconnect') => revocations.add(1, { kind }),
    unheard: (rule: string) => unheard.add(1, { rule }),
    conditionErrors: (rule: string) => conditionErrors.add(1, { rule }),
    seconds: (value: number) => seconds.record(value),
  };
}

/** Counts every failed condition and tells the log once for each rule: at 10,000 events a second once is enough. */
function reportConditionErrors(log: Log, count: (rule: string) => void): (step: RuleStep) => void {
  // By the rule itself: after a reload another one may stand in its place.
  const told = new WeakSet<EventRule>();
  return (step) => {
    if (step.outcome !== 'condition-error') return;
    const rule = ruleName(step.rule);
    count(rule);
    if (told.has(step.rule)) return;
    told.add(step.rule);
    // The error's text may repeat a word of the payload; its code does not.
    log.warn({ rule, code: step.code }, 'a condition failed, which counts as no');
  };
}

function codeOf(error: unknown): string {
  const code = (error as Partial<BrokerError> | null)?.code;
  return typeof code === 'string' ? code : 'unknown';
}
