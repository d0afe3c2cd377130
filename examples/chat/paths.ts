/** Files of the example, the same whether it runs from its source or from dist/. */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const built = here.includes(join('dist', 'examples'));

/** A path from the root of the project. */
export function projectPath(...parts: readonly string[]): string {
  return join(here, ...(built ? ['..', '..', '..'] : ['..', '..']), ...parts);
}

export function examplePath(...parts: readonly string[]): string {
  return projectPath('examples', 'chat', ...parts);
}
