/** Checks the bearer token of a request with passport-jwt: keys and algorithms from the configuration alone, expiry required. */
import type { Request, RequestHandler, Response } from 'express';
import passport from 'passport';
import { Strategy } from 'passport-jwt';
import type { Requester } from '../channels/rules.ts';
import { type TokenKey, type TokenKeys, TokenRefused } from '../tokens/token-keys.ts';
import { verifyToken } from '../tokens/verify.ts';
import { HttpError } from './http-error.ts';

/** Longer tokens are refused unread. */
const maxTokenLength = 8_192;

/** The key on its way through passport-jwt, with the configuration that it is to be used by. */
interface KeyInUse {
  readonly key: TokenKey;
  readonly keys: TokenKeys;
}

type Done = (error: unknown, result?: unknown) => void;

/** passport-jwt's place for another verifier. Its own, jsonwebtoken, knows no EdDSA and passes over `crit`. */
(
  Strategy as unknown as {
    JwtVerifier: (token: string, inUse: KeyInUse, options: unknown, done: Done) => void;
  }
).JwtVerifier = (token, { key, keys }, _options, done) => {
  void verifyToken(token, key, keys.jwt).then((payload) => done(null, payload), done);
};

/** The handler leaves who asks in `response.locals.requester`; without a valid token it ends with `unauthorized`. */
export function requireBearerToken(keys: TokenKeys): RequestHandler {
  const authenticator = new passport.Passport();
  authenticator.use(
    new Strategy(
      {
        jwtFromRequest: bearerToken,
        secretOrKeyProvider: (_request, token: string, done) => {
          // To the strategy the key is a thing that it hands to the verifier.
          const use = (key: TokenKey) => ({ key, keys }) satisfies KeyInUse as unknown as string;
          void keys.find(token).then((key) => done(null, use(key)), done);
        },
      },
      (claims: unknown, done: (error: null, requester: Requester | false) => void) => {
        done(null, requesterOf(claims, keys.jwt.userClaim));
      },
    ),
  );
  return (request, response, next) => {
    const decide = (error: unknown, requester: Requester | false | undefined, info: unknown) => {
      if (error || !requester) {
        next(refusal(keys, response, info));
        return;
      }
      response.locals['requester'] = requester;
      next();
    };
    const authenticate = authenticator.authenticate(
      'jwt',
      { session: false },
      decide,
    ) as RequestHandler;
    void authenticate(request, response, next);
  };
}

/** Which check failed is nobody's business but the operator's. */
function refusal(keys: TokenKeys, response: Response, info: unknown): HttpError {
  const refused = info instanceof TokenRefused ? info : new TokenRefused('no_token');
  keys.refused(refused.why);
  if (refused.why === 'keys_unavailable') {
    return new HttpError('keys_unavailable', undefined, refused.retryAfterSeconds);
  }
  response.setHeader('WWW-Authenticate', 'Bearer');
  return new HttpError('unauthorized', 'A valid bearer token is required.');
}

export function requesterFrom(response: Response): Requester {
  return response.locals['requester'] as Requester;
}

/** Not passport-jwt's own: its pattern takes quadratic time on a long header without a blank. */
function bearerToken(request: Request): string | null {
  const header = request.headers.authorization;
  if (header === undefined || header.slice(0, 7).toLowerCase() !== 'bearer ') return null;
  const token = header.slice(7).trim();
  return token === '' || token.length > maxTokenLength ? null : token;
}

function requesterOf(claims: unknown, userClaim: string): Requester | false {
  if (typeof claims !== 'object' || claims === null) return false;
  const known = claims as Readonly<Record<string, unknown>>;
  const user = Object.hasOwn(known, userClaim) ? known[userClaim] : undefined;
  const named = (typeof user === 'string' && user !== '') || Number.isSafeInteger(user);
  return { claims: known, ...(named ? { userId: String(user) } : {}) };
}
