import { expect } from 'chai';
import { nearest } from '../../runtime/nearest.ts';

const names = ['serve', 'check', 'explain', 'doctor', 'token'];

describe('nearest', () => {
  it('finds the name that was meant', () => {
    for (const [typed, meant] of [
      ['sevre', 'serve'],
      ['chek', 'check'],
      ['Explain', 'explain'],
      ['docter', 'doctor'],
      ['tokens', 'token'],
      ['serve', 'serve'],
    ]) {
      expect(nearest(typed ?? '', names), typed).to.equal(meant);
    }
  });

  it('suggests nothing for another word', () => {
    for (const word of ['', 'zzzzz', 'publish', 'x'.repeat(10_000)]) {
      expect(nearest(word, names), word.slice(0, 10)).to.equal(undefined);
    }
  });

  it('prefers the nearer of two, and the first of two that are as near', () => {
    expect(nearest('tokem', ['totem', 'tokens', 'token'])).to.equal('totem');
    expect(nearest('abcdef', ['abcxyf', 'abcdxf'])).to.equal('abcdxf');
  });

  it('has nothing to suggest where there is nothing', () => {
    expect(nearest('x', [])).to.equal(undefined);
  });
});
