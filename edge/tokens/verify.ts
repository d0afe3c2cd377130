/** Checks a token against a key: signature, end, and what the configuration asks of its claims. */
import { errors, type JWTPayload, jwtVerify } from 'jose';
import type { JwtConfig } from '../../contracts/warren-config.ts';
import { type TokenKey, type TokenRefusal, TokenRefused } from './token-keys.ts';

/** How far the clocks of issuer and edge may be apart. */
const leewaySeconds = 10;

/** @throws TokenRefused */
export async function verifyToken(
  token: string,
  key: TokenKey,
  jwt: JwtConfig,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [...jwt.algorithms],
      clockTolerance: leewaySeconds,
      // A token that never ends is refused.
      requiredClaims: ['exp'],
      ...(jwt.issuer === undefined ? {} : { issuer: jwt.issuer }),
      ...(jwt.audience === undefined ? {} : { audience: jwt.audience }),
    });
    return payload;
  } catch (error) {
    throw new TokenRefused(refusalOf(error));
  }
}

const byClaim: Readonly<Record<string, TokenRefusal>> = {
  iss: 'issuer',
  aud: 'audience',
  nbf: 'not_yet_valid',
};

function refusalOf(error: unknown): TokenRefusal {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) return byClaim[error.claim] ?? 'claims';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'signature';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'algorithm';
  // jose says so where a key does not go with the algorithm that the token names.
  return error instanceof TypeError ? 'algorithm' : 'malformed';
}
