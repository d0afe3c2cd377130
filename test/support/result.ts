/** Takes a `Result` apart in a test; the other case fails the test with what was there instead. */
import type { Result } from '../../contracts/result.ts';

export function okOf<T, E>(result: Result<T, E>): T {
  if (result.ok) return result.value;
  throw new Error(`expected a value, got the error ${JSON.stringify(result.error)}`);
}

export function errorOf<T, E>(result: Result<T, E>): E {
  if (!result.ok) return result.error;
  throw new Error(`expected an error, got the value ${JSON.stringify(result.value)}`);
}
