/** The part under `auth`: how users prove who they are. */
import type {
  AsymmetricAlgorithm,
  AuthConfig,
  JwtAlgorithm,
  JwtConfig,
} from '../contracts/warren-config.ts';
import { keySetUrlMistake, readPublicKey } from './jwt-key.ts';
import type { Path, Problem } from './problems.ts';
import { type ReadFile, readTextFile } from './secrets.ts';
import type { ShapeCheck } from './shape.ts';
import type { Source } from './source.ts';

interface RawJwt {
  readonly secret?: string;
  readonly secretFile?: string;
  readonly publicKey?: string;
  readonly publicKeyFile?: string;
  readonly jwksUri?: string;
  readonly algorithms?: readonly JwtAlgorithm[];
  readonly issuer?: string;
  readonly audience?: string;
  readonly userClaim?: string;
}

export interface Auth {
  readonly auth?: AuthConfig;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

type JwtKeys =
  | Pick<Extract<JwtConfig, { secret: string }>, 'secret' | 'algorithms'>
  | AsymmetricKeys;
type AsymmetricKeys =
  | { readonly publicKey: string; readonly algorithms: readonly AsymmetricAlgorithm[] }
  | { readonly jwksUri: string; readonly algorithms: readonly AsymmetricAlgorithm[] };

/** RFC 7518 §3.2: a key of HS256 has at least the size of its hash. */
const minSecretBytes = 32;
const path = ['auth', 'jwt'];
/** Where the key may come from; exactly one is given. */
const keySources = ['secret', 'secretFile', 'publicKey', 'publicKeyFile', 'jwksUri'] as const;

export function readAuth(source: Source, shape: ShapeCheck, readFile: ReadFile): Auth {
  const raw = source.value['auth'] as { readonly jwt: RawJwt } | undefined;
  if (raw === undefined || !shape.sound(['auth'])) return { problems: [], warnings: [] };
  const { jwt } = raw;
  const given = keySources.filter((key) => jwt[key] !== undefined);
  const [key, second] = given;
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const problem: Tell = (at, { message, cure }, place = 'value') => {
    const options = cure === undefined ? { at: place } : { at: place, cure };
    problems.push(source.problem([...path, ...at], message, options));
  };
  if (key === undefined) {
    problem([], {
      message: 'has no key to check tokens with',
      cure: 'give one of secret, secretFile, publicKey, publicKeyFile and jwksUri',
    });
    return { problems, warnings };
  }
  if (second !== undefined) {
    problem(
      [second],
      {
        message: `is given beside "${key}"`,
        cure: 'keep one: a token may not choose between kinds of keys',
      },
      'key',
    );
    return { problems, warnings };
  }
  const keys = readKeys(source, jwt, key, readFile, problem, warnings);
  checkClaims(source, jwt, key, problem, warnings);
  if (keys === undefined || problems.length > 0) return { problems, warnings };
  return {
    problems,
    warnings,
    auth: {
      jwt: {
        ...keys,
        userClaim: jwt.userClaim ?? 'sub',
        ...(jwt.issuer === undefined ? {} : { issuer: jwt.issuer }),
        ...(jwt.audience === undefined ? {} : { audience: jwt.audience }),
      },
    },
  };
}

type Tell = (
  at: Path,
  mistake: { readonly message: string; readonly cure?: string },
  place?: 'key' | 'value',
) => void;

function readKeys(
  source: Source,
  jwt: RawJwt,
  key: (typeof keySources)[number],
  readFile: ReadFile,
  problem: Tell,
  warnings: Problem[],
): JwtKeys | undefined {
  const { algorithms } = jwt;
  if (key === 'jwksUri') {
    const uri = jwt.jwksUri ?? '';
    const mistake = keySetUrlMistake(uri);
    if (mistake !== undefined) problem(['jwksUri'], mistake);
    if (algorithms === undefined) {
      problem([], {
        message: 'has no "algorithms", and a key set may hold keys for many',
        cure: 'name what your issuer signs with, for example  algorithms: [RS256]',
      });
      return undefined;
    }
    const usable = asymmetricOnly(algorithms, 'jwksUri', problem);
    return mistake === undefined && usable !== undefined
      ? { jwksUri: new URL(uri).href, algorithms: usable }
      : undefined;
  }
  const inPlace = key === 'secret' || key === 'publicKey' ? jwt[key] : undefined;
  const read =
    inPlace === undefined ? readTextFile(source, jwt[key] ?? '', readFile) : { text: inPlace };
  if ('mistake' in read) {
    problem([key], read.mistake);
    return undefined;
  }
  if (key === 'secret' || key === 'secretFile') {
    if (Buffer.byteLength(read.text, 'utf8') < minSecretBytes) {
      const message = `is shorter than ${minSecretBytes} bytes: it can be guessed from one token`;
      warnings.push(source.problem([...path, key], message, { at: 'key' }));
    }
    const other = algorithms?.findIndex((algorithm) => algorithm !== 'HS256') ?? -1;
    if (other >= 0) {
      problem(['algorithms', other], {
        message: `needs a public key, and "${key}" is a shared secret`,
        cure: `use HS256 alone, or publicKeyFile or jwksUri in place of ${key}`,
      });
    }
    return { secret: read.text, algorithms: ['HS256'] };
  }
  const publicKey = readPublicKey(read.text);
  if (!publicKey.ok) {
    problem([key], publicKey.error);
    return undefined;
  }
  const { pem, kind, algorithms: possible } = publicKey.value;
  const usable = asymmetricOnly(algorithms ?? [possible[0]], key, problem);
  const wrong = usable?.findIndex((algorithm) => !possible.includes(algorithm)) ?? -1;
  if (wrong >= 0) {
    problem(['algorithms', wrong], {
      message: `does not go with ${kind}`,
      cure: `it is for ${possible.join(', ')}`,
    });
  }
  return usable === undefined ? undefined : { publicKey: pem, algorithms: usable };
}

/** An HMAC beside public keys would let everybody sign: the public key is no secret. */
function asymmetricOnly(
  algorithms: readonly JwtAlgorithm[],
  key: string,
  problem: Tell,
): readonly AsymmetricAlgorithm[] | undefined {
  const hmac = algorithms.indexOf('HS256');
  if (hmac < 0) return algorithms as readonly AsymmetricAlgorithm[];
  problem(['algorithms', hmac], {
    message: `is for a shared secret, and "${key}" is public`,
    cure: 'name what your issuer signs with, as RS256, or give secretFile in its place',
  });
  return undefined;
}

/** The key of an issuer signs tokens for its other services too. A shared secret is more often for Warren alone. */
function checkClaims(
  source: Source,
  jwt: RawJwt,
  key: (typeof keySources)[number],
  problem: Tell,
  warnings: Problem[],
): void {
  const absent = (['issuer', 'audience'] as const).filter((name) => jwt[name] === undefined);
  if (absent.length === 0) return;
  const names = absent.map((name) => `"${name}"`).join(' and ');
  const cure = 'give what tokens hold as iss and aud, for example  audience: warren';
  if (key === 'secret' || key === 'secretFile') {
    const message = `has no ${names}: tokens that were made for other services with this secret are accepted too`;
    warnings.push(source.problem(path, message, { at: 'key', cure }));
  } else {
    problem(
      [],
      {
        message: `has no ${names}, so tokens that the issuer made for other services would be accepted`,
        cure,
      },
      'key',
    );
  }
}
