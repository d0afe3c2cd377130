/** The HTTP targets of an app's webhooks, each with the queue that its reports wait in. */
import { createHash } from 'node:crypto';
import type { WebhookEventName } from '../../contracts/pusher/webhook.ts';
import type { AppConfig } from '../../contracts/warren-config.ts';

export interface WebhookTarget {
  /** Names the queue: the same on every edge, another for each app and URL. */
  readonly id: string;
  readonly app: string;
  readonly url: string;
  /** Scheme, host and port, for logs: path and query may be what protects the target. */
  readonly origin: string;
  readonly events: ReadonlySet<WebhookEventName>;
  readonly batch: boolean;
}

/** An app's configuration never changes; a reload makes a new one. */
const known = new WeakMap<AppConfig, readonly WebhookTarget[]>();

/** Webhooks that share a URL are one target: an event that both name is reported once. */
export function targetsOf(app: AppConfig): readonly WebhookTarget[] {
  const found = known.get(app);
  if (found !== undefined) return found;
  const urls = new Set(app.webhooks.map((webhook) => webhook.url));
  const targets = [...urls].map((url) => {
    const webhooks = app.webhooks.filter((webhook) => webhook.url === url);
    return {
      id: targetId(app.id, url),
      app: app.id,
      url,
      origin: originOf(url),
      events: new Set(webhooks.flatMap((webhook) => webhook.events)),
      batch: webhooks.some((webhook) => webhook.batch),
    };
  });
  known.set(app, targets);
  return targets;
}

/** 43 characters of base64url. An app id holds no line feed, so no two pairs look alike. */
export function targetId(app: string, url: string): string {
  return createHash('sha256').update(`${app}\n${url}`, 'utf8').digest('base64url');
}

function originOf(url: string): string {
  if (!URL.canParse(url)) return 'not a URL';
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

/** Tells targets of one origin apart by their queue. */
export function logFields({ app, origin, id }: WebhookTarget): object {
  return { app, target: origin, queue: id };
}
