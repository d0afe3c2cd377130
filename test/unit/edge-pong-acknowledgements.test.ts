import { expect } from 'chai';
import { PongAcknowledgements } from '../../edge/delivery/pong-acknowledgements.ts';

describe('PongAcknowledgements', () => {
  it('acknowledges with the n-th pong what was written before the n-th ping', () => {
    const acknowledgements = new PongAcknowledgements<string>();
    for (const item of ['a', 'b']) acknowledgements.written(item);
    acknowledgements.pinged();
    acknowledgements.written('c');
    acknowledgements.pinged();
    acknowledgements.written('d');
    expect(acknowledgements.unpinged).to.equal(1);
    expect(acknowledgements.all()).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(acknowledgements.ponged()).to.deep.equal(['a', 'b']);
    expect(acknowledgements.ponged()).to.deep.equal(['c']);
    expect(acknowledgements.ponged()).to.deep.equal([]);
    expect(acknowledgements.all()).to.deep.equal(['d']);
  });

  it('counts pings that stand for nothing, or later ones would acknowledge too much', () => {
    const acknowledgements = new PongAcknowledgements<string>();
    acknowledgements.pinged();
    acknowledgements.written('a');
    acknowledgements.pinged();
    expect(acknowledgements.ponged()).to.deep.equal([]);
    expect(acknowledgements.ponged()).to.deep.equal(['a']);
  });
});
