/** The text of one member of a JSON object, as it was written: what `JSON.parse` and `JSON.stringify` would change stays. */

/**
 * @param json text that `JSON.parse` has accepted and made an object of
 * @returns the member's value without the white space around it; of several members of this name the last, which is the one that
 *   `JSON.parse` takes; `undefined` where there is none
 */
export function memberText(json: string, name: string): string | undefined {
  let found: string | undefined;
  let at = json.indexOf('{') + 1;
  for (;;) {
    const nameStart = json.indexOf('"', at);
    // Strings stand between here and the end only where there is a further member.
    if (nameStart < 0) return found;
    const nameEnd = endOfString(json, nameStart);
    const valueStart = json.indexOf(':', nameEnd) + 1;
    at = endOfValue(json, valueStart);
    if (JSON.parse(json.slice(nameStart, nameEnd)) === name) {
      found = json.slice(valueStart, at).trim();
    }
  }
}

/** The position behind the closing quote. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (json.charCodeAt(at) !== 0x22) at += json.charCodeAt(at) === 0x5c ? 2 : 1;
  return at + 1;
}

/** The position of the comma or bracket behind the value. */
function endOfValue(json: string, start: number): number {
  let depth = 0;
  let at = start;
  for (;;) {
    const code = json.charCodeAt(at);
    if (code === 0x22) {
      at = endOfString(json, at);
      continue;
    }
    if (code === 0x7b || code === 0x5b) depth += 1;
    else if (code === 0x7d || code === 0x5d) {
      if (depth === 0) return at;
      depth -= 1;
    } else if (code === 0x2c && depth === 0) return at;
    at += 1;
  }
}
