/** The parts of a schema document, as the files of this folder hand them to each other. */
import type { Path } from '../problems.ts';

/** A schema: true and false stand for anything and nothing. */
export type SchemaValue = boolean | Readonly<Record<string, unknown>>;

export interface Mistake {
  readonly path: Path;
  /** Goes on from the place. */
  readonly message: string;
  readonly cure?: string;
  /** Points at the key instead of its value. */
  readonly at?: 'key';
}

/** One schema of the document and where it leads. */
export interface Place {
  readonly path: Path;
  /** Pointers of the schemas within it that see the same place of the payload. */
  readonly inPlace: string[];
  readonly references: { readonly to: string; readonly path: Path }[];
}

/** Name under which the copy for the compiler carries the cost of a schema, as `[fixed, perUnit]`. */
export const workKeyword = 'x-work';
