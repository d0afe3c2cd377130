/** Integers that JavaScript cannot hold, found in JSON text before parsing has rounded them. */

/**
 * Every number of the JSON text that is written as an integer (no point, no exponent) and is 2^53 or more, or -2^53 or less, as
 * JSON.parse reads it. Digits within strings do not count. One pass, linear; the text must be valid JSON.
 */
export function bigIntegersIn(json: string): ReadonlySet<number> {
  const found = new Set<number>();
  let at = 0;
  while (at < json.length) {
    const code = json.charCodeAt(at);
    if (code === quote) {
      at = endOfString(json, at);
    } else if (code === minus || isDigit(code)) {
      const end = endOfNumber(json, at);
      // 2^53 has 16 digits.
      if (end - at >= 16) {
        const token = json.slice(at, end);
        const value = Number(token);
        if (!/[.eE]/.test(token) && !Number.isSafeInteger(value)) found.add(value);
      }
      at = end;
    } else {
      at += 1;
    }
  }
  return found;
}

const quote = 0x22;
const backslash = 0x5c;
const minus = 0x2d;

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && json.charCodeAt(at) !== quote) {
    at += json.charCodeAt(at) === backslash ? 2 : 1;
  }
  return at + 1;
}

function endOfNumber(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && /[\d.eE+-]/.test(json.charAt(at))) at += 1;
  return at;
}
