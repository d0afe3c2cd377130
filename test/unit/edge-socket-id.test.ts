import { expect } from 'chai';
import { parseSocketId } from '../../contracts/ids.ts';
import { newSocketId, secureRandom } from '../../edge/socket/socket-id.ts';

describe('newSocketId', () => {
  it('makes ids of the form that server SDKs accept, all different', () => {
    const ids = new Set(
      Array.from({ length: 2_000 }, () => newSocketId(secureRandom, () => false)),
    );
    expect(ids.size).to.equal(2_000);
    for (const id of ids) expect(parseSocketId(id)).to.equal(id);
  });

  it('never gives out an id that an open connection has', () => {
    const numbers = [1, 2, 1, 2, 3, 4];
    const random = () => numbers.shift() ?? 9;
    const first = newSocketId(random, () => false);
    expect(first).to.equal('1.2');
    expect(newSocketId(random, (id) => id === first)).to.equal('3.4');
  });

  it('draws from 1 to 10^9, both included', () => {
    const asked: number[][] = [];
    newSocketId(
      (...bounds) => asked.push(bounds),
      () => false,
    );
    expect(asked).to.deep.equal([
      [1, 1_000_000_000],
      [1, 1_000_000_000],
    ]);
  });
});
