/** The signature of a call to Pusher's HTTP API: reads the query as it was sent and checks it against the app's keys. */
import {
  type QueryParameters,
  type SigningKey,
  verifyHttp,
} from '../../contracts/pusher/signature.ts';
import { fail, ok, type Result } from '../../contracts/result.ts';
import { HttpError } from './http-error.ts';

export interface RawRequest {
  readonly method: string;
  /** Path and query as they were sent. */
  readonly url: string;
  readonly body: Buffer;
}

/** @throws HttpError `bad_request` on an ambiguous query, `unauthorized` where the signature does not hold */
export function requireSignature(
  keys: readonly SigningKey[],
  request: RawRequest,
  nowSeconds: number,
): void {
  const queryAt = request.url.indexOf('?');
  const path = queryAt === -1 ? request.url : request.url.slice(0, queryAt);
  const query = readQuery(queryAt === -1 ? '' : request.url.slice(queryAt + 1));
  if (!query.ok) throw new HttpError('bad_request', query.error);
  const verified = verifyHttp(keys, {
    method: request.method,
    paths: spellings(path),
    query: query.value,
    body: request.body,
    nowSeconds,
  });
  if (!verified.ok) throw new HttpError('unauthorized', verified.error);
}

/** A parameter that comes twice could be signed as one and read as the other; names are signed in lower case. */
function readQuery(text: string): Result<QueryParameters, string> {
  const parameters = new Map<string, string>();
  const seen = new Set<string>();
  for (const [name, value] of new URLSearchParams(text)) {
    const folded = name.toLowerCase();
    if (seen.has(folded)) {
      return fail(`the parameter ${JSON.stringify(name.slice(0, 40))} is given twice`);
    }
    seen.add(folded);
    parameters.set(name, value);
  }
  return ok(parameters);
}

/** Some SDKs sign the path as it is sent, others before they percent-encode it. */
function spellings(path: string): string[] {
  try {
    const decoded = decodeURIComponent(path);
    return decoded === path ? [path] : [path, decoded];
  } catch {
    return [path];
  }
}
