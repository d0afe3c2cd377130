/** The part under `apps[].webhooks`: which HTTP targets hear what. */
import { webhookEventNames } from '../contracts/pusher/webhook.ts';
import type { WebhookConfig } from '../contracts/warren-config.ts';
import type { Path, Problem } from './problems.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

export interface RawWebhook {
  readonly url: string;
  readonly events?: WebhookConfig['events'];
  readonly batch?: boolean;
}

/** @param path of the app */
export function readWebhooks(
  source: Source,
  shape: ShapeCheck,
  path: Path,
  raw: readonly RawWebhook[],
): { readonly webhooks: readonly WebhookConfig[]; readonly problems: readonly Problem[] } {
  const webhooks: WebhookConfig[] = [];
  const problems: Problem[] = [];
  const firstWith = new Map<string, number>();
  for (const [index, webhook] of raw.entries()) {
    const at = [...path, 'webhooks', index];
    if (!shape.typed(at) || webhook.url === undefined) continue;
    const problem = urlProblem(webhook.url);
    if (problem !== undefined) {
      const [message, cure] = problem;
      problems.push(source.problem([...at, 'url'], message, { cure }));
      continue;
    }
    const { href } = new URL(webhook.url);
    const first = firstWith.get(href);
    if (first !== undefined) {
      problems.push(
        source.problem([...at, 'url'], `is the url of webhooks[${first}] already`, {
          cure: 'keep one of them, and list there all events that it hears',
        }),
      );
      continue;
    }
    firstWith.set(href, index);
    webhooks.push({
      url: href,
      events: webhook.events ?? webhookEventNames,
      batch: webhook.batch ?? false,
    });
  }
  return { webhooks, problems };
}

/** Never repeats the URL: its path or query may be what protects the target. */
function urlProblem(url: string): readonly [message: string, cure: string] | undefined {
  const example = 'write it in full, as https://example.com/hooks';
  if (/\s/.test(url)) return ['holds a space', 'write a space within the path as %20'];
  if (!/^https?:\/\/[^/]/i.test(url)) {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1];
    return scheme === undefined || /^https?$/i.test(scheme)
      ? ['is not a URL', example]
      : [`has the scheme ${scheme.slice(0, 20)}:, and only http and https are spoken`, example];
  }
  if (!URL.canParse(url)) return ['is not a URL', example];
  const { username, password } = new URL(url);
  if (username !== '' || password !== '') {
    return [
      'holds credentials, which are not sent',
      'remove what stands before the @: the target checks X-Pusher-Signature instead',
    ];
  }
  if (url.includes('#')) return ['holds a fragment, which is never sent', 'remove the # and after'];
  return undefined;
}
