/** The path of a request: without what a proxy put in front of it, and as the text that it stands for. */
import type { RequestHandler } from 'express';

export function pathOf(url: string): string {
  const queryAt = url.indexOf('?');
  return queryAt === -1 ? url : url.slice(0, queryAt);
}

/**
 * Leaves `/apps/…` of a path in which something stands before it, for good: what is routed is what the signature has to cover, and
 * SDKs sign the path without the prefix that they were configured with.
 */
export const stripPathPrefix: RequestHandler = (request, _response, next) => {
  request.url = withoutPrefix(request.url);
  next();
};

export function withoutPrefix(url: string): string {
  const at = pathOf(url).indexOf('/apps/');
  return at === -1 ? url : url.slice(at);
}

/** Percent-decodes; whatever is no percent-encoded UTF-8 stays as it is, because some SDKs send a `%` of a user id as they got it. */
export function decodePath(path: string): string {
  return path.replaceAll(/(?:%[0-9A-Fa-f]{2})+/g, (encoded) => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return encoded;
    }
  });
}
