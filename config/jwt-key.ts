/** Keys that tokens are checked with: which algorithms go with which, and whether a public key or the URL of a key set can be used. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { fail, ok, type Result } from '../contracts/result.ts';
import type { AsymmetricAlgorithm } from '../contracts/warren-config.ts';
import { isLoopback } from './private-host.ts';

export interface KeyMistake {
  readonly message: string;
  readonly cure: string;
}

/** What the key can check, the usual one first. */
export interface PublicKey {
  /** SPKI in PEM, whatever form it was given in. */
  readonly pem: string;
  readonly algorithms: readonly [AsymmetricAlgorithm, ...AsymmetricAlgorithm[]];
  /** As people call it. */
  readonly kind: string;
}

/** NIST SP 800-131A, and what the verifier takes. */
const minRsaBits = 2_048;

const curves: Readonly<Record<string, AsymmetricAlgorithm>> = {
  prime256v1: 'ES256',
  secp384r1: 'ES384',
  secp521r1: 'ES512',
};

export function readPublicKey(text: string): Result<PublicKey, KeyMistake> {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    return mistake(
      'holds a private key, which only the issuer of tokens may have',
      'take the public half: openssl pkey -in key.pem -pubout',
    );
  }
  let key: KeyObject;
  try {
    key = createPublicKey(text);
  } catch {
    return mistake(
      'is not a public key in PEM',
      'it begins with -----BEGIN PUBLIC KEY-----; in YAML write it below  publicKey: |',
    );
  }
  const pem = key.export({ type: 'spki', format: 'pem' }).toString();
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
      if (modulusLength < minRsaBits) {
        return mistake(
          `is an RSA key of ${modulusLength} bits`,
          `use one of ${minRsaBits} or more, or an EC or Ed25519 key`,
        );
      }
      return ok({
        pem,
        kind: 'an RSA key',
        algorithms: ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
      });
    case 'ed25519':
      return ok({ pem, kind: 'an Ed25519 key', algorithms: ['EdDSA'] });
    case 'ec': {
      const algorithm = curves[namedCurve];
      if (algorithm === undefined) break;
      return ok({ pem, kind: `an EC key on ${namedCurve}`, algorithms: [algorithm] });
    }
  }
  return mistake(
    'is a key of a kind that no supported algorithm uses',
    'use RSA, EC on P-256, P-384 or P-521, or Ed25519',
  );
}

/** Whoever can change the answer on its way can sign tokens: only the machine itself may be asked without TLS. */
export function keySetUrlMistake(text: string): KeyMistake | undefined {
  if (!URL.canParse(text) || !/^https?:\/\/[^/]/i.test(text)) {
    return {
      message: 'is not a URL',
      cure: 'write it in full, as https://id.example.com/.well-known/jwks.json',
    };
  }
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    return {
      message: 'holds credentials, which are not sent',
      cure: 'remove what is before the @',
    };
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    return {
      message: 'is http, so whoever sits in between could sign tokens',
      cure: 'use https; http is for 127.0.0.1, [::1] and localhost',
    };
  }
  return undefined;
}

function mistake(message: string, cure: string): Result<never, KeyMistake> {
  return fail({ message, cure });
}
