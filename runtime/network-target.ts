/** Hosts and networks as an operator writes them in a list: `hooks.internal, 10.1.0.0/16, ::1`. */
import { isIP } from 'node:net';

/** More would be a policy, which belongs into a proxy. */
const maxTargets = 100;
const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * The entries in lower case, without spaces; undefined where one of them is no host name, IP address or CIDR block, or where there are
 * more than 100.
 */
export function parseNetworkTargets(text: string): readonly string[] | undefined {
  const targets = text.split(',').map((entry) => entry.trim().toLowerCase());
  if (targets.length > maxTargets) return undefined;
  return targets.every((target) => isBlock(target) || isHostName(target)) ? targets : undefined;
}

/** An address alone is a block of one. */
function isBlock(target: string): boolean {
  const [address = '', length, ...rest] = target.split('/');
  const version = isIP(address);
  // A zone (`fe80::1%eth0`) means something on one machine only.
  if (version === 0 || rest.length > 0 || address.includes('%')) return false;
  if (length === undefined) return true;
  return /^(0|[1-9]\d{0,2})$/.test(length) && Number(length) <= (version === 4 ? 32 : 128);
}

/** A name whose last label is a number is read as an IPv4 address by URL parsers, so it never names a host. */
function isHostName(target: string): boolean {
  if (target.length > 253) return false;
  const labels = target.split('.');
  return labels.every((part) => label.test(part)) && !/^\d+$/.test(labels.at(-1) ?? '');
}
