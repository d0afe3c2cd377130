/**
 * Which addresses webhooks may connect to: those of the public internet, and what the operator named. Whoever may write an app's
 * webhooks must not reach the machines around the edge by it (server-side request forgery).
 */
import { BlockList, isIP } from 'node:net';

const closedBlocks = [
  // IANA special-purpose registry of IPv4: nothing of it is a host on the internet.
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // All but global unicast (2000::/3), and of that what is special or carries an IPv4 address to a relay.
  '::/3',
  '4000::/2',
  '8000::/1',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
];

/** Addresses and blocks. The families are kept apart: BlockList holds IPv4 to be part of ::ffff:0:0/96, so of ::/3 too. */
class AddressSet {
  readonly #ipv4 = new BlockList();
  readonly #ipv6 = new BlockList();

  /** False where the entry is neither an address nor a block. */
  add(entry: string): boolean {
    const [network = '', prefix, ...rest] = entry.split('/');
    const family = isIP(network);
    const bits = family === 4 ? 32 : 128;
    const length = prefix === undefined ? bits : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
    if (family === 0 || rest.length > 0 || length < 0 || length > bits) return false;
    if (family === 4) this.#ipv4.addSubnet(network, length, 'ipv4');
    else this.#ipv6.addSubnet(network, length, 'ipv6');
    return true;
  }

  has(address: string): boolean {
    if (isIP(address) === 4) return this.#ipv4.check(address, 'ipv4');
    return this.#ipv6.check(address, 'ipv6');
  }
}

export class AddressPolicy {
  readonly #closed = new AddressSet();
  readonly #open = new AddressSet();
  readonly #openHosts = new Set<string>();

  /**
   * @param allowPrivate host names, addresses or CIDR blocks that are allowed wherever they are
   * @throws RangeError on an entry that is none of them
   */
  constructor(allowPrivate: readonly string[]) {
    for (const block of closedBlocks) this.#closed.add(block);
    for (const entry of allowPrivate) {
      const host = entry.includes('/') ? undefined : hostOf(entry);
      if (host !== undefined && isIP(host) === 0) this.#openHosts.add(host);
      else if (!this.#open.add(plainAddress(host ?? entry))) throw unreadable(entry);
    }
  }

  /** The operator named this host: whatever it resolves to is allowed. */
  allowsHost(hostname: string): boolean {
    return this.#openHosts.has(withoutDot(hostname.toLowerCase()));
  }

  /** @param address IPv4 or IPv6, without brackets; anything else is refused */
  allowsAddress(address: string): boolean {
    if (isIP(address) === 0) return false;
    const [plain = ''] = address.split('%');
    const effective = plainAddress(plain);
    return this.#open.has(plain) || this.#open.has(effective) || !this.#closed.has(effective);
  }
}

/** The IPv4 address that is really meant by a mapped one (::ffff:0:0/96) or by one of NAT64 (64:ff9b::/96, RFC 6052). */
function plainAddress(address: string): string {
  if (isIP(address) !== 6) return address;
  const words = ipv6Words(address);
  const [high = 0, low = 0] = words.slice(6);
  const prefix = words
    .slice(0, 6)
    .map((word) => word.toString(16))
    .join(':');
  if (prefix !== '0:0:0:0:0:ffff' && prefix !== '64:ff9b:0:0:0:0') return address;
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

/** Eight numbers. URL parsing has already turned dotted and odd spellings into plain hexadecimal groups. */
function ipv6Words(address: string): number[] {
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const words = (text: string) =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
  const [left, right] = [words(head), words(tail ?? '')];
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
}

/** A host as URLs spell it after parsing: lower case, punycode, numbers as dotted IPv4, no brackets. */
function hostOf(entry: string): string | undefined {
  const text = isIP(entry) === 6 ? `[${entry}]` : entry;
  if (text === '' || /[\s/@?#*\\]|:\d*$/.test(text.replace(/^\[.*\]$/, ''))) return undefined;
  if (!URL.canParse(`http://${text}/`)) return undefined;
  return withoutDot(new URL(`http://${text}/`).hostname.replace(/^\[(.*)\]$/, '$1'));
}

function withoutDot(hostname: string): string {
  return hostname.endsWith('.') ? hostname.slice(0, -1) : hostname;
}

function unreadable(entry: string): RangeError {
  return new RangeError(
    `WARREN_WEBHOOK_PRIVATE_TARGETS: "${entry}" is neither a host name nor an address nor a CIDR block`,
  );
}
