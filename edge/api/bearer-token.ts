/** Checks the bearer token of a request with passport-jwt: algorithm fixed, expiry required. */
import type { Request, RequestHandler, Response } from 'express';
import passport from 'passport';
import { Strategy } from 'passport-jwt';
import type { JwtConfig } from '../../contracts/warren-config.ts';
import type { Requester } from '../channels/rules.ts';
import { HttpError } from './http-error.ts';

/** Longer tokens are refused unread. */
const maxTokenLength = 8_192;

/** The handler leaves who asks in `response.locals.requester`; without a valid token it ends with `unauthorized`. */
export function requireBearerToken(jwt: JwtConfig): RequestHandler {
  const authenticator = new passport.Passport();
  authenticator.use(
    new Strategy(
      {
        jwtFromRequest: bearerToken,
        secretOrKey: jwt.secret,
        algorithms: [...jwt.algorithms],
        ...(jwt.issuer === undefined ? {} : { issuer: jwt.issuer }),
        ...(jwt.audience === undefined ? {} : { audience: jwt.audience }),
      },
      (claims: unknown, done: (error: null, requester: Requester | false) => void) => {
        done(null, requesterOf(claims, jwt.userClaim));
      },
    ),
  );
  return (request, response, next) => {
    const decide = (error: unknown, requester: Requester | false | undefined) => {
      if (error || !requester) {
        // Which check failed is nobody's business but the operator's.
        response.setHeader('WWW-Authenticate', 'Bearer');
        next(new HttpError('unauthorized', 'A valid bearer token is required.'));
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

/** A token that never expires is refused. */
function requesterOf(claims: unknown, userClaim: string): Requester | false {
  if (typeof claims !== 'object' || claims === null) return false;
  const known = claims as Readonly<Record<string, unknown>>;
  if (typeof known['exp'] !== 'number') return false;
  const user = Object.hasOwn(known, userClaim) ? known[userClaim] : undefined;
  const named = (typeof user === 'string' && user !== '') || Number.isSafeInteger(user);
  return { claims: known, ...(named ? { userId: String(user) } : {}) };
}
