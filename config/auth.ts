/** The part under `auth`: how users prove who they are. */
import type { AuthConfig } from '../contracts/warren-config.ts';
import type { Problem } from './problems.ts';
import { type ReadFile, readSecret, type SecretHolder } from './secrets.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

interface RawJwt extends SecretHolder {
  readonly issuer?: string;
  readonly audience?: string;
  readonly userClaim?: string;
}

export interface Auth {
  readonly auth?: AuthConfig;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** RFC 7518 §3.2: a key of HS256 has at least the size of its hash. */
const minSecretBytes = 32;

export function readAuth(source: Source, shape: ShapeCheck, readFile: ReadFile): Auth {
  const raw = source.value['auth'] as { readonly jwt: RawJwt } | undefined;
  if (raw === undefined || !shape.sound(['auth'])) return { problems: [], warnings: [] };
  const { jwt } = raw;
  const path = ['auth', 'jwt'];
  const read = readSecret(source, path, jwt, readFile);
  if ('problem' in read) return { problems: [read.problem], warnings: [] };
  const { secret } = read;
  const warnings: Problem[] = [];
  if (Buffer.byteLength(secret, 'utf8') < minSecretBytes) {
    const message = `is shorter than ${minSecretBytes} bytes: it can be guessed from one token`;
    const key = jwt.secret === undefined ? 'secretFile' : 'secret';
    warnings.push(source.problem([...path, key], message, { at: 'key' }));
  }
  return {
    problems: [],
    warnings,
    auth: {
      jwt: {
        secret,
        algorithms: ['HS256'],
        userClaim: jwt.userClaim ?? 'sub',
        ...(jwt.issuer === undefined ? {} : { issuer: jwt.issuer }),
        ...(jwt.audience === undefined ? {} : { audience: jwt.audience }),
      },
    },
  };
}
