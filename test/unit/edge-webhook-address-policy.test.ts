import { expect } from 'chai';
import { AddressPolicy } from '../../edge/webhooks/address-policy.ts';

/** First and last address of each block that is no part of the public internet. */
const closed = [
  '0.0.0.0 0.255.255.255',
  '10.0.0.0 10.255.255.255',
  '100.64.0.0 100.127.255.255',
  '127.0.0.0 127.0.0.1 127.255.255.255',
  '169.254.0.0 169.254.169.254 169.254.255.255',
  '172.16.0.0 172.31.255.255',
  '192.0.0.0 192.0.0.255',
  '192.0.2.0 192.0.2.255',
  '192.88.99.0 192.88.99.255',
  '192.168.0.0 192.168.255.255',
  '198.18.0.0 198.19.255.255',
  '198.51.100.0 198.51.100.255',
  '203.0.113.0 203.0.113.255',
  '224.0.0.0 239.255.255.255',
  '240.0.0.0 255.255.255.255',
  ':: ::1 ::7f00:1',
  '::ffff:127.0.0.1 ::ffff:7f00:1 0:0:0:0:0:ffff:10.0.0.1 ::FFFF:192.168.0.1',
  '::ffff:0:127.0.0.1',
  '64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b::c0a8:1',
  '64:ff9b:1::1 64:ff9b:1:ffff::8.8.8.8',
  '100::1',
  '2001::1 2001:1ff:ffff::1',
  '2001:db8::1 2001:db8:ffff::1',
  '2002:7f00:1:: 2002:808:808::',
  '3fff::1 3fff:fff::1',
  '4000::1 7fff::1',
  'fc00::1 fdff::1',
  'fe80::1 febf::1 fe80::1%lo',
  'fec0::1',
  'ff00::1 ff02::1',
].flatMap((line) => line.split(' '));

const open = [
  '1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0',
  '169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0',
  '198.17.255.255 198.20.0.0 223.255.255.255',
  '2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 3ffe::1',
  '::ffff:8.8.8.8 64:ff9b::8.8.8.8',
].flatMap((line) => line.split(' '));

describe('AddressPolicy', () => {
  describe('refuses', () => {
    const policy = new AddressPolicy([]);
    for (const address of closed) {
      it(address, () => expect(policy.allowsAddress(address)).to.equal(false));
    }
    for (const text of ['', 'localhost', '2130706433', '0x7f.1', '127.1', '1.1.1.1.1', '[::1]']) {
      it(`"${text}", which is no address`, () => {
        expect(policy.allowsAddress(text)).to.equal(false);
      });
    }
  });

  describe('allows', () => {
    const policy = new AddressPolicy([]);
    for (const address of open) {
      it(address, () => expect(policy.allowsAddress(address)).to.equal(true));
    }
  });

  it('allows an address that the operator named, in every spelling, and not its neighbour', () => {
    const policy = new AddressPolicy(['127.0.0.1', '::1', '::ffff:10.0.0.1', '[fd00::2]']);
    for (const address of [
      '127.0.0.1',
      '::ffff:7f00:1',
      '::1',
      '0:0:0:0:0:0:0:1',
      '10.0.0.1',
      'fd00::2',
    ]) {
      expect(policy.allowsAddress(address), address).to.equal(true);
    }
    for (const address of ['127.0.0.2', '::2', '10.0.0.2', 'fd00::1']) {
      expect(policy.allowsAddress(address), address).to.equal(false);
    }
  });

  it('allows a block that the operator named', () => {
    const policy = new AddressPolicy(['10.1.0.0/16', 'fd00::/8']);
    expect(policy.allowsAddress('10.1.255.255')).to.equal(true);
    expect(policy.allowsAddress('::ffff:10.1.0.1')).to.equal(true);
    expect(policy.allowsAddress('fdff::1')).to.equal(true);
    expect(policy.allowsAddress('10.2.0.0')).to.equal(false);
    expect(policy.allowsAddress('fc00::1')).to.equal(false);
  });

  it('opens no IPv4 address by a block of IPv6', () => {
    const policy = new AddressPolicy(['::/0']);
    expect(policy.allowsAddress('fe80::1')).to.equal(true);
    expect(policy.allowsAddress('127.0.0.1')).to.equal(false);
  });

  it('knows the hosts that the operator named, whole and without regard to case', () => {
    const policy = new AddressPolicy(['Hooks.Internal', 'bücher.example.', '10.0.0.0/8']);
    for (const host of ['hooks.internal', 'HOOKS.internal.', 'xn--bcher-kva.example']) {
      expect(policy.allowsHost(host), host).to.equal(true);
    }
    for (const host of [
      'internal',
      'a.hooks.internal',
      'hooks.internal.evil.example',
      '10.0.0.1',
    ]) {
      expect(policy.allowsHost(host), host).to.equal(false);
    }
  });

  for (const entry of [
    '',
    ' ',
    '10.0.0.0/33',
    '10.0.0.0/',
    '::/129',
    'a/b',
    'a:80',
    '127.0.0.1:80',
    '[::1]:80',
    'http://a',
    'u@a',
    '*.internal',
    '10.0.0.0/8/8',
  ]) {
    it(`does not start with "${entry}", and says which setting is wrong`, () => {
      expect(() => new AddressPolicy([entry])).to.throw(
        RangeError,
        `WARREN_WEBHOOK_PRIVATE_TARGETS: "${entry}" is neither`,
      );
    });
  }
});
