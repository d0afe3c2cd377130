/** Reads an upgrade request and decides whether it may become a connection: pure, so that every refusal is a value. */
import { type CloseCode, closeCodes } from '../../contracts/pusher/close-codes.ts';
import { fail, ok, type Result } from '../../contracts/result.ts';
import type { App, Apps } from '../apps.ts';

/** What the client said when it came. */
export interface Handshake {
  readonly app: App;
  /** The id of `wsPath: '/~s/<id>'`: a bearer secret, never logged. */
  readonly sessionId?: string;
  readonly origin?: string;
  /** The other end of the TCP connection: a proxy's, where there is one. */
  readonly address?: string;
}

interface Target {
  readonly key: string;
  readonly sessionId?: string;
}

const sessionIdPattern = /^[A-Za-z0-9_-]{22,128}$/;
const oldestProtocol = 5;
const newestProtocol = 7;

/**
 * @param url path and query as they came, untrusted
 * @param origin header, where there is one
 * @param connectionsElsewhere open sockets of an app on other edges, as far as known
 */
export function readHandshake(
  url: string,
  origin: string | undefined,
  apps: Apps,
  connectionsElsewhere: (app: App) => number = () => 0,
): Result<Handshake, CloseCode> {
  const queryAt = url.indexOf('?');
  const target = readPath(queryAt === -1 ? url : url.slice(0, queryAt));
  if (!target.ok) return target;
  const app = apps.byKey(target.value.key);
  if (app === undefined) return fail(closeCodes.unknownApp);
  const query = new URLSearchParams(queryAt === -1 ? '' : url.slice(queryAt + 1));
  const protocol = checkProtocol(query.get('protocol'));
  if (protocol !== undefined) return fail(protocol);
  if (!app.config.enabled) return fail(closeCodes.appDisabled);
  if (!app.allowsOrigin(origin)) return fail(closeCodes.unauthorized);
  // Not 4004: stock clients take that as final, and a page would stay dead although the load passes.
  const connections = app.connections + connectionsElsewhere(app);
  if (connections >= app.config.limits.connections) return fail(closeCodes.overCapacity);
  const { sessionId } = target.value;
  return ok({
    app,
    ...(sessionId === undefined ? {} : { sessionId }),
    ...(origin === undefined ? {} : { origin }),
  });
}

/** `…/app/<key>` and `…/~s/<session id>/app/<key>`, behind any prefix that a proxy or `wsPath` puts in front. */
function readPath(path: string): Result<Target, CloseCode> {
  const segments = path.split('/');
  const key = decode(segments.pop());
  if (key === undefined || key === '' || segments.pop() !== 'app')
    return fail(closeCodes.pathNotFound);
  if (!segments.includes('~s')) return ok({ key });
  const sessionId = segments.pop();
  if (segments.pop() !== '~s' || sessionId === undefined || !sessionIdPattern.test(sessionId)) {
    return fail(closeCodes.pathNotFound);
  }
  return ok({ key, sessionId });
}

function checkProtocol(text: string | null): CloseCode | undefined {
  if (text === null || text === '') return closeCodes.noProtocol;
  const version = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  const supported = version >= oldestProtocol && version <= newestProtocol;
  return supported ? undefined : closeCodes.unsupportedProtocol;
}

function decode(segment: string | undefined): string | undefined {
  try {
    return segment === undefined ? undefined : decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
