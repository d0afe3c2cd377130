/** Host names that an operator's own machines have, judged by their spelling: nothing is looked up. */
import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

const inside = new BlockList();
inside.addSubnet('10.0.0.0', 8, 'ipv4');
inside.addSubnet('172.16.0.0', 12, 'ipv4');
inside.addSubnet('192.168.0.0', 16, 'ipv4');
inside.addSubnet('100.64.0.0', 10, 'ipv4');
inside.addSubnet('169.254.0.0', 16, 'ipv4');
inside.addSubnet('fc00::', 7, 'ipv6');
inside.addSubnet('fe80::', 10, 'ipv6');

/** Names that no public DNS serves (RFC 6761, RFC 8375, ICANN's `.internal`), and the ones of Kubernetes services. */
const insideName = /(^|\.)(localhost|internal|local|lan|home\.arpa|svc)$/;

/** @param hostname as URL parsers write it */
export function isLoopback(hostname: string): boolean {
  const host = plain(hostname);
  return /(^|\.)localhost$/.test(host) || has(loopback, host);
}

/** Loopback, an address within private networks, a name of one label (`auth`), or one that is never public (`auth.internal`). */
export function isPrivateHost(hostname: string): boolean {
  const host = plain(hostname);
  if (isIP(host) !== 0) return has(loopback, host) || has(inside, host);
  return !host.includes('.') || insideName.test(host);
}

function plain(hostname: string): string {
  return hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
}

function has(list: BlockList, host: string): boolean {
  const family = isIP(host);
  return family !== 0 && list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
