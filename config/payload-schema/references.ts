/** References of a schema: they lead somewhere, and no chain of them is endless or too long to be followed on the stack. */
import type { Mistake, Place } from './document.ts';

/** Ajv compiles and checks a chain of references on the stack; far more than schemas need, far less than the stack holds. */
const maxChain = 50;

/** @param places every schema of the document by its JSON pointer */
export function findReferenceMistakes(places: ReadonlyMap<string, Place>): Mistake[] {
  const lost = [...places.values()].flatMap(({ references }) =>
    references
      .filter(({ to }) => !places.has(to))
      .map(({ to, path }) => ({
        path,
        message: `points at ${to}, where this file has no schema`,
        cure: 'the path begins at the root of the file: "#/$defs/name"',
      })),
  );
  if (lost.length > 0) return lost;
  return [...endless(places), ...tooLong(places)].slice(0, 1);
}

/** A schema that comes back to itself at the same place of the payload would be checked for ever. */
function endless(places: ReadonlyMap<string, Place>): Mistake[] {
  const lengths = new Map<string, number>();
  const open = new Set<string>();
  let mistake: Mistake | undefined;
  const follow = (pointer: string, depth: number): number => {
    const known = lengths.get(pointer);
    if (known !== undefined || mistake !== undefined) return known ?? 0;
    const place = places.get(pointer);
    if (place === undefined) return 0;
    if (open.has(pointer)) {
      mistake = {
        path: place.path,
        message: 'refers to itself without going deeper into the payload, which would never end',
        cure: 'put the reference below properties or items',
      };
      return 0;
    }
    open.add(pointer);
    let longest = 0;
    for (const next of [...place.inPlace, ...place.references.map(({ to }) => to)]) {
      longest = Math.max(longest, 1 + (depth > maxChain ? 0 : follow(next, depth + 1)));
    }
    open.delete(pointer);
    lengths.set(pointer, longest);
    if (depth > maxChain || longest > maxChain) mistake ??= chainMistake(place);
    return longest;
  };
  for (const pointer of places.keys()) follow(pointer, 0);
  return mistake === undefined ? [] : [mistake];
}

function chainMistake(place: Place): Mistake {
  return {
    path: place.path,
    message: `begins a chain of more than ${maxChain} references`,
    cure: 'refer to the last one directly',
  };
}

/** The walk that the compiler takes: each schema that is referred to is compiled when it is first met. */
function tooLong(places: ReadonlyMap<string, Place>): Mistake[] {
  const targets = targetsBelow(places);
  const compiled = new Set<string>();
  let mistake: Mistake | undefined;
  const compile = (pointer: string, depth: number): void => {
    if (compiled.has(pointer) || mistake !== undefined) return;
    compiled.add(pointer);
    if (depth > maxChain) {
      const place = places.get(pointer);
      if (place !== undefined) mistake = chainMistake(place);
      return;
    }
    for (const to of targets(pointer)) compile(to, depth + 1);
  };
  compile('', 0);
  return mistake === undefined ? [] : [mistake];
}

/** References at and below a schema, in the order of the file; parts under $defs are compiled only where they are referred to. */
function targetsBelow(places: ReadonlyMap<string, Place>): (pointer: string) => string[] {
  const all = [...places].filter(([, { references }]) => references.length > 0);
  return (pointer) =>
    all
      .filter(([at]) => at === pointer || at.startsWith(`${pointer}/`))
      .filter(([at]) => !/\/(\$defs|definitions)\//.test(at.slice(pointer.length)))
      .flatMap(([, { references }]) => references.map(({ to }) => to));
}
