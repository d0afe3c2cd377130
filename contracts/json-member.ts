/** Members of a JSON object as they were written, for what must not be parsed and serialised again. */

/**
 * The text of the member's value, without the space around it; of the last one where the key comes twice, as `JSON.parse` has it.
 *
 * @param json the text of an object that `JSON.parse` accepts; of anything else the answer means nothing
 */
export function memberText(json: string, key: string): string | undefined {
  let found: string | undefined;
  let at = skipSpace(json, skipSpace(json, 0) + 1);
  while (at < json.length && json[at] !== '}') {
    const keyEnd = stringEnd(json, at);
    const name = JSON.parse(json.slice(at, keyEnd)) as string;
    // Beyond the colon.
    const start = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const end = valueEnd(json, start);
    if (name === key) found = json.slice(start, end);
    at = skipSpace(json, end);
    if (json[at] === ',') at = skipSpace(json, at + 1);
  }
  return found;
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (at < json.length && ' \t\n\r'.includes(json.charAt(at))) at += 1;
  return at;
}

/** @param from at the opening quote; returns the place beyond the closing one */
function stringEnd(json: string, from: number): number {
  let at = from + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

function valueEnd(json: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < json.length) {
    const character = json.charAt(at);
    if (character === '"') {
      at = stringEnd(json, at);
      continue;
    }
    if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') {
      if (depth === 0) break;
      depth -= 1;
    } else if (depth === 0 && ', \t\n\r'.includes(character)) break;
    at += 1;
  }
  return at;
}
