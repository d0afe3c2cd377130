import { expect } from 'chai';
import { parseNetworkTargets } from '../../runtime/network-target.ts';

describe('parseNetworkTargets', () => {
  it('takes host names, addresses and blocks, in lower case and without spaces', () => {
    expect(parseNetworkTargets('localhost, Hooks.Internal,127.0.0.1 ,::1')).to.deep.equal([
      'localhost',
      'hooks.internal',
      '127.0.0.1',
      '::1',
    ]);
    for (const good of [
      '10.0.0.0/8',
      '0.0.0.0/0',
      '10.1.2.3/32',
      'fd00::/8',
      '::1/128',
      'a-b.c_d',
    ]) {
      expect(parseNetworkTargets(good), good).to.deep.equal([good]);
    }
  });

  it('refuses what is none of them', () => {
    for (const bad of [
      '',
      'a,',
      ',a',
      'a b',
      'http://a',
      'a:80',
      '*.a',
      'a..b',
      '-a',
      'a-',
      'a/8',
      '300.1.1.1',
      '10.0.0',
      '127.1',
      '10.0.0.0/33',
      '10.0.0.0/08',
      '10.0.0.0/',
      '10.0.0.0/8/8',
      '::/129',
      '[::1]',
      'fe80::1%eth0',
      'x'.repeat(64),
      Array.from({ length: 50 }, () => 'label').join('.'),
    ]) {
      expect(parseNetworkTargets(bad), bad).to.equal(undefined);
    }
  });

  it('takes a hundred and no more', () => {
    const list = (count: number) => Array.from({ length: count }, (_, at) => `h${at}`).join(',');
    expect(parseNetworkTargets(list(100))).to.have.length(100);
    expect(parseNetworkTargets(list(101))).to.equal(undefined);
  });
});
