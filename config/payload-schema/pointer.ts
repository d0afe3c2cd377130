/** JSON pointers and references within one schema document. */
import type { Path } from '../problems.ts';

/** `/a~1b/0`; empty for the document. */
export function pointerOf(path: Path): string {
  return path.map((step) => `/${escapeStep(String(step))}`).join('');
}

export function escapeStep(step: string): string {
  return step.replaceAll('~', '~0').replaceAll('/', '~1');
}

export type Reference =
  | { readonly ok: true; readonly pointer: string; readonly uri: string }
  | { readonly ok: false; readonly message: string; readonly cure: string };

/** Reads a `$ref`: `#` and `#/…` only. `uri` is the same in one spelling. */
export function readReference(reference: string): Reference {
  if (reference !== '#' && !reference.startsWith('#/')) {
    return {
      ok: false,
      message: 'refers to another document or to an anchor, and only this file is read',
      cure: 'put the part under $defs of this file: {"$ref": "#/$defs/name"}',
    };
  }
  let pointer: string;
  try {
    pointer = decodeURIComponent(reference.slice(1));
  } catch {
    return { ok: false, message: 'holds a bad %', cure: 'write a literal % as %25' };
  }
  const uri = pointer.split('/').map(encodeURIComponent).join('/');
  return { ok: true, pointer, uri: `#${uri}` };
}

/** What the pointer points at; undefined where there is nothing. Own properties only. */
export function resolvePointer(document: unknown, pointer: string): unknown {
  let at = document;
  for (const raw of pointer.split('/').slice(1)) {
    const step = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string, unknown>)[step];
  }
  return at;
}
