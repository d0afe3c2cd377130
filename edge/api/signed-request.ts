/** The signature of a call to Pusher's HTTP API: reads the query as it was sent and checks it against the app's keys. */
import {
  type QueryParameters,
  type SigningKey,
  verifyHttp,
} from '../../contracts/pusher/signature.ts';
import { fail, ok, type Result } from '../../contracts/result.ts';
import { HttpError } from './http-error.ts';
import { decodePath, pathOf } from './request-path.ts';

export interface RawRequest {
  readonly method: string;
  /** Path and query as they were sent, from `/apps/` on. */
  readonly url: string;
  readonly body: Buffer;
}

/**
 * Returns the parameters that the signature covers, under their names in lower case.
 *
 * @throws HttpError `bad_request` on an ambiguous query, `unauthorized` where the signature does not hold
 */
export function requireSignature(
  keys: readonly SigningKey[],
  request: RawRequest,
  nowSeconds: number,
): QueryParameters {
  const path = pathOf(request.url);
  const query = readQuery(request.url.slice(path.length + 1));
  if (!query.ok) throw new HttpError('bad_request', query.error);
  const verified = verifyHttp(keys, {
    method: request.method,
    paths: spellings(path),
    query: query.value,
    body: request.body,
    nowSeconds,
  });
  if (!verified.ok) throw new HttpError('unauthorized', verified.error);
  return query.value;
}

/** PHP's way to send a list. */
const listItem = /^([^[\]]+)\[\d{1,9}\]$/;

/**
 * A parameter that comes twice could be signed as one and read as the other; names are signed in lower case, so they are read so too.
 * A list, `info[0]=a&info[1]=b`, is signed as `info=a,b`.
 */
function readQuery(text: string): Result<QueryParameters, string> {
  const parameters = new Map<string, string>();
  const seen = new Set<string>();
  const lists = new Set<string>();
  for (const [name, value] of new URLSearchParams(text)) {
    const folded = name.toLowerCase();
    const list = listItem.exec(folded)?.[1];
    const target = list ?? folded;
    const former = parameters.get(target);
    if (seen.has(folded) || (former !== undefined && !(list !== undefined && lists.has(list)))) {
      return fail(`the parameter ${JSON.stringify(name.slice(0, 40))} is given twice`);
    }
    seen.add(folded);
    if (list !== undefined) lists.add(list);
    parameters.set(target, former === undefined ? value : `${former},${value}`);
  }
  return ok(parameters);
}

/** Some SDKs sign the path as it is sent, others before they percent-encode it. */
function spellings(path: string): string[] {
  const decoded = decodePath(path);
  return decoded === path ? [path] : [path, decoded];
}
