import { expect } from 'chai';
import {
  bindingList,
  byExchange,
  decodeBindings,
  encodeBindings,
  sameBindings,
  union,
  without,
} from '../../broker/amqp/binding-list.ts';

const list = bindingList(['domain.events', '__proto__'], ['chat.#', 'a\0b', '']);

describe('a list of bindings', () => {
  it('survives the way to the broker and back', () => {
    expect(sameBindings(decodeBindings(encodeBindings(list)), list)).to.equal(true);
    expect(encodeBindings(bindingList(['e'], ['a', 'b'])).toString()).to.equal(
      '{"bindings":[["e",["a","b"]]]}',
    );
    expect([...byExchange(list).keys()]).to.deep.equal(['domain.events', '__proto__']);
  });

  it('is empty, or less, where somebody has put something else there', () => {
    for (const text of [
      '',
      '{',
      'null',
      '7',
      '{}',
      '{"bindings":{}}',
      '{"bindings":[1,null,[]]}',
    ]) {
      expect([...decodeBindings(Buffer.from(text))], text).to.deep.equal([]);
    }
    const odd = Buffer.from('{"bindings":[["e",["a",1]],["f\\u0000",["a"]],[7,["a"]],["g","a"]]}');
    expect(sameBindings(decodeBindings(odd), bindingList(['e'], ['a']))).to.equal(true);
  });

  it('adds up, and is compared, as a set', () => {
    const [a, b] = [bindingList(['e'], ['1', '2']), bindingList(['e'], ['2', '3'])];
    expect(sameBindings(union(a, b), bindingList(['e'], ['3', '2', '1']))).to.equal(true);
    expect(sameBindings(without(a, b), bindingList(['e'], ['1']))).to.equal(true);
    expect(sameBindings(a, b)).to.equal(false);
    expect(sameBindings(a, bindingList(['e'], ['1']))).to.equal(false);
  });
});
