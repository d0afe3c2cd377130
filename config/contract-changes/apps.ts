/** Apps and `auth` of two files compared. Secrets are not: they belong to a deployment, and a test may not have them. */
import type { AppLimits } from '../../contracts/pusher/limits.ts';
import type { AppConfig, AuthConfig, WebhookConfig } from '../../contracts/warren-config.ts';
import type { Change, Report } from './change.ts';

export function compareApps(
  before: readonly AppConfig[],
  after: readonly AppConfig[],
  report: Report,
): void {
  const next = new Map(after.map((app) => [app.id, app]));
  for (const old of before) {
    const now = next.get(old.id);
    if (now !== undefined) compareApp(old, now, report);
    else {
      const text = 'the app is gone: nobody can connect to it or publish to it any more';
      report({
        verdict: 'breaking',
        party: 'listeners',
        subject: `app ${old.id} in the old file`,
        text,
      });
    }
  }
  const known = new Set(before.map(({ id }) => id));
  for (const { id } of after) {
    if (known.has(id)) continue;
    report({ verdict: 'fine', party: 'listeners', subject: `app ${id}`, text: 'is a new app' });
  }
}

function compareApp(old: AppConfig, now: AppConfig, report: Report): void {
  const subject = `app ${now.id}`;
  const tell = (
    verdict: Change['verdict'],
    text: string,
    was?: unknown,
    is?: unknown,
    party: Change['party'] = 'listeners',
  ) =>
    report({
      verdict,
      party,
      subject,
      text,
      ...(was === undefined ? {} : { was: String(was) }),
      ...(is === undefined ? {} : { is: String(is) }),
    });
  if (old.key !== now.key) {
    tell(
      'breaking',
      'the key is another one: who connects with the old one is refused',
      old.key,
      now.key,
    );
  }
  if (old.enabled && !now.enabled) tell('breaking', 'the app is disabled');
  if (!old.enabled && now.enabled) tell('fine', 'the app is enabled again');
  for (const [name, what] of [
    ['clientEvents', 'client events'],
    ['subscriptionCount', 'subscription counts'],
  ] as const) {
    if (old[name] && !now[name]) tell('breaking', `${what} are turned off`);
    if (!old[name] && now[name]) tell('fine', `${what} are turned on`);
  }
  const lost = now.allowedOrigins.includes('*')
    ? []
    : old.allowedOrigins.filter((origin) => !now.allowedOrigins.includes(origin));
  if (lost.length > 0) {
    const gone = lost.includes('*') ? 'all other sites' : lost.join(', ');
    tell(
      'breaking',
      `pages of ${gone} may no longer connect`,
      old.allowedOrigins.join(', '),
      now.allowedOrigins.join(', '),
    );
  }
  const [deadline, deadlineNow] = [old.authorizationTimeoutMs, now.authorizationTimeoutMs];
  if (deadlineNow !== deadline && deadlineNow !== 0) {
    const sooner = deadline === 0 || deadlineNow < deadline;
    const text = `sockets that never authenticate are closed ${sooner ? 'sooner' : 'later'}`;
    tell(
      sooner ? 'check' : 'fine',
      text,
      deadline === 0 ? 'never' : `${deadline} ms`,
      `${deadlineNow} ms`,
    );
  }
  for (const name of Object.keys(old.limits) as (keyof AppLimits)[]) {
    const [was, is] = [old.limits[name], now.limits[name]];
    if (was === is) continue;
    // 0 is "none" for some limits and "no limit" for others.
    const verdict = is > was && was !== 0 ? 'fine' : 'check';
    tell(
      verdict,
      `limits.${name} is another one`,
      was,
      is,
      publishing.has(name) ? 'publishers' : 'listeners',
    );
  }
  compareWebhooks(old.webhooks, now.webhooks, tell);
}

const publishing: ReadonlySet<keyof AppLimits> = new Set([
  'eventNameLength',
  'eventPayloadBytes',
  'channelsPerEvent',
  'eventsPerBatch',
  'apiEventsPerSecond',
]);

function compareWebhooks(
  before: readonly WebhookConfig[],
  after: readonly WebhookConfig[],
  tell: (verdict: Change['verdict'], text: string) => void,
): void {
  for (const old of before) {
    const now = after.find(({ url }) => url === old.url);
    if (now === undefined) {
      tell('breaking', `the webhook ${shortUrl(old.url)} is gone`);
      continue;
    }
    const lost = old.events.filter((event) => !now.events.includes(event));
    if (lost.length > 0)
      tell('breaking', `the webhook ${shortUrl(old.url)} no longer reports ${lost.join(', ')}`);
    if (old.batch !== now.batch) {
      tell(
        now.batch ? 'check' : 'fine',
        `the webhook ${shortUrl(old.url)} gets ${now.batch ? 'several events' : 'one event'} in a request`,
      );
    }
  }
  for (const { url } of after) {
    if (!before.some((old) => old.url === url)) tell('fine', `the webhook ${shortUrl(url)} is new`);
  }
}

export function compareAuth(
  before: AuthConfig | undefined,
  after: AuthConfig | undefined,
  report: Report,
): void {
  if (before === undefined) return;
  const tell = (verdict: Change['verdict'], text: string, was: string, is: string) =>
    report({ verdict, party: 'listeners', subject: 'auth.jwt', text, was, is });
  if (after === undefined) {
    tell(
      'breaking',
      'tokens are no longer accepted: /broadcasting/auth refuses everybody',
      'set',
      '(absent)',
    );
    return;
  }
  for (const name of ['issuer', 'audience'] as const) {
    const [was, is] = [before.jwt[name], after.jwt[name]];
    if (was === is) continue;
    const text =
      is === undefined
        ? `the ${name} of tokens is no longer checked`
        : `tokens of another ${name} are refused`;
    tell(is === undefined ? 'fine' : 'breaking', text, was ?? '(any)', is ?? '(any)');
  }
  const [was, is] = [before.jwt.userClaim, after.jwt.userClaim];
  if (was !== is) tell('breaking', 'the user id is taken from another claim', was, is);
}

/** A query may hold a token. */
function shortUrl(url: string): string {
  return url.split('?', 1)[0] ?? '';
}
