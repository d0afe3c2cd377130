/** Checks on untrusted JSON text before it is parsed or forwarded. */

/**
 * True when brackets nest deeper than `maxDepth`. Reads bytes, allocates nothing: a document of a million brackets parses, but
 * `JSON.stringify` and `structuredClone` overflow the stack from about 5,000 levels (Node 20).
 */
export function nestsDeeperThan(bytes: Uint8Array, maxDepth: number): boolean {
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (inString) {
      if (byte === 0x5c) at += 1;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) {
      inString = true;
    } else if (byte === 0x7b || byte === 0x5b) {
      depth += 1;
      if (depth > maxDepth) return true;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth -= 1;
    }
  }
  return false;
}

/** Nesting that accepted JSON may have, in a domain event, an HTTP body or a client frame. */
export const maxJsonDepth = 64;

/** A JSON object as a type guard: not null, not a list. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Reads an own property only: `__proto__` and `constructor` of untrusted objects stay out of reach. */
export function own(value: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}
