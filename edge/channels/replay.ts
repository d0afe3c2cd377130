/** What a new subscriber of a cache channel is shown: the last event, or that there is none. */
import { cacheMiss } from '../../contracts/pusher/frames.ts';
import type { WebhookEvent } from '../../contracts/pusher/webhook.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';
import type { Subscription } from '../delivery/subscription.ts';
import { textFrame } from '../socket/websocket-frame.ts';
import type { LastEvents } from './last-events.ts';
import type { Session } from './session.ts';

export class Replay {
  readonly #lastEvents: LastEvents;
  readonly #emit: (app: AppConfig, event: WebhookEvent) => void;

  constructor(lastEvents: LastEvents, emit: (app: AppConfig, event: WebhookEvent) => void) {
    this.#lastEvents = lastEvents;
    this.#emit = emit;
  }

  /** Resolves when what was published before the call is known; rejects with a retryable `BrokerError`. */
  ready(): Promise<void> {
    return this.#lastEvents.caughtUp();
  }

  /** To be called between the success and the first event that comes live. */
  send(session: Session, subscription: Subscription): void {
    const { name } = subscription.channel;
    const { config } = session.app;
    // Something newer follows at once: the last event before it is past.
    if (subscription.held.length > 0) return;
    const last = this.#lastEvents.get(config.id, name, config.limits.cacheSeconds);
    if (last === undefined) {
      session.connection.send(cacheMiss(name));
      this.#emit(config, { name: 'cache_miss', channel: name });
      return;
    }
    subscription.covered = last.covers;
    session.connection.sendFrame(textFrame(last.body));
  }
}
