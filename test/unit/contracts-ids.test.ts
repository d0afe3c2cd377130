import { expect } from 'chai';
import { parseAppId, parseSocketId } from '../../contracts/ids.ts';

describe('parseAppId', () => {
  it('takes 1 to 64 characters that a routing key shows as they are', () => {
    for (const id of ['app-id', '3', 'A_b-=@,;', 'x'.repeat(64)]) {
      expect(parseAppId(id), id).to.equal(id);
    }
  });

  it('refuses what would split, widen or blur a routing key', () => {
    for (const id of ['', 'a.b', '*', '#', 'a b', 'a:b', 'a%b', '+a', 'é', 'a\n', 'x'.repeat(65)]) {
      expect(parseAppId(id), JSON.stringify(id)).to.equal(undefined);
    }
  });

  it('refuses what is not text', () => {
    for (const id of [undefined, null, 3, true, {}, ['a']]) {
      expect(parseAppId(id)).to.equal(undefined);
    }
  });
});

describe('parseSocketId', () => {
  it('takes two integers with a dot between them', () => {
    for (const id of ['1234.1234', '0.0', '1.98765432109876543210']) {
      expect(parseSocketId(id), id).to.equal(id);
    }
  });

  it('refuses everything that server SDKs refuse', () => {
    const odd = ['', '1', '1.', '.1', '1.2.3', '-1.2', '1.2 ', ' 1.2', '1.2\n', '1:2', 'a.b'];
    for (const id of [...odd, '１.２', `${'1'.repeat(21)}.1`, '1.2:private-x']) {
      expect(parseSocketId(id), JSON.stringify(id)).to.equal(undefined);
    }
  });

  it('refuses the number 1.5, which prints like a socket id', () => {
    expect(parseSocketId(1.5)).to.equal(undefined);
  });
});
