import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { loadConfig } from '../../config/load.ts';

describe('docs/authorization.md', () => {
  const text = readFileSync(new URL('../../docs/authorization.md', import.meta.url), 'utf8');
  const pieces = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, piece = '']) => piece);

  it('shows pieces of warren.yaml that the loader accepts', () => {
    expect(pieces.length).to.equal(5);
    for (const piece of pieces) {
      const result = loadConfig(piece, { path: 'warren.yaml', production: false });
      expect(result.ok ? [] : result.problems, piece).to.deep.equal([]);
    }
  });
});
