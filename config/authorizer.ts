/** The part under `channels[].authorizer`: whom to ask, and how. */
import type { AuthorizerConfig } from '../contracts/warren-config.ts';
import { isPrivateHost } from './private-host.ts';
import type { Path, Problem } from './problems.ts';
import type { Source } from './source.ts';

/** A URL alone, or a map with it. */
export type RawAuthorizer = string | (Pick<AuthorizerConfig, 'url'> & Partial<AuthorizerConfig>);

const defaults = { timeoutMs: 3_000, concurrency: 20, cacheSeconds: 0, refusalCacheSeconds: 0 };

/** @param path of the authorizer */
export function readAuthorizer(
  source: Source,
  path: Path,
  raw: RawAuthorizer,
): { readonly authorizer: AuthorizerConfig } | { readonly problem: Problem } {
  const given = typeof raw === 'string' ? { url: raw } : raw;
  const mistake = urlMistake(given.url);
  if (mistake !== undefined) {
    const [message, cure] = mistake;
    const at = typeof raw === 'string' ? path : [...path, 'url'];
    return { problem: source.problem(at, message, { cure }) };
  }
  return { authorizer: { ...defaults, ...given, url: new URL(given.url).href } };
}

/** Never repeats the URL: its path or query may be what protects the service. */
function urlMistake(text: string): readonly [message: string, cure: string] | undefined {
  if (!/^https?:\/\/[^/]/i.test(text) || /\s/.test(text) || !URL.canParse(text)) {
    return ['is not an http or https URL', 'write it in full, as http://127.0.0.1:9001/authorize'];
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return [
      'holds credentials, which are not sent',
      'remove what stands before the @: the service checks X-Pusher-Signature instead',
    ];
  }
  if (text.includes('#'))
    return ['holds a fragment, which is never sent', 'remove the # and after'];
  if (url.protocol === 'http:' && !isPrivateHost(url.hostname)) {
    return [
      'is http to a public host, so whoever sits in between could let anybody in',
      'use https; http is for this machine, private addresses and names such as auth or auth.internal',
    ];
  }
  return undefined;
}
